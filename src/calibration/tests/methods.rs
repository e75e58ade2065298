//! Ranges that follow from statistics, and what they cost, against the values themselves.

use super::*;

const STORAGES: [Storage; 6] = [
    INT8,
    UINT8,
    Storage::Integer { bits: 4, signed: true, narrow: true },
    Storage::Integer { bits: 2, signed: true, narrow: true },
    Storage::Integer { bits: 12, signed: true, narrow: false },
    Storage::E4M3,
];

/// Values that every storage takes.
fn magnitudes(count: usize) -> Vec<f32> {
    activations(count).iter().map(|x| x.abs()).collect()
}

fn noise(values: &[f32], range: f32, storage: &Storage) -> f64 {
    let left = |x: &f32| f64::from(*x) - f64::from(codes::rounded(*x, range, storage));
    values.iter().map(|x| left(x) * left(x)).sum()
}

#[test]
fn no_other_range_has_less_squared_error() {
    let values = magnitudes(20_000);
    let statistics = seen(&values);
    for storage in STORAGES {
        let range = statistics.range(&request(Calibration::MeanSquaredError, storage)).unwrap()[0];
        let least = noise(&values, range, &storage);
        for other in (1..200).map(|step| statistics.total().largest * step as f32 / 200.0) {
            // Values are not quite evenly spread in their bins.
            assert!(
                least <= 1.01 * noise(&values, other, &storage),
                "{storage:?}: {range} has {least}, {other} {}",
                noise(&values, other, &storage)
            );
        }
    }
}

#[test]
fn quality_is_that_of_the_values() {
    let values = magnitudes(50_000);
    let statistics = seen(&values);
    for storage in STORAGES {
        for range in [0.01, 0.5, 2.0, 5.0, 20.0, 100.0] {
            let (from_bins, exact) =
                (statistics.quality(&[range], &storage), quality_of(&values, 1, &[range], &storage));
            let case = format!("{storage:?} {range}: {from_bins:?}, {exact:?}");
            assert!((from_bins.clipped - exact.clipped).abs() < 1e-3, "{case}");
            assert!((from_bins.signal_to_noise - exact.signal_to_noise).abs() < 0.1, "{case}");
            assert!((from_bins.cosine - exact.cosine).abs() < 1e-3, "{case}");
        }
    }
}

#[test]
fn quality_of_values_is_what_it_says() {
    let quality = quality_of(&[1.0, -3.0, 0.25, f32::NAN], 1, &[1.0], &INT8);
    let left = [1.0, -128.0 / 127.0, 32.0 / 127.0];
    let pairs = || [1.0, -3.0, 0.25].into_iter().zip(left);
    let sum = |of: fn((f64, f64)) -> f64| pairs().map(of).sum::<f64>();
    let signal = sum(|(x, _)| x * x);
    assert!((quality.clipped - 1.0 / 3.0).abs() < 1e-12);
    let ratio = 10.0 * (signal / sum(|(x, y)| (x - y) * (x - y))).log10();
    assert!((quality.signal_to_noise - ratio).abs() < 1e-4, "{quality:?} {ratio}");
    let cosine = sum(|(x, y)| x * y) / (signal * sum(|(_, y)| y * y)).sqrt();
    assert!((quality.cosine - cosine).abs() < 1e-6, "{quality:?} {cosine}");
}

#[test]
fn tiny_values_have_codes() {
    let values: Vec<f32> = activations(5_000).iter().map(|x| x.abs() * 1e-9).collect();
    let statistics = seen(&values);
    for storage in [INT8, UINT8, Storage::E4M3] {
        for method in [Calibration::Max, Calibration::MeanSquaredError] {
            let range = statistics.range(&request(method.clone(), storage)).unwrap();
            assert!(range[0] < 1e-7, "{storage:?} {method} {range:?}");
            let exact = quality_of(&values, 1, &range, &storage);
            let from_bins = statistics.quality(&range, &storage);
            assert!(exact.signal_to_noise > 20.0, "{storage:?} {method} {exact:?}");
            assert!(
                (from_bins.signal_to_noise - exact.signal_to_noise).abs() < 0.5,
                "{storage:?} {from_bins:?}"
            );
        }
    }
}

#[test]
fn the_share_that_is_clipped_is_exact_among_the_largest() {
    let values = activations(30_000);
    let statistics = seen(&values);
    for percent in [99.0, 99.9, 99.99, 100.0] {
        let range = statistics.range(&request(Calibration::Percentile(percent), INT8)).unwrap();
        let clipped = values.iter().filter(|x| x.abs() > range[0]).count() as f64 / values.len() as f64;
        assert!((statistics.quality(&range, &INT8).clipped - clipped).abs() < 1e-12, "{percent}");
    }
}

#[test]
fn quality_is_always_a_number() {
    let cases: [&[f32]; 6] =
        [&[], &[0.0], &[f32::NAN], &[f32::MAX, f32::MIN], &[1e-45, -1e-40], &[f32::INFINITY, 1.0]];
    for values in cases {
        for storage in STORAGES {
            for range in [0.0, 1e-45, 1e-30, 1.0, f32::MAX] {
                let qualities =
                    [seen(values).quality(&[range], &storage), quality_of(values, 1, &[range], &storage)];
                for Quality { clipped, signal_to_noise, cosine } in qualities {
                    let case =
                        format!("{values:?} {storage:?} {range}: {clipped} {signal_to_noise} {cosine}");
                    assert!((0.0..=1.0).contains(&clipped), "{case}");
                    assert!(signal_to_noise.abs() <= LOSSLESS && cosine.abs() <= 1.0, "{case}");
                }
            }
        }
    }
}

#[test]
fn entropy_clips_little_of_values_far_from_zero() {
    let values: Vec<f32> = (0..2048).map(|at| 1.2 + 0.7 * at as f32 / 2048.0).collect();
    let statistics = seen(&values);
    for storage in [INT8, UINT8, Storage::E4M3] {
        let range = statistics.range(&request(Calibration::Entropy, storage)).unwrap();
        assert!(statistics.quality(&range, &storage).clipped < 0.5, "{storage:?}: {range:?}");
    }
}

#[test]
fn entropy_leaves_out_outliers() {
    let mut values = magnitudes(100_000);
    let bulk = values.iter().copied().fold(0.0, f32::max);
    values.extend([4.0 * bulk, 5.0 * bulk]);
    let statistics = seen(&values);
    for storage in [INT8, UINT8, Storage::E4M3] {
        let range = statistics.range(&request(Calibration::Entropy, storage)).unwrap()[0];
        assert!(range > 0.1 * bulk && range < 1.2 * bulk, "{storage:?}: {range} of {bulk}");
    }
}

/// The divergence from sums over codes is that from its definition.
#[test]
fn entropy_is_as_defined() {
    let values = magnitudes(3000);
    let statistics = seen(&values);
    let histogram = statistics.histogram(0).unwrap();
    let mut counts: Vec<f64> = histogram.counts.iter().map(|count| *count as f64).collect();
    while counts.last() == Some(&0.0) {
        counts.pop();
    }
    counts[0] = counts[1];
    let levels = 8;
    let divergence = |end: usize| {
        let outside: f64 = counts[end..].iter().sum();
        let mut clipped = counts[..end].to_vec();
        clipped[end - 1] += outside;
        let level = |bin: usize| (0..levels).rev().find(|level| level * end <= bin * levels).unwrap();
        let mut quantized = vec![0.0; end];
        for own in 0..levels {
            let bins: Vec<usize> = (0..end).filter(|bin| level(*bin) == own && clipped[*bin] > 0.0).collect();
            let sum: f64 = bins.iter().map(|bin| counts[*bin]).sum();
            bins.iter().for_each(|bin| quantized[*bin] = sum / bins.len() as f64);
        }
        let (p, q) = (clipped.iter().sum::<f64>(), quantized.iter().sum::<f64>());
        let terms = clipped.iter().zip(&quantized).filter(|(clipped, _)| **clipped > 0.0);
        terms.map(|(a, b)| a / p * ((a / p) / (b / q)).ln()).sum::<f64>()
    };
    let ends = counts.len() / 16..=counts.len();
    let nearest = ends.rev().min_by(|a, b| divergence(*a).total_cmp(&divergence(*b))).unwrap();
    let expected = (nearest as f64 * histogram.width).min(f64::from(statistics.total().largest));
    let storage = Storage::Integer { bits: 4, signed: true, narrow: false };
    let range = statistics.range(&request(Calibration::Entropy, storage)).unwrap();
    assert_eq!(range, [expected as f32]);
}

#[test]
fn no_range_is_above_the_limit() {
    let statistics = seen(&magnitudes(5000));
    let methods = [
        Calibration::Max,
        Calibration::Percentile(99.9),
        Calibration::Entropy,
        Calibration::MeanSquaredError,
    ];
    for storage in [INT8, Storage::E4M3] {
        for method in &methods {
            for limit in [1e-30, 0.125, 1.0, 1e6] {
                let request = Request { limit: Some(limit), ..request(method.clone(), storage) };
                let range = statistics.range(&request).unwrap()[0];
                assert!(range > 0.0 && range <= limit as f32, "{method:?} {limit}: {range}");
            }
        }
    }
}

#[test]
fn weights_have_exact_percentiles_for_each_channel() {
    let values = activations(4 * 3 * 500);
    let request = request(Calibration::Percentile(60.0), INT8);
    let ranges = weight_range(&values, 3, 500, &request).unwrap();
    for (channel, range) in ranges.iter().enumerate() {
        let runs = values.chunks(500).skip(channel).step_by(3);
        let mut magnitudes: Vec<f32> = runs.flatten().map(|x| x.abs()).collect();
        magnitudes.sort_by(f32::total_cmp);
        assert_eq!(*range, magnitudes[1199], "{channel}");
    }
    let quality = quality_of(&values, 500, &ranges, &INT8);
    assert!((quality.clipped - 0.4).abs() < 1e-12, "{quality:?}");
    // The same values with the channels along the last axis.
    let runs = || values.chunks(500);
    let column = |row: usize, at: usize| runs().skip(3 * row).take(3).map(move |run| run[at]);
    let turned: Vec<f32> = (0..4).flat_map(|row| (0..500).flat_map(move |at| column(row, at))).collect();
    assert_eq!(weight_range(&turned, 3, 1, &request).unwrap(), ranges);
    assert!((quality_of(&turned, 1, &ranges, &INT8).signal_to_noise - quality.signal_to_noise).abs() < 1e-9);
}

/// Every E4M3 number is its own nearest, and the codes are these numbers.
#[test]
fn codes_are_left_as_they_are() {
    for storage in STORAGES {
        for share in codes::shares(&storage) {
            let x = (share * 448.0) as f32;
            let left = codes::rounded(x, 448.0, &storage);
            assert!((left - x).abs() <= 1e-6 * x, "{storage:?}: {x} {left}");
        }
    }
}
