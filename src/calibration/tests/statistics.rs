//! Statistics are determined by what was seen, and say so.

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn neither_order_nor_parts_matter(
        values in numbers(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 3),
        channels in 1_usize..4,
    ) {
        let values = &values[..values.len() / channels * channels];
        let rows: Vec<&[f32]> = values.chunks_exact(channels).collect();
        let mut whole = Statistics::new(channels);
        whole.add(values, 1);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(rows.len() + 1)).collect();
        cuts.extend([0, rows.len()]);
        cuts.sort_unstable();
        let mut merged = Statistics::new(channels);
        for pair in cuts.windows(2).rev() {
            let mut part = Statistics::new(channels);
            rows[pair[0]..pair[1]].iter().rev().for_each(|row| part.add(row, 1));
            merged.merge(&part).unwrap();
        }
        prop_assert_eq!(&whole, &merged);
    }

    #[test]
    fn counts_are_those_of_the_values(values in numbers()) {
        let statistics = seen(&values);
        let count = |is: fn(&f32) -> bool| values.iter().filter(|x| is(x)).count() as u64;
        let finite = || values.iter().copied().filter(|x| x.is_finite());
        prop_assert_eq!(statistics.total(), Counts {
            values: values.len() as u64,
            zeros: count(|x| *x == 0.0),
            nan: count(|x| x.is_nan()),
            infinite: count(|x| x.is_infinite()),
            negative: count(|x| x.is_finite() && *x < 0.0),
            least: finite().fold(0.0, f32::min),
            largest: finite().map(f32::abs).fold(0.0, f32::max),
        });
        let histogram = statistics.histogram(0).unwrap();
        for (at, counted) in histogram.counts.iter().enumerate() {
            let inside = |x: &f32| (f64::from(x.abs()) / histogram.width).floor() == at as f64;
            prop_assert_eq!(*counted, finite().filter(inside).count() as u64, "bin {}", at);
        }
    }

    #[test]
    fn percentiles_do_not_fall(values in numbers(), mut percents in prop::collection::vec(0.0..=100.0, 8)) {
        percents.sort_by(f64::total_cmp);
        let mut statistics = Statistics::new(2);
        statistics.add(&values, 1);
        let ranges = |percent| statistics.range(&request(Calibration::Percentile(percent), INT8));
        let ranges: Result<Vec<_>, _> = percents.into_iter().map(ranges).collect();
        for pair in ranges.unwrap_or_default().windows(2) {
            prop_assert!(pair[0].iter().zip(&pair[1]).all(|(a, b)| a <= b), "{:?}", pair);
        }
    }
}

/// Enough values for several cores, lanes and pieces, with a grid that grows meanwhile.
#[test]
fn many_values_are_as_few_at_a_time() {
    let mut values = activations(300_001);
    values.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    values[200_000] = f32::NAN;
    let whole = seen(&values);
    let mut parts = Statistics::new(1);
    values.rchunks(1000).for_each(|part| parts.add(part, 1));
    assert!(whole == parts);
    assert_eq!(whole.total().nan, 1);
}

#[test]
fn channels_are_gathered_from_where_they_lie() {
    let values = activations(5 * 37 * 1100);
    for inner in [1, 4, 1100] {
        let mut all = Statistics::new(37);
        all.add(&values, inner);
        for channel in [0, 16, 36] {
            let runs = values.chunks_exact(inner).skip(channel).step_by(37);
            let own: Vec<f32> = runs.flatten().copied().collect();
            let mut alone = Statistics::new(2);
            alone.add(&[&own[..], &own[..]].concat(), own.len());
            assert_eq!(all.counts(channel), alone.counts(0));
            assert_eq!(all.histogram(channel), alone.histogram(0));
        }
    }
}

#[test]
fn a_high_percentile_is_the_order_statistic() {
    let values = activations(100_000);
    let statistics = seen(&values);
    let mut magnitudes: Vec<f32> = values.iter().map(|x| x.abs()).collect();
    magnitudes.sort_by(f32::total_cmp);
    for (percent, rank) in [(100.0, 100_000), (99.99, 99_990), (99.9, 99_900), (95.0, 95_000)] {
        let range = statistics.range(&request(Calibration::Percentile(percent), INT8)).unwrap();
        assert_eq!(range, [magnitudes[rank - 1]], "{percent}");
    }
    let width = statistics.histogram(0).unwrap().width as f32;
    for percent in [1.0, 10.0, 50.0, 90.0] {
        let range = statistics.range(&request(Calibration::Percentile(percent), INT8)).unwrap()[0];
        let exact = magnitudes[(percent * 1000.0) as usize - 1];
        assert!((range - exact).abs() <= width, "{percent}: {range} {exact}");
    }
}

#[test]
fn zeros_are_left_out_where_asked() {
    let statistics = seen(&[0.0, 0.0, 0.0, -0.0, 1.0, -2.0, 3.0, 4.0]);
    let mut request = request(Calibration::Percentile(50.0), INT8);
    assert_eq!(statistics.range(&request), Ok(vec![0.0]));
    request.skip_zeros = true;
    assert_eq!(statistics.range(&request), Ok(vec![2.0]));
    request.limit = Some(1.5);
    assert_eq!(statistics.range(&request), Ok(vec![1.5]));
}

#[test]
fn what_gives_no_range_is_said() {
    let fault = |values: &[f32], storage| {
        seen(values).range(&request(Calibration::Max, storage)).unwrap_err().to_string()
    };
    assert_eq!(fault(&[], INT8), "it saw no values");
    assert_eq!(fault(&[f32::NAN, 1.0, f32::NAN], INT8), "it saw NaN 2 times");
    assert_eq!(fault(&[f32::INFINITY, 1.0], INT8), "it saw infinite values 1 times");
    assert_eq!(fault(&[0.0, -0.0], INT8), "it saw only zeros");
    assert_eq!(
        fault(&[-1.5, 1.0, -0.5], UINT8),
        "it is unsigned and saw negative values 2 times, the least -1.5"
    );
}

#[test]
fn different_channels_do_not_merge() {
    let error = Statistics::new(2).merge(&Statistics::new(3)).unwrap_err();
    assert_eq!(error.to_string(), "statistics of 2 and of 3 channels do not merge");
    let mut parity = Collector::Parity(ParityHistogram::new(ParitySettings::default()));
    assert_eq!(parity.merge(&parity.clone()), Err(Unmergeable::Parity));
}
