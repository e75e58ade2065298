//! Products of matrices of codes, exact.

use super::{Finish, Right, float::Sums, matmul::product};
use candle_core::{D, Result, Tensor};

/// Whole numbers up to here are exact in f32, and so are their sums: `2^24`.
const EXACT: f32 = 16_777_216.0;

/// The products of the matrices in the last two axes of tensors that
/// [`can_multiply`](super::can_multiply) and hold whole numbers, no larger than `magnitudes` on
/// either side. Sums are exact, in whatever order: then they are rounded to f32.
pub(crate) fn code_product(
    lhs: &Tensor,
    right: Right,
    magnitudes: [f32; 2],
    finish: Finish,
) -> Result<Tensor> {
    // So many products add up to no more than f32 counts.
    let reach = ((EXACT / magnitudes[0] / magnitudes[1]) as usize).max(1);
    product(lhs, right, finish, Sums::exactly(lhs.dim(D::Minus1)?, reach))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// Whole numbers from -128 to 127, in no order.
    fn codes(shape: &[usize]) -> Tensor {
        let count = shape.iter().product::<usize>();
        let values = (0..count).map(|at| ((at * 7919) % 256) as f32 - 128.0).collect();
        Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
    }

    /// The same, of the largest magnitude.
    fn large(shape: &[usize]) -> Tensor {
        let count = shape.iter().product::<usize>();
        Tensor::from_vec(vec![-128.0_f32; count], shape, &Device::Cpu).unwrap()
    }

    fn exact(lhs: &Tensor, rhs: &Tensor) -> Vec<f32> {
        let wide = |x: &Tensor| x.contiguous().unwrap().to_dtype(candle_core::DType::F64).unwrap();
        let product = wide(lhs).broadcast_matmul(&wide(rhs)).unwrap();
        let scaled = product.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        scaled.into_iter().map(|sum| sum as f32 * 0.37).collect()
    }

    #[test]
    fn sums_are_exact_however_long() {
        for length in [0, 1, 7, 1024, 1025, 3072, 5000] {
            for make in [codes, large] {
                let (lhs, rhs) = (make(&[2, 3, length]), make(&[length, 5]));
                let finish = Finish { scales: &[0.37], ..Finish::default() };
                let product = code_product(&lhs, Right::Matrices(&rhs), [128.0, 128.0], finish).unwrap();
                assert_eq!(product.dims(), [2, 3, 5]);
                assert_eq!(product.flatten_all().unwrap().to_vec1::<f32>().unwrap(), exact(&lhs, &rhs));
            }
        }
    }

    #[test]
    fn what_is_no_number_is_seen() {
        for length in [3, 1025, 3072] {
            let mut values = vec![1.0_f32; length];
            values[length - 1] = f32::NAN;
            let lhs = Tensor::from_vec(values, (1, length), &Device::Cpu).unwrap();
            let finish = Finish { scales: &[1.0], bias: None, gelu: true };
            let product =
                code_product(&lhs, Right::Matrices(&codes(&[length, 1])), [128.0; 2], finish).unwrap();
            assert!(product.to_vec2::<f32>().unwrap()[0][0].is_nan());
        }
    }

    #[test]
    fn columns_are_scaled_and_moved() {
        let (lhs, rhs) = (codes(&[3, 4]), codes(&[4, 2]));
        let bias = Tensor::new(&[1.0_f32, -2.0], &Device::Cpu).unwrap();
        let finish = |gelu| Finish { scales: &[0.5, 0.25], bias: Some(&bias), gelu };
        let product = code_product(&lhs, Right::Matrices(&rhs), [128.0; 2], finish(false)).unwrap();
        let sums = lhs.matmul(&rhs).unwrap();
        let scales = Tensor::new(&[0.5_f32, 0.25], &Device::Cpu).unwrap();
        let expected = sums.broadcast_mul(&scales).unwrap().broadcast_add(&bias).unwrap();
        assert_eq!(product.to_vec2::<f32>().unwrap(), expected.to_vec2::<f32>().unwrap());
        let wrong = Finish { scales: &[1.0; 3], bias: None, gelu: false };
        assert!(code_product(&lhs, Right::Matrices(&rhs), [128.0; 2], wrong).is_err());
        let bent = code_product(&lhs, Right::Matrices(&rhs), [128.0; 2], finish(true)).unwrap();
        let bent = bent.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let straight = expected.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(bent.iter().zip(straight).all(|(bent, x)| *bent == crate::ops::kernels::gelu_of(x)));
    }
}
