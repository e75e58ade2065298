//! `relu`.

use super::{
    Mismatch, Operator,
    form::{Form, Value},
    operands::{operands, pointwise},
};
use crate::types::{Bindings, TensorType};
use candle_core::Tensor;

operator! {
    /// The larger of each number and 0.
    Relu = "relu"(x) {}
}

impl Operator for Relu {
    fn infer(&self, given: &[TensorType]) -> Result<TensorType, Mismatch> {
        pointwise(given)
    }

    fn eval(&self, given: &[Tensor], _: &Bindings) -> candle_core::Result<Tensor> {
        let [x] = operands(given)?;
        x.relu()
    }

    fn onnx(&self, form: &mut Form<'_>) -> Result<Value, Mismatch> {
        form.same("Relu")
    }
}
