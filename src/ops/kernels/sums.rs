//! Sums of rows.

use super::{ROWS, lend};
use candle_core::{D, Result, Tensor};
use pulp::Arch;
use rayon::prelude::*;

/// The sum of all rows, those along the last axis, of a tensor that [`fits`](super::fits).
pub(crate) fn column_sums(x: &Tensor) -> Result<Tensor> {
    let length = x.dim(D::Minus1)?;
    let arch = Arch::new();
    let piece = |rows: &[f32]| {
        arch.dispatch(
            #[inline(always)]
            || {
                let mut sums = vec![0.0; length];
                for row in rows.chunks(length) {
                    add_to(&mut sums, row);
                }
                sums
            },
        )
    };
    let lent = lend(x);
    let sums = lent.in_order()?.par_chunks((ROWS * length).max(1)).map(piece).collect();
    Tensor::from_vec(join(sums, length), length, x.device())
}

/// The sum of lists of one length, in their order.
pub(super) fn join(lists: Vec<Vec<f32>>, length: usize) -> Vec<f32> {
    let mut total = vec![0.0; length];
    lists.iter().for_each(|list| add_to(&mut total, list));
    total
}

#[inline(always)]
fn add_to(sums: &mut [f32], row: &[f32]) {
    for (sum, x) in sums.iter_mut().zip(row) {
        *sum += x;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn every_row_counts_once() {
        for shape in [vec![1, 1], vec![3, 7], vec![2, 100, 5], vec![129, 16], vec![0, 4], vec![4]] {
            let count = shape.iter().product::<usize>() as u32;
            let x = Tensor::arange(0, count, &Device::Cpu).unwrap().to_dtype(DType::F32).unwrap();
            let x = x.reshape(shape.as_slice()).unwrap();
            let length = *shape.last().unwrap();
            let expected = x.reshape(((), length)).unwrap().sum(0).unwrap();
            assert_eq!(
                column_sums(&x).unwrap().to_vec1::<f32>().unwrap(),
                expected.to_vec1::<f32>().unwrap()
            );
        }
    }
}
