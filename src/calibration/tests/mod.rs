mod file;
mod golden;
mod methods;
mod statistics;

use super::*;
use crate::quant::{Calibration, Storage};
use proptest::prelude::*;

const INT8: Storage = Storage::Integer { bits: 8, signed: true, narrow: false };
const UINT8: Storage = Storage::Integer { bits: 8, signed: false, narrow: false };

fn request(method: Calibration, storage: Storage) -> Request {
    Request { method, storage, skip_zeros: false, limit: None }
}

fn seen(values: &[f32]) -> Statistics {
    let mut statistics = Statistics::new(1);
    statistics.add(values, 1);
    statistics
}

/// Numbers of all sizes and kinds, many of them near each other.
fn numbers() -> impl Strategy<Value = Vec<f32>> {
    let number = prop_oneof![
        4 => -2.0_f32..2.0,
        2 => Just(0.0),
        1 => -1e30_f32..1e30,
        1 => any::<u32>().prop_map(f32::from_bits),
    ];
    prop::collection::vec(number, 0..200)
}

/// Numbers as activations have them: most near zero, a few large. Always the same.
fn activations(count: usize) -> Vec<f32> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32
    };
    let normal = move || (0..12).map(|_| next()).sum::<f32>() - 6.0;
    let large = |(at, x): (usize, f32)| if at % 97 == 0 { 5.0 * x } else { x };
    std::iter::repeat_with(normal).enumerate().map(large).take(count).collect()
}
