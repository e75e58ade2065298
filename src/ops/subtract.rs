//! `subtract`.

use super::{
    Backward, Mismatch, Operator,
    broadcast::{arithmetic, reduce_to},
    form::{Form, Value},
    operands::operands,
};
use crate::types::{Bindings, TensorType};
use candle_core::Tensor;

operator! {
    /// Subtracts `rhs` from `lhs`, pair by pair. Shapes are brought together as
    /// NumPy does it.
    Subtract = "subtract" symbol "-" (lhs, rhs) {}
}

impl Operator for Subtract {
    fn infer(&self, given: &[TensorType]) -> Result<TensorType, Mismatch> {
        let [lhs, rhs] = operands(given)?;
        arithmetic(["lhs", "rhs"], [lhs, rhs])
    }

    fn eval(&self, given: &[Tensor], _: &Bindings) -> candle_core::Result<Tensor> {
        let [lhs, rhs] = operands(given)?;
        lhs.broadcast_sub(rhs)
    }

    fn gradients(&self, backward: &Backward<'_>) -> candle_core::Result<Vec<Option<Tensor>>> {
        let [lhs, rhs] = operands(backward.operands)?;
        Ok(vec![
            backward.wanted(0, || reduce_to(backward.upstream, lhs.dims()))?,
            backward.wanted(1, || reduce_to(&backward.upstream.neg()?, rhs.dims()))?,
        ])
    }

    fn onnx(&self, form: &mut Form<'_>) -> Result<Value, Mismatch> {
        form.same("Sub")
    }
}
