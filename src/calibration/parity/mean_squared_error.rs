//! `_compute_amax_mse`.

use super::{Candidates, Fault, ParityHistogram};
use crate::quant::{
    Storage,
    codes::{TINY, e4m3},
};
use rayon::prelude::*;

/// The bin centre with which the centres of all bins have the least squared error.
pub(super) fn range(
    histogram: &ParityHistogram,
    storage: &Storage,
    candidates: Candidates,
) -> Result<f32, Fault> {
    let edges: Vec<f32> = histogram.edges.iter().map(|edge| *edge as f32).collect();
    let centres: Vec<f32> = edges.windows(2).map(|pair| pair.iter().sum::<f32>() / 2.0).collect();
    let tried: Vec<f32> =
        centres.iter().copied().skip(candidates.start).step_by(candidates.stride.max(1)).collect();
    if tried.is_empty() {
        return Err(super::TOO_FEW);
    }
    if centres.len() != histogram.counts.len() {
        return Err(Fault::Parity("rounding leaves more or fewer edges than bins"));
    }
    if tried.iter().any(|range| *range < 0.0) {
        return Err(Fault::Parity("a candidate is negative"));
    }
    let filled = centres.iter().zip(&histogram.counts).filter(|(_, count)| **count > 0);
    let filled: Vec<(f32, f64)> = filled.map(|(centre, count)| (*centre, *count as f64)).collect();
    let error = |range: &f32| -> f64 {
        let error = |(centre, count): &(f32, f64)| {
            let error = rounded(*centre, *range, storage) - centre;
            f64::from(error * error) * count
        };
        filled.iter().map(error).sum()
    };
    let errors: Vec<f64> = tried.par_iter().map(error).collect();
    let least = errors.iter().copied().fold(f64::INFINITY, f64::min);
    let at = errors.iter().position(|error| error.is_nan() || *error == least);
    at.and_then(|at| tried.get(at)).copied().ok_or(super::TOO_FEW)
}

/// What is left of `x` after the library's functions, whose range is narrow.
fn rounded(x: f32, range: f32, storage: &Storage) -> f32 {
    match *storage {
        Storage::Integer { bits, signed, .. } => {
            let bound = ((1_u32 << (bits - u8::from(signed))) - 1) as f32;
            if range <= TINY {
                return 0.0;
            }
            let scale = bound / range;
            let least = if signed { -bound } else { 0.0 };
            (x * scale).round_ties_even().clamp(least, bound) / scale
        }
        Storage::E4M3 if x.abs() < TINY => 0.0,
        Storage::E4M3 => {
            let scale = 448.0 / range;
            e4m3(x * scale) / scale
        }
    }
}
