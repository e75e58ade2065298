//! Two tensors added.

use super::{PIECE, back_from, fits, lend, map_rows, order_in_memory};
use candle_core::{Result, Tensor};

/// The sum of two tensors of one shape. Where both lie in memory in one order, so does the sum.
pub(crate) fn add(lhs: &Tensor, rhs: &Tensor) -> Result<Tensor> {
    if lhs.dims() != rhs.dims() {
        return lhs + rhs;
    }
    match order_in_memory(lhs) {
        Some(order) if lhs.stride() == rhs.stride() => {
            let back = back_from(&order);
            add(&lhs.permute(order.as_slice())?, &rhs.permute(order)?)?.permute(back)
        }
        _ if fits(lhs) && fits(rhs) => {
            let (left, right) = (lend(lhs), lend(rhs));
            let right = right.in_order()?;
            let sum = map_rows(left.in_order()?, PIECE, |at, left, sum| {
                let right = right.get(at * PIECE..).unwrap_or(&[]);
                for ((left, right), sum) in left.iter().zip(right).zip(sum) {
                    *sum = left + right;
                }
            });
            Tensor::from_vec(sum, lhs.shape(), lhs.device())
        }
        _ => lhs + rhs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn sums_lie_in_memory_as_their_parts() {
        let x = Tensor::arange(0_u32, 40_000, &Device::Cpu).unwrap().to_dtype(DType::F32).unwrap();
        let x = x.reshape((200, 200)).unwrap();
        let turned = x.t().unwrap();
        for (lhs, rhs) in [(&x, &x), (&turned, &turned), (&turned, &x)] {
            let sum = add(lhs, rhs).unwrap();
            let expected = (lhs + rhs).unwrap().to_vec2::<f32>().unwrap();
            assert_eq!(sum.to_vec2::<f32>().unwrap(), expected);
        }
        assert_eq!(add(&turned, &turned).unwrap().stride(), turned.stride());
        assert!(add(&x, &x.narrow(0, 0, 3).unwrap()).is_err());
    }
}
