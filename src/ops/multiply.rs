//! `multiply`.

use super::{
    Mismatch, Operator,
    broadcast::arithmetic,
    form::{Form, Value},
    operands::operands,
};
use crate::types::{Bindings, TensorType};
use candle_core::Tensor;

operator! {
    /// Multiplies numbers pair by pair. Shapes are brought together as NumPy does it.
    Multiply = "multiply" symbol "*" (lhs, rhs) {}
}

impl Operator for Multiply {
    fn infer(&self, given: &[TensorType]) -> Result<TensorType, Mismatch> {
        let [lhs, rhs] = operands(given)?;
        arithmetic(["lhs", "rhs"], [lhs, rhs])
    }

    fn eval(&self, given: &[Tensor], _: &Bindings) -> candle_core::Result<Tensor> {
        let [lhs, rhs] = operands(given)?;
        lhs.broadcast_mul(rhs)
    }

    fn onnx(&self, form: &mut Form<'_>) -> Result<Value, Mismatch> {
        form.same("Mul")
    }
}
