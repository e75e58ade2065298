//! `full`.

use super::{
    Mismatch, Operator,
    form::{Element, Form, NodeAttribute, Value},
    operands::{candle_dtype, operands, sizes},
};
use crate::types::{Bindings, DType, Dim, TensorType};
use candle_core::{Device, Tensor};

operator! {
    /// A tensor with the same number everywhere. It takes no memory of its size.
    Full = "full"() {
        /// The shape.
        shape: Vec<Dim>,
        /// The number.
        value: f64,
        /// The element type.
        dtype: DType = DType::F32,
    }
}

impl Operator for Full {
    fn infer(&self, given: &[TensorType]) -> Result<TensorType, Mismatch> {
        let [] = operands(given)?;
        if !self.dtype.is_float() && self.value.fract() != 0.0 {
            let message = format!("`value` is {}, but {} holds whole numbers", self.value, self.dtype);
            return Err(Mismatch::new(message));
        }
        Ok(TensorType::new(self.dtype, self.shape.clone()))
    }

    /// On the CPU; engines move it.
    fn eval(&self, given: &[Tensor], dims: &Bindings) -> candle_core::Result<Tensor> {
        let [] = operands(given)?;
        let shape = sizes(&self.shape, dims)?;
        Tensor::new(self.value, &Device::Cpu)?.to_dtype(candle_dtype(self.dtype))?.broadcast_as(shape)
    }

    fn onnx(&self, form: &mut Form<'_>) -> Result<Value, Mismatch> {
        if self.shape.is_empty() {
            return form.number(self.value, self.dtype);
        }
        let shape = form.shape(&self.shape)?;
        // It gives bf16 from opset 20 on.
        let early = self.dtype == DType::BF16 && form.dialect.opset < 20;
        let made = if early { DType::F32 } else { self.dtype };
        let value = NodeAttribute::Number(self.value, Element::Of(made));
        let full = form.node("ConstantOfShape", &[&shape], [("value", value)]);
        Ok(if early { form.cast(&full, self.dtype) } else { full })
    }
}
