//! `divide`.

use super::{
    Backward, Mismatch, Operator,
    broadcast::{arithmetic, reduce_to},
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

    fn gradients(&self, backward: &Backward<'_>) -> candle_core::Result<Vec<Option<Tensor>>> {
        let ([lhs, rhs], result) = (operands(backward.operands)?, backward.result);
        let of_lhs = backward.upstream.broadcast_div(rhs)?;
        Ok(vec![
            backward.wanted(0, || reduce_to(&of_lhs, lhs.dims()))?,
            backward.wanted(1, || reduce_to(&of_lhs.mul(result)?.neg()?, rhs.dims()))?,
        ])
    }

    fn onnx(&self, form: &mut Form<'_>) -> Result<Value, Mismatch> {
        form.same("Div")
    }
}
