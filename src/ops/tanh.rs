//! `tanh`.

use super::{
    Mismatch, Operator,
    form::{Form, Value},
    operands::{operands, pointwise},
};
use crate::types::{Bindings, TensorType};
use candle_core::Tensor;

operator! {
    /// The hyperbolic tangent of each number.
    Tanh = "tanh"(x) {}
}

impl Operator for Tanh {
    fn infer(&self, given: &[TensorType]) -> Result<TensorType, Mismatch> {
        pointwise(given)
    }

    fn eval(&self, given: &[Tensor], _: &Bindings) -> candle_core::Result<Tensor> {
        let [x] = operands(given)?;
        x.tanh()
    }

    fn onnx(&self, form: &mut Form<'_>) -> Result<Value, Mismatch> {
        form.same("Tanh")
    }
}
