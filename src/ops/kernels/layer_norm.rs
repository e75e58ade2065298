//! Layer normalisation, one row at a time.

use super::{map_rows, with_numbers};
use candle_core::{D, Result, Tensor};

/// `x` along its last axis brought to mean 0 and variance 1, times `weight` plus
/// `bias`; all of them [`fit`](super::fits).
pub(crate) fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f32) -> Result<Tensor> {
    let length = x.dim(D::Minus1)?;
    let result = with_numbers(x, |x| {
        with_numbers(weight, |weight| {
            with_numbers(bias, |bias| map_rows(x, length, |x, result| row(x, weight, bias, eps, result)))
        })
    })???;
    Tensor::from_vec(result, x.shape(), x.device())
}

#[inline(always)]
pub(super) fn row(x: &[f32], weight: &[f32], bias: &[f32], eps: f32, result: &mut [f32]) {
    let count = x.len() as f32;
    let mean = super::sum(x, |x| x) / count;
    let variance = super::sum(x, |x| (x - mean) * (x - mean)) / count;
    let scale = 1.0 / (variance + eps).sqrt();
    for (((x, weight), bias), result) in x.iter().zip(weight).zip(bias).zip(result) {
        *result = (x - mean) * scale * weight + bias;
    }
}
