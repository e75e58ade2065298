//! `greater_or_equal`.

use super::{
    Mismatch, Operator,
    broadcast::elementwise,
    form::{Form, Value},
    operands::operands,
};
use crate::types::{Bindings, DType, TensorType};
use candle_core::Tensor;

operator! {
    /// Whether `lhs` is at least `rhs`, pair by pair, as `bool`. Shapes are brought
    /// together as NumPy does it.
    GreaterOrEqual = "greater_or_equal"(lhs, rhs) {}
}

impl Operator for GreaterOrEqual {
    fn infer(&self, given: &[TensorType]) -> Result<TensorType, Mismatch> {
        let [lhs, rhs] = operands(given)?;
        let pairs = elementwise(["lhs", "rhs"], [lhs, rhs])?;
        Ok(TensorType::new(DType::Bool, pairs.shape))
    }

    fn eval(&self, given: &[Tensor], _: &Bindings) -> candle_core::Result<Tensor> {
        let [lhs, rhs] = operands(given)?;
        lhs.broadcast_ge(rhs)
    }

    fn onnx(&self, form: &mut Form<'_>) -> Result<Value, Mismatch> {
        form.same("GreaterOrEqual")
    }
}
