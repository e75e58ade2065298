//! `_compute_amax_entropy`.

use super::{Candidates, Fault, ParityHistogram};
use crate::quant::Storage;
use rayon::prelude::*;

/// The edge at which the clipped histogram is nearest, by Kullback and Leibler, to
/// itself after quantization; the last of several, NaN being nearest of all.
pub(super) fn range(
    histogram: &ParityHistogram,
    storage: &Storage,
    candidates: Candidates,
) -> Result<f32, Fault> {
    let Storage::Integer { bits, signed, .. } = storage else {
        return Err(Fault::Undefined { method: "entropy" });
    };
    let levels = 1_usize << (bits - u8::from(*signed));
    let mut counts: Vec<f64> = histogram.counts.iter().map(|count| *count as f64).collect();
    if let [first, second, ..] = &mut counts[..] {
        *first = *second;
    }
    let ends: Vec<usize> = (candidates.start..=counts.len()).step_by(candidates.stride.max(1)).collect();
    let divergences: Vec<f64> = ends.par_iter().map(|end| divergence(&counts, *end, levels)).collect();
    let nearest = divergences.iter().rposition(|divergence| divergence.is_nan()).or_else(|| {
        let least = divergences.iter().copied().fold(f64::INFINITY, f64::min);
        divergences.iter().rposition(|divergence| *divergence == least)
    });
    let end = nearest.and_then(|at| ends.get(at)).ok_or(super::TOO_FEW)?;
    let edge = histogram.edges.get(*end);
    edge.map(|edge| *edge as f32).ok_or(Fault::Parity("rounding leaves too few edges"))
}

/// How far the first `end` bins, with the rest in the last of them, are from the same
/// after quantization.
fn divergence(counts: &[f64], end: usize, levels: usize) -> f64 {
    let (inside, outside) = counts.split_at(end.min(counts.len()));
    let outside: f64 = outside.iter().sum();
    let is_empty = |count: &f64| *count == 0.0;
    // Nothing is in the last bin after quantization, where the clipped values are before.
    if outside > 0.0 && inside.last().is_some_and(is_empty) && !inside.iter().all(is_empty) {
        return f64::INFINITY;
    }
    // The level of each bin, by the edges of `numpy.linspace`.
    let step = end as f64 / levels as f64;
    let mut level = 0;
    let level_of: Vec<usize> = (0..end)
        .map(|bin| {
            while level + 1 < levels && (level + 1) as f64 * step <= bin as f64 {
                level += 1;
            }
            level
        })
        .collect();
    let mut means = vec![(0.0, 0.0); levels];
    for (level, count) in level_of.iter().zip(inside).filter(|(_, count)| **count != 0.0) {
        if let Some((sum, bins)) = means.get_mut(*level) {
            *sum += count;
            *bins += 1.0;
        }
    }
    let quantized: Vec<f64> = level_of
        .iter()
        .zip(inside)
        .map(|(level, count)| match (means.get(*level), *count != 0.0) {
            (Some((sum, bins)), true) => sum / bins,
            _ => 0.0,
        })
        .collect();
    let mut clipped = inside.to_vec();
    if let Some(last) = clipped.last_mut() {
        *last += outside;
    }
    let (of_clipped, of_quantized) = (clipped.iter().sum::<f64>(), quantized.iter().sum::<f64>());
    let term = |(p, q): (&f64, &f64)| relative_entropy(p / of_clipped, q / of_quantized);
    clipped.iter().zip(&quantized).map(term).sum()
}

/// `scipy.special.rel_entr`.
fn relative_entropy(p: f64, q: f64) -> f64 {
    match (p, q) {
        _ if p.is_nan() || q.is_nan() => f64::NAN,
        _ if p > 0.0 && q > 0.0 => p * (p / q).ln(),
        _ if p == 0.0 => 0.0,
        _ => f64::INFINITY,
    }
}
