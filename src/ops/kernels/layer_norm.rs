//! Layer normalisation, one row at a time.

use super::{ROWS, join, lend, map_rows, unfit};
use candle_core::{D, Result, Tensor};
use pulp::Arch;
use rayon::prelude::*;

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

/// The gradients of `x` (and of `other`, which are the same), `weight` and `bias` from that
/// of what [`layer_norm`] makes of them. All of them [`fit`](super::fits).
pub(crate) fn layer_norm_gradients(
    x: &Tensor,
    other: Option<&Tensor>,
    weight: &Tensor,
    upstream: &Tensor,
    eps: f32,
) -> Result<[Tensor; 3]> {
    let length = x.dim(D::Minus1)?;
    if length == 0 || upstream.dims() != x.dims() || other.is_some_and(|other| other.dims() != x.dims()) {
        return Err(unfit());
    }
    let (lent, other) = (lend(x), other.map(lend));
    let other = other.as_ref().map(|other| other.in_order()).transpose()?;
    let (weight_lent, upstream) = (lend(weight), lend(upstream));
    let (numbers, weight, upstream) = (lent.in_order()?, weight_lent.in_order()?, upstream.in_order()?);
    let mut of_x = vec![0.0; numbers.len()];
    let arch = Arch::new();
    let piece = |(at, (x, of_x)): (usize, (&[f32], &mut [f32]))| {
        let start = at * ROWS * length;
        let other = other.map(|other| other.get(start..).unwrap_or(&[]));
        let upstream = upstream.get(start..).unwrap_or(&[]);
        arch.dispatch(
            #[inline(always)]
            || {
                let mut sums = [vec![0.0; length], vec![0.0; length]];
                let rows = x.chunks(length).zip(of_x.chunks_mut(length)).zip(upstream.chunks(length));
                for (at, ((x, of_x), upstream)) in rows.enumerate() {
                    of_x.copy_from_slice(x);
                    let other = other.and_then(|other| other.get(at * length..));
                    for (x, other) in of_x.iter_mut().zip(other.unwrap_or(&[])) {
                        *x += other;
                    }
                    back(of_x, weight, upstream, eps, &mut sums);
                }
                sums
            },
        )
    };
    let pieces = numbers.par_chunks(ROWS * length).zip(of_x.par_chunks_mut(ROWS * length));
    let sums: Vec<[Vec<f32>; 2]> = pieces.enumerate().map(piece).collect();
    let (of_weight, of_bias): (Vec<_>, Vec<_>) =
        sums.into_iter().map(|[of_weight, of_bias]| (of_weight, of_bias)).unzip();
    let device = x.device();
    Ok([
        Tensor::from_vec(of_x, x.shape(), device)?,
        Tensor::from_vec(join(of_weight, length), length, device)?,
        Tensor::from_vec(join(of_bias, length), length, device)?,
    ])
}

/// Puts the gradient of a row in its place, and adds those of weight and bias to the sums.
#[inline(always)]
fn back(
    row: &mut [f32],
    weight: &[f32],
    upstream: &[f32],
    eps: f32,
    [of_weight, of_bias]: &mut [Vec<f32>; 2],
) {
    let count = row.len() as f32;
    let mean = super::sum(row, |x| x) / count;
    let variance = super::sum(row, |x| (x - mean) * (x - mean)) / count;
    let scale = 1.0 / (variance + eps).sqrt();
    let sums = of_weight.iter_mut().zip(of_bias.iter_mut());
    for ((x, upstream), (of_weight, of_bias)) in row.iter_mut().zip(upstream).zip(sums) {
        *x = (*x - mean) * scale;
        *of_weight += upstream * *x;
        *of_bias += upstream;
    }
    let (plain, normal) = super::sums_of(row, weight, upstream);
    let (plain, normal) = (plain / count, normal / count);
    for ((x, weight), upstream) in row.iter_mut().zip(weight).zip(upstream) {
        *x = scale * (weight * upstream - plain - *x * normal);
    }
}

/// Makes a row its layer norm.
#[inline(always)]
pub(crate) fn normalise(row: &mut [f32], weight: &[f32], bias: &[f32], eps: f32) {
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
