//! Ranges of a tensor that is at hand whole, such as a weight.

use super::{Fault, Request, Statistics, methods};
use crate::quant::Calibration;
use rayon::prelude::*;

/// The range of each channel of values that lie as `[outer, channels, inner]`; one
/// channel is the whole tensor. As [`Statistics::range`], but every percentile is exact.
///
/// # Errors
///
/// See [`Fault`].
pub fn weight_range(
    values: &[f32],
    channels: usize,
    inner: usize,
    request: &Request,
) -> Result<Vec<f32>, Fault> {
    let mut statistics = Statistics::new(channels);
    statistics.add(values, inner);
    let ranges = statistics.range(request)?;
    let Calibration::Percentile(percent) = request.method else { return Ok(ranges) };
    let inner = if channels <= 1 { values.len() } else { inner }.max(1);
    let range = |(channel, range): (usize, &f32)| {
        let runs = values.chunks_exact(inner).skip(channel).step_by(channels.max(1));
        let magnitudes = runs.flatten().map(|x| x.abs());
        let mut magnitudes: Vec<f32> = magnitudes.filter(|x| !request.skip_zeros || *x > 0.0).collect();
        let rank = methods::percentile::rank(magnitudes.len() as u64, percent);
        let at = usize::try_from(rank - 1).ok().filter(|at| *at < magnitudes.len());
        let Some(at) = at else { return *range };
        let exact = *magnitudes.select_nth_unstable_by(at, f32::total_cmp).1;
        request.limit.map_or(exact, |limit| exact.min(limit as f32))
    };
    Ok(ranges.par_iter().enumerate().map(range).collect())
}
