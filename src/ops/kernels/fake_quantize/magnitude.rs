//! The largest magnitude of a tensor, or for each index of an axis.

use super::super::{PIECE, fits, lend};
use candle_core::{DType, Result, Tensor};
use pulp::Arch;
use rayon::prelude::*;

/// The largest magnitude in f32 numbers: one, or for each index of `axis`, with the
/// axes of `x` and the others of size 1. NaN where one is among them.
pub(crate) fn magnitude(x: &Tensor, axis: Option<usize>) -> Result<Tensor> {
    let Some(axis) = axis else {
        return if fits(x) { whole(x) } else { composed(x, &(0..x.rank()).collect::<Vec<_>>())?.reshape(()) };
    };
    let others: Vec<usize> = (0..x.rank()).filter(|other| *other != axis).collect();
    composed(x, &others)
}

fn whole(x: &Tensor) -> Result<Tensor> {
    let lent = lend(x);
    let arch = Arch::new();
    let largest = lent.in_order()?.par_chunks(PIECE).map(|piece| {
        // The bits of magnitudes are ordered as they are, with NaN last.
        arch.dispatch(|| piece.iter().fold(0, |most, x| most.max(x.to_bits() & 0x7fff_ffff)))
    });
    Tensor::new(f32::from_bits(largest.max().unwrap_or_default()), x.device())
}

/// By candle's own operations, which pass over NaN.
fn composed(x: &Tensor, axes: &[usize]) -> Result<Tensor> {
    let magnitudes = x.abs()?;
    let is_number = magnitudes.eq(&magnitudes)?;
    let infinite = magnitudes.zeros_like()?.affine(0.0, f64::INFINITY)?;
    let mut most = is_number.where_cond(&magnitudes, &infinite)?;
    let mut any = is_number.to_dtype(DType::F32)?;
    for axis in axes {
        most = most.max_keepdim(*axis)?;
        any = any.min_keepdim(*axis)?;
    }
    // 0 / 0 where one is none.
    most.broadcast_mul(&any.div(&any)?)
}
