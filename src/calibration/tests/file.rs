//! The file of statistics.

use super::*;

fn saved() -> Saved {
    let mut rows = Statistics::new(3);
    rows.add(&activations(60), 2);
    let mut parity = ParityHistogram::new(ParitySettings { bins: 4, ..ParitySettings::default() });
    parity.add(&[1.0, -2.0, 0.5]).unwrap();
    Saved {
        header: [("shard".to_owned(), "2/8".to_owned()), ("seed".to_owned(), "1".to_owned())].into(),
        tensors: vec![
            ("b".to_owned(), Collector::Canonical(seen(&activations(20)))),
            ("rows".to_owned(), Collector::Canonical(rows)),
            ("a".to_owned(), Collector::Parity(parity)),
            ("none".to_owned(), Collector::Parity(ParityHistogram::new(ParitySettings::default()))),
        ],
    }
}

#[test]
fn what_is_written_is_read() {
    let saved = saved();
    let bytes = saved.to_bytes().unwrap();
    assert_eq!(Saved::from_bytes(&bytes).unwrap(), saved);
    assert_eq!(saved.to_bytes().unwrap(), bytes);
}

#[test]
fn a_name_is_there_once() {
    let mut saved = saved();
    saved.tensors.extend(saved.tensors.clone());
    assert_eq!(saved.to_bytes().unwrap_err().to_string(), "`b` is there twice");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_statistics_are_read_back(values in numbers(), channels in 1_usize..3) {
        let mut statistics = Statistics::new(channels);
        statistics.add(&values, 1);
        let saved = Saved { tensors: vec![("x".to_owned(), Collector::Canonical(statistics))], ..Saved::default() };
        prop_assert_eq!(Saved::from_bytes(&saved.to_bytes().unwrap()).unwrap(), saved);
    }
}

/// A file that was changed anywhere, or cut short, is refused or read; nothing panics.
/// What is read can be used and written again.
#[test]
fn no_bytes_make_it_panic() {
    let mut rows = Statistics::new(2);
    rows.add(&[1.0, 2.0, -3.0, 0.0], 1);
    let mut parity = ParityHistogram::new(ParitySettings { bins: 4, ..ParitySettings::default() });
    parity.add(&[1.0, -2.0, 0.5]).unwrap();
    let tensors = [("rows", Collector::Canonical(rows)), ("parity", Collector::Parity(parity))];
    for (name, collector) in tensors {
        let saved = Saved { tensors: vec![(name.to_owned(), collector)], ..Saved::default() };
        let bytes = saved.to_bytes().unwrap();
        // Most bins of the rows are zero: a part of them is enough.
        let ends = 1200..bytes.len().saturating_sub(400).max(1200);
        let positions = (0..bytes.len()).filter(|at| !ends.contains(at) || at % 61 == 0);
        let mut read = 0;
        for at in positions {
            assert!(Saved::from_bytes(&bytes[..at]).is_err(), "cut at {at}");
            for change in [1, 0x80, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] ^= change;
                let Ok(changed) = Saved::from_bytes(&bytes) else { continue };
                read += 1;
                assert!(changed.to_bytes().is_ok());
                for (_, collector) in changed.tensors {
                    let mut collector = collector;
                    let _ = collector.range(&request(Calibration::Percentile(50.0), INT8));
                    let _ = collector.add(&[1.0, 2.0, -3.0, 0.5], 1);
                    let _ = collector.range(&request(Calibration::Max, INT8));
                }
            }
        }
        assert!(read > 0);
    }
}

#[test]
fn another_version_is_named() {
    let bytes = Saved::default().to_bytes().unwrap();
    let text = String::from_utf8(bytes).unwrap().replace(r#"{\"version\":1"#, r#"{\"version\":7"#);
    let error = Saved::from_bytes(text.as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "its format has version 7, and this qdqc reads version 1");
}

#[test]
fn parts_that_contradict_each_other_are_refused() {
    let mut statistics = seen(&[1.0, 2.0, 3.0]);
    statistics.tallies[0].counts.zeros = 1;
    let saved =
        Saved { tensors: vec![("x".to_owned(), Collector::Canonical(statistics))], ..Saved::default() };
    assert!(Saved::from_bytes(&saved.to_bytes().unwrap()).is_err());
}

#[test]
fn parity_whose_range_would_be_no_magnitude_is_refused() {
    let mut good = ParityHistogram::new(ParitySettings { bins: 4, ..ParitySettings::default() });
    good.add(&[1.0, -2.0, 0.5]).unwrap();
    let read = |change: &dyn Fn(&mut ParityHistogram)| {
        let mut changed = good.clone();
        change(&mut changed);
        let tensors = vec![("x".to_owned(), Collector::Parity(changed))];
        Saved::from_bytes(&Saved { tensors, ..Saved::default() }.to_bytes().unwrap())
    };
    assert!(read(&|_| {}).is_ok());
    for largest in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1.0, 1.5] {
        assert!(read(&|histogram| histogram.seen.largest = largest).is_err(), "{largest}");
    }
    for least in [f32::NAN, f32::NEG_INFINITY, 0.5] {
        assert!(read(&|histogram| histogram.seen.least = least).is_err(), "{least}");
    }
    for edge in [f64::NAN, f64::INFINITY, f64::MAX] {
        assert!(read(&|histogram| *histogram.edges.last_mut().unwrap() = edge).is_err(), "{edge}");
    }
    assert!(read(&|histogram| histogram.edges[0] = -7.0).is_err());
}
