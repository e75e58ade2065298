//! The range with the least squared error.

use super::Seen;
use crate::{
    calibration::{
        codes::{scale, shares},
        integrals::Integrals,
    },
    quant::{Storage, codes::largest_code},
};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// The part of the used bins below which no candidate lies.
const FIRST: usize = 64;

/// The candidate whose squared error is least, the smallest of several.
///
/// Candidates are the upper edges of bins, from a 64th of the largest magnitude up, and
/// the largest magnitude or the limit. Values lie evenly in their bins, in which the
/// error is integrated. This is pytorch-quantization's `mse`, which takes the centres of
/// bins both as candidates and as values, and none below a 16th.
pub(super) fn range(seen: &Seen, storage: &Storage, limit: f64) -> f64 {
    let width = seen.tally.width();
    let counts = seen.used();
    let end = f64::from(seen.tally.counts.largest).min(limit);
    let first = (counts.len() / FIRST).max(1);
    let edges = (first..=counts.len()).map(|at| at as f64 * width);
    let candidates: Vec<f64> = edges.take_while(|edge| *edge < end).chain([end]).collect();
    let usable: Vec<f64> =
        candidates.into_iter().filter(|range| scale(*range as f32, storage) > 0.0).collect();
    // The codes of a smaller range are all 0.
    if usable.is_empty() {
        return end;
    }
    let errors: Vec<f64> = match *storage {
        Storage::Integer { bits, signed, .. } => {
            let largest = f64::from(largest_code(bits, signed));
            let (edges, weights) = steps(&counts, width);
            let (edges, weights) = (&edges[..], &weights[..]);
            let arch = Arch::new();
            let error =
                |range: &f64| arch.dispatch(OfWhole { edges, weights, step: range / largest, largest });
            usable.par_iter().map(error).collect()
        }
        Storage::E4M3 => {
            let shares = shares(storage);
            usable.par_iter().map(|range| of_codes(&counts, width, &shares, *range)).collect()
        }
    };
    let least = errors.iter().copied().fold(f64::INFINITY, f64::min);
    let at = errors.iter().position(|error| *error == least);
    at.and_then(|at| usable.get(at)).copied().unwrap_or(end)
}

/// The edges at which the number of values per length changes, and by how much it falls
/// there: the sum over bins of `count / width * (F(to) - F(from))` is that over these
/// edges of `weight * F(edge)`, wherever `F(0) = 0`.
fn steps(counts: &[u64], width: f64) -> (Vec<f64>, Vec<f64>) {
    let after = counts.iter().skip(1).copied().chain([0]);
    let steps = counts.iter().zip(after).enumerate().filter(|(_, (count, after))| *count != after);
    steps
        .map(|(at, (count, after))| ((at + 1) as f64 * width, (*count as f64 - after as f64) / width))
        .unzip()
}

/// The squared error of rounding to whole codes up to `largest`, `step` apart.
///
/// With `u = x / step`, `n` the code nearest to `u` and `f = u - n`, the error is
/// `step * f`, and the integral of its square from zero to `x` is
/// `step³ * (n / 12 + f³ / 3)`.
struct OfWhole<'a> {
    edges: &'a [f64],
    weights: &'a [f64],
    step: f64,
    largest: f64,
}

impl WithSimd for OfWhole<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> f64 {
        let inverse = 1.0 / self.step;
        let term = |edge: &f64, weight: &f64| {
            let scaled = edge * inverse;
            let code = (scaled + 0.5).floor().min(self.largest);
            let rest = scaled - code;
            weight * (code / 12.0 + rest * rest * rest / 3.0)
        };
        let (edges, last_edges) = self.edges.as_chunks::<8>();
        let (weights, last_weights) = self.weights.as_chunks::<8>();
        let mut sums = [0.0; 8];
        for (edges, weights) in edges.iter().zip(weights) {
            for ((sum, edge), weight) in sums.iter_mut().zip(edges).zip(weights) {
                *sum += term(edge, weight);
            }
        }
        for ((sum, edge), weight) in sums.iter_mut().zip(last_edges).zip(last_weights) {
            *sum += term(edge, weight);
        }
        sums.iter().sum::<f64>() * self.step.powi(3)
    }
}

/// The squared error of rounding to codes that are shares of the range.
fn of_codes(counts: &[u64], width: f64, shares: &[f64], range: f64) -> f64 {
    let mut integrals = Integrals::new(shares, range);
    let mut below = 0.0;
    let of_bin = |(at, count): (usize, &u64)| {
        let above = integrals.at((at + 1) as f64 * width).noise;
        let error = *count as f64 / width * (above - below);
        below = above;
        error
    };
    counts.iter().enumerate().map(of_bin).sum()
}
