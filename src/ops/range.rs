//! `range`.

use super::{
    Mismatch, Operator,
    form::{Form, Value},
    operands::{number, operands, sizes},
};
use crate::types::{Bindings, DType, Dim, TensorType};
use candle_core::{Device, Tensor};

operator! {
    /// The whole numbers `0, 1, ...` up to, but without, `size`.
    Range = "range"() {
        /// How many.
        size: Dim,
    }
}

impl Operator for Range {
    fn infer(&self, given: &[TensorType]) -> Result<TensorType, Mismatch> {
        let [] = operands(given)?;
        Ok(TensorType::new(DType::I64, [self.size.clone()]))
    }

    /// On the CPU; engines move it.
    fn eval(&self, given: &[Tensor], dims: &Bindings) -> candle_core::Result<Tensor> {
        let [] = operands(given)?;
        sizes(std::slice::from_ref(&self.size), dims)?;
        Tensor::arange(0, number(&self.size, dims)?, &Device::Cpu)
    }

    fn onnx(&self, form: &mut Form<'_>) -> Result<Value, Mismatch> {
        let first = form.number(0.0, DType::I64)?;
        let end = form.scalar_size(&self.size)?;
        let step = form.number(1.0, DType::I64)?;
        Ok(form.plain("Range", &[&first, &end, &step]))
    }
}
