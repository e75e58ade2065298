//! Layer normalisation, one row at a time.

use super::{lend, map_rows};
use candle_core::{D, Result, Tensor};

/// `x`, or its sum with another tensor of its shape, brought to mean 0 and
/// variance 1 along the last axis, times `weight` plus `bias`. All of them
/// [`fit`](super::fits).
pub(crate) fn layer_norm(
    x: &Tensor,
    other: Option<&Tensor>,
    [weight, bias]: [&Tensor; 2],
    eps: f32,
) -> Result<Tensor> {
    let length = x.dim(D::Minus1)?;
    let (weight, bias) = (lend(weight), lend(bias));
    let (weight, bias) = (weight.in_order()?, bias.in_order()?);
    let lent = lend(x);
    let numbers = lent.in_order()?;
    let result = match other {
        None => map_rows(numbers, length, |_, x, result| {
            result.copy_from_slice(x);
            normalise(result, weight, bias, eps);
        }),
        Some(other) => {
            let other = lend(other);
            let other = other.in_order()?;
            map_rows(numbers, length, |at, x, result| {
                let other = other.get(at * length..).unwrap_or(&[]);
                for ((x, other), result) in x.iter().zip(other).zip(result.iter_mut()) {
                    *result = x + other;
                }
                normalise(result, weight, bias, eps);
            })
        }
    };
    Tensor::from_vec(result, x.shape(), x.device())
}

#[inline(always)]
fn normalise(row: &mut [f32], weight: &[f32], bias: &[f32], eps: f32) {
    let count = row.len() as f32;
    let mean = super::sum(row, |x| x) / count;
    let variance = super::sum(row, |x| (x - mean) * (x - mean)) / count;
    let scale = 1.0 / (variance + eps).sqrt();
    for ((x, weight), bias) in row.iter_mut().zip(weight).zip(bias) {
        *x = (*x - mean) * scale * weight + bias;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn a_sum_is_normalised_as_if_it_had_been_made_first() {
        let numbers = |start: f32| Tensor::arange(start, start + 35.0, &Device::Cpu).unwrap().sin().unwrap();
        let (x, other) = (numbers(0.0).reshape((5, 7)).unwrap(), numbers(9.0).reshape((5, 7)).unwrap());
        let (weight, bias) = (numbers(1.0).narrow(0, 0, 7).unwrap(), numbers(2.0).narrow(0, 7, 7).unwrap());
        let fused = layer_norm(&x, Some(&other), [&weight, &bias], 1e-5).unwrap();
        let apart = layer_norm(&(x + other).unwrap(), None, [&weight, &bias], 1e-5).unwrap();
        assert_eq!(fused.to_vec2::<f32>().unwrap(), apart.to_vec2::<f32>().unwrap());
    }
}
