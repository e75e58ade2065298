//! Half-size floats made f32.

use super::{PIECE, unfit};
use candle_core::{CpuStorage, Result, Storage, Tensor};
use half::slice::HalfFloatSliceExt;
use rayon::prelude::*;

/// An f16 or bf16 tensor, in one piece on a CPU, as f32; exact.
pub(crate) fn widen(x: &Tensor) -> Result<Tensor> {
    let (storage, layout) = x.storage_and_layout();
    let (start, end) = layout.contiguous_offsets().ok_or_else(unfit)?;
    let result = match &*storage {
        Storage::Cpu(CpuStorage::F16(numbers)) => widened(numbers.get(start..end).ok_or_else(unfit)?),
        Storage::Cpu(CpuStorage::BF16(numbers)) => widened(numbers.get(start..end).ok_or_else(unfit)?),
        _ => return Err(unfit()),
    };
    Tensor::from_vec(result, x.shape(), x.device())
}

fn widened<T: Sync>(x: &[T]) -> Vec<f32>
where
    [T]: HalfFloatSliceExt,
{
    let mut result = vec![0.0; x.len()];
    let pieces = x.par_chunks(PIECE).zip(result.par_chunks_mut(PIECE));
    pieces.for_each(|(x, result)| x.convert_to_f32_slice(result));
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn no_number_changes() {
        let x = Tensor::arange(-9_f32, 9.0, &Device::Cpu).unwrap();
        for half in [DType::F16, DType::BF16] {
            let part = x.to_dtype(half).unwrap().narrow(0, 3, 11).unwrap();
            let expected = x.narrow(0, 3, 11).unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(widen(&part).unwrap().to_vec1::<f32>().unwrap(), expected);
        }
    }
}
