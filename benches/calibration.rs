//! How fast statistics are taken, saved, and turned into ranges: `cargo bench --bench
//! calibration`. The tensors are those of one layer of BERT-base, 8 texts of 128 tokens.

use qdqc::{
    calibration::{Collector, ParityHistogram, ParitySettings, Request, Saved, Statistics},
    quant::{Calibration, Storage},
};
use std::time::{Duration, Instant};

const INT8: Storage = Storage::Integer { bits: 8, signed: true, narrow: false };

/// Sums of uniform numbers, near to normal ones, a few of them large.
fn activations(count: usize) -> Vec<f32> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    let normal = move || (0..6).map(|_| next()).sum::<f32>() - 3.0;
    let large = |(at, x): (usize, f32)| if at % 997 == 0 { 8.0 * x } else { x };
    std::iter::repeat_with(normal).enumerate().map(large).take(count).collect()
}

fn median(mut run: impl FnMut()) -> Duration {
    let time = |()| {
        let start = Instant::now();
        run();
        start.elapsed()
    };
    let mut times: Vec<Duration> = std::iter::repeat_n((), 15).map(time).collect();
    times.sort_unstable();
    times[times.len() / 2]
}

fn speed(what: &str, values: &[f32], mut add: impl FnMut(&[f32])) {
    add(values);
    let time = median(|| add(values));
    println!("{what:<44} {:>7.0} M values/s", values.len() as f64 / time.as_secs_f64() / 1e6);
}

fn main() {
    let hidden = activations(8 * 128 * 768);
    let inner = activations(8 * 128 * 3072);
    let positive: Vec<f32> = inner.iter().map(|x| x.max(0.0)).collect();
    let shares: Vec<f32> = inner[..8 * 12 * 128 * 128].iter().map(|x| (4.0 * x).exp() / 1e6).collect();

    for (what, values) in
        [("hidden", &hidden), ("inner", &inner), ("inner, half zeros", &positive), ("attention", &shares)]
    {
        let mut statistics = Statistics::new(1);
        speed(&format!("add, {what}"), values, |values| statistics.add(values, 1));
    }
    let mut fresh = Statistics::new(1);
    speed("add to nothing, inner", &inner, |values| {
        fresh = Statistics::new(1);
        fresh.add(values, 1);
    });
    let mut rows = Statistics::new(768);
    speed("add, 768 channels, last axis", &hidden, |values| rows.add(values, 1));
    let mut rows = Statistics::new(768);
    speed("add, 768 channels, first axis", &hidden, |values| rows.add(values, 1024));
    for numpy in [false, true] {
        let mut parity = ParityHistogram::new(ParitySettings { numpy, ..ParitySettings::default() });
        let what = if numpy { "add, parity, numpy" } else { "add, parity" };
        speed(what, &hidden, |values| parity.add(values).unwrap_or_default());
    }

    let mut statistics = Statistics::new(1);
    statistics.add(&inner, 1);
    let methods = [
        ("max", Calibration::Max),
        ("percentile", Calibration::Percentile(99.99)),
        ("entropy", Calibration::Entropy),
        ("mse", Calibration::MeanSquaredError),
    ];
    for (name, method) in methods {
        for (codes, storage) in [("int8", INT8), ("e4m3", Storage::E4M3)] {
            let request = Request { method: method.clone(), storage, skip_zeros: false, limit: None };
            let time = median(|| _ = std::hint::black_box(statistics.range(&request)));
            println!("range, {name}, {codes:<10} {time:?}");
        }
    }
    println!("quality, int8 {:?}", median(|| _ = std::hint::black_box(statistics.quality(&[3.0], &INT8))));

    let tensors = (0..110).map(|at| (format!("tensor{at}"), Collector::Canonical(statistics.clone())));
    let saved = Saved { tensors: tensors.collect(), ..Saved::default() };
    let bytes = saved.to_bytes().unwrap_or_default();
    let write = median(|| _ = std::hint::black_box(saved.to_bytes()));
    let read = median(|| _ = std::hint::black_box(Saved::from_bytes(&bytes)));
    println!("110 tensors: {} bytes, written in {write:?}, read in {read:?}", bytes.len());
}
