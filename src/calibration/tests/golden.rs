//! Numbers that pytorch-quantization gives.

use super::*;

/// `4 * (i / 9999)^3`.
fn cubes() -> Vec<f32> {
    (0..10_000).map(|i| (4.0 * (f64::from(i) / 9999.0).powi(3)) as f32).collect()
}

fn both(check: impl Fn(&mut ParityHistogram)) {
    for numpy in [false, true] {
        let settings = ParitySettings { numpy, ..ParitySettings::default() };
        let mut histogram = ParityHistogram::new(settings);
        histogram.add(&cubes()).unwrap();
        check(&mut histogram);
    }
}

fn range(histogram: &ParityHistogram, method: Calibration, storage: Storage, stride: usize) -> f64 {
    let candidates = Candidates { stride, ..Candidates::default() };
    f64::from(histogram.range_among(&request(method, storage), candidates).unwrap()[0])
}

#[test]
fn one_batch() {
    both(|histogram| {
        assert_eq!(histogram.counts()[..4], [788, 205, 143, 114]);
        let percentiles = [
            (99.0, 3.880859375),
            (99.9, 3.98828125),
            (99.99, 3.998046875),
            (99.999, 3.998046875),
            (100.0, 4.0),
        ];
        for (percent, expected) in percentiles {
            assert_eq!(range(histogram, Calibration::Percentile(percent), INT8, 1), expected);
        }
        let squared = Calibration::MeanSquaredError;
        assert_eq!(range(histogram, squared.clone(), INT8, 1), 3.9736328125);
        assert_eq!(range(histogram, squared.clone(), INT8, 8), 3.9697265625);
        assert_eq!(range(histogram, squared.clone(), UINT8, 1), 3.9853515625);
        assert_eq!(range(histogram, squared, UINT8, 8), 3.9853515625);
        for storage in [INT8, UINT8] {
            assert_eq!(range(histogram, Calibration::Entropy, storage, 1), 4.0);
            assert_eq!(range(histogram, Calibration::Entropy, storage, 16), 4.0);
        }
    });
}

#[test]
fn a_second_batch() {
    both(|histogram| {
        histogram.add(&[6.5, -0.25, 5.0]).unwrap();
        assert_eq!((histogram.counts().len(), histogram.edges().last()), (3328, Some(&6.5)));
        assert_eq!(histogram.counts().iter().sum::<u64>(), 10_003);
        for (percent, expected) in [(99.9, 3.990234375), (99.99, 5.0), (100.0, 6.498046875)] {
            assert_eq!(range(histogram, Calibration::Percentile(percent), INT8, 1), expected);
        }
        assert_eq!(range(histogram, Calibration::MeanSquaredError, INT8, 1), 6.2431640625);
        assert_eq!(range(histogram, Calibration::Entropy, INT8, 1), 4.0);
    });
}

#[test]
fn the_largest() {
    let mut statistics = seen(&cubes());
    statistics.add(&[-5.0], 1);
    assert_eq!(statistics.range(&request(Calibration::Max, INT8)), Ok(vec![5.0]));
    let mut rows = Statistics::new(3);
    rows.add(&[0.1, -0.2, 0.3, 1.0, -2.0, 3.0, 0.0, 0.0, 0.0], 3);
    assert_eq!(rows.range(&request(Calibration::Max, INT8)), Ok(vec![0.3, 3.0, 0.0]));
}
