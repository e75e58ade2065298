//! `divide`.

use super::{
    Mismatch, Operator,
    broadcast::arithmetic,
    form::{Form, Value},
    operands::{floats, operands},
};
use crate::types::{Bindings, TensorType};
use candle_core::Tensor;

operator! {
    /// Divides `lhs` by `rhs`, pair by pair. Shapes are brought together as NumPy
    /// does it; whole numbers must be cast first.
    Divide = "divide" symbol "/" (lhs, rhs) {}
}

impl Operator for Divide {
    fn infer(&self, given: &[TensorType]) -> Result<TensorType, Mismatch> {
        let [lhs, rhs] = operands(given)?;
        floats("lhs", lhs)?;
        arithmetic(["lhs", "rhs"], [lhs, rhs])
    }

    fn eval(&self, given: &[Tensor], _: &Bindings) -> candle_core::Result<Tensor> {
        let [lhs, rhs] = operands(given)?;
        lhs.broadcast_div(rhs)
    }

    fn onnx(&self, form: &mut Form<'_>) -> Result<Value, Mismatch> {
        form.same("Div")
    }
}
