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
