//! Softmax, one row at a time.

use super::{exp::exp, fits, lend, map_rows, starts, unfit};
use candle_core::{D, Result, Tensor};

/// The softmax along the last axis of a tensor that [`fits`].
pub(crate) fn softmax(x: &Tensor) -> Result<Tensor> {
    let length = x.dim(D::Minus1)?;
    let result = map_rows(lend(x).in_order()?, length, |_, x, result| {
        result.copy_from_slice(x);
        rescale(result);
    });
    Tensor::from_vec(result, x.shape(), x.device())
}

/// The softmax along the last axis of `x / divisor + mask`, where `x` [`fits`] and
/// `mask` has as many numbers along the last axis and fills the others by
/// broadcasting.
pub(crate) fn masked_softmax(x: &Tensor, divisor: f32, mask: &Tensor) -> Result<Tensor> {
    let (leading, length) = match x.dims() {
        [leading @ .., length] => (leading, *length),
        [] => return Err(unfit()),
    };
    let mask = if fits(mask) { mask.clone() } else { mask.contiguous()? };
    let lent = lend(&mask);
    let mask_numbers = lent.all()?;
    let rows: Vec<&[f32]> = starts(lent.1, leading, 1)?
        .into_iter()
        .map(|start| mask_numbers.get(start..start.checked_add(length)?))
        .collect::<Option<_>>()
        .ok_or_else(unfit)?;
    let result = map_rows(lend(x).in_order()?, length, |at, x, result| {
        let Some(mask) = rows.get(at) else { return };
        for ((x, mask), result) in x.iter().zip(*mask).zip(result.iter_mut()) {
            *result = x / divisor + mask;
        }
        rescale(result);
    });
    Tensor::from_vec(result, x.shape(), x.device())
}

/// The gradient of `x` from that of the softmax along the last axis of `x / divisor`, whose
/// result is given. `result` and `upstream` [`fit`](fits).
pub(crate) fn softmax_gradient(result: &Tensor, upstream: &Tensor, divisor: f32) -> Result<Tensor> {
    let length = result.dim(D::Minus1)?;
    let (lent, upstream) = (lend(result), lend(upstream));
    let upstream = upstream.in_order()?;
    let gradient = map_rows(lent.in_order()?, length, |at, result, gradient| {
        let upstream = upstream.get(at * length..(at + 1) * length).unwrap_or(&[]);
        let mean = super::dot(result, upstream);
        for ((result, upstream), gradient) in result.iter().zip(upstream).zip(gradient) {
            *gradient = result * (upstream - mean) / divisor;
        }
    });
    Tensor::from_vec(gradient, result.shape(), result.device())
}

/// Makes a row its softmax.
#[inline(always)]
pub(crate) fn rescale(row: &mut [f32]) {
    let largest = super::largest(row);
    for x in row.iter_mut() {
        *x = exp(*x - largest);
    }
    let scale = 1.0 / super::sum(row, |x| x);
    for x in row {
        *x *= scale;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn what_is_no_number_is_not_hidden() {
        let [nan, low] = [f32::NAN, f32::NEG_INFINITY];
        let rows = [[1.0, nan, 2.0], [low, low, low], [f32::INFINITY, 0.0, 1.0], [low, 0.0, 0.0]];
        let result = softmax(&Tensor::new(&rows, &Device::Cpu).unwrap()).unwrap();
        let [a, b, c, good]: [Vec<f32>; 4] = result.to_vec2::<f32>().unwrap().try_into().unwrap();
        let bad = [a, b, c];
        assert!(bad.iter().flatten().all(|x| x.is_nan()), "{bad:?}");
        assert_eq!(good, [0.0, 0.5, 0.5]);
    }

    #[test]
    fn a_mask_is_added_after_dividing() {
        let x = Tensor::arange(0_f32, 48.0, &Device::Cpu).unwrap().reshape((2, 2, 3, 4)).unwrap();
        let mask = Tensor::new(&[[0_f32, 1.0, -1e30, 2.0], [0.0, -1e30, 0.5, 0.25]], &Device::Cpu).unwrap();
        for mask in [
            mask.reshape((2, 1, 1, 4)).unwrap(),
            mask.broadcast_as((3, 2, 4)).unwrap().transpose(0, 1).unwrap(),
        ] {
            let ours = masked_softmax(&x, 8.0, &mask).unwrap();
            let theirs = (&x / 8.0).unwrap().broadcast_add(&mask).unwrap();
            let theirs = candle_nn::ops::softmax(&theirs, 3).unwrap();
            let apart = (ours - theirs).unwrap().abs().unwrap().max_all().unwrap();
            assert!(apart.to_dtype(DType::F64).unwrap().to_scalar::<f64>().unwrap() < 1e-7);
        }
    }
}
