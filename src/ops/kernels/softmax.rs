//! Softmax, one row at a time.

use super::{exp::exp, map_rows, with_numbers};
use candle_core::{D, Result, Tensor};

/// The softmax along the last axis of a tensor that [`fits`](super::fits).
pub(crate) fn softmax(x: &Tensor) -> Result<Tensor> {
    let length = x.dim(D::Minus1)?;
    let result = with_numbers(x, |x| map_rows(x, length, row))?;
    Tensor::from_vec(result, x.shape(), x.device())
}

#[inline(always)]
fn row(x: &[f32], result: &mut [f32]) {
    let largest = super::largest(x);
    for (x, result) in x.iter().zip(result.iter_mut()) {
        *result = exp(x - largest);
    }
    let scale = 1.0 / super::sum(result, |x| x);
    for result in result {
        *result *= scale;
    }
}
