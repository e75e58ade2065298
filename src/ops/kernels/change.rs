//! Numbers of a tensor that are changed where they are.

use super::unfit;
use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Tensor};
use std::cell::Cell;

/// Lends the numbers of a tensor that [`fits`](super::fits), to be changed in place.
/// Whatever shares its storage sees the change. A tensor that shares it must not be
/// read meanwhile, which would wait forever.
pub(crate) fn change<R>(x: &Tensor, with: impl FnOnce(&mut [f32]) -> R) -> Result<R> {
    let change = Change { with: Cell::new(Some(with)), result: Cell::new(None) };
    x.inplace_op1(&change)?;
    change.result.into_inner().ok_or_else(unfit)
}

struct Change<F, R> {
    with: Cell<Option<F>>,
    result: Cell<Option<R>>,
}

impl<R, F: FnOnce(&mut [f32]) -> R> InplaceOp1 for Change<F, R> {
    fn name(&self) -> &'static str {
        "change"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let CpuStorage::F32(numbers) = storage else { return Err(unfit()) };
        let (start, end) = layout.contiguous_offsets().ok_or_else(unfit)?;
        let numbers = numbers.get_mut(start..end).ok_or_else(unfit)?;
        self.result.set(self.with.take().map(|with| with(numbers)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn what_shares_the_storage_sees_the_change() {
        let whole = Tensor::zeros((3, 2), candle_core::DType::F32, &Device::Cpu).unwrap();
        let row = whole.narrow(0, 1, 1).unwrap();
        let count = change(&row, |numbers| {
            numbers.fill(7.0);
            numbers.len()
        });
        assert_eq!(count.unwrap(), 2);
        assert_eq!(whole.to_vec2::<f32>().unwrap(), [[0.0; 2], [7.0; 2], [0.0; 2]]);
        assert!(change(&whole.narrow(1, 0, 1).unwrap(), |_| ()).is_err(), "it is not in one piece");
        assert!(change(&whole.to_dtype(candle_core::DType::F64).unwrap(), |_| ()).is_err());
    }
}
