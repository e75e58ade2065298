//! `sigmoid`.

use super::{
    Mismatch, Operator,
    form::{Form, Value},
    operands::{operands, pointwise},
};
use crate::types::{Bindings, TensorType};
use candle_core::Tensor;

operator! {
    /// `1 / (1 + exp(-x))` of each number.
    Sigmoid = "sigmoid"(x) {}
}

impl Operator for Sigmoid {
    fn infer(&self, given: &[TensorType]) -> Result<TensorType, Mismatch> {
        pointwise(given)
    }

    fn eval(&self, given: &[Tensor], _: &Bindings) -> candle_core::Result<Tensor> {
        let [x] = operands(given)?;
        candle_nn::ops::sigmoid(x)
    }

    fn onnx(&self, form: &mut Form<'_>) -> Result<Value, Mismatch> {
        form.same("Sigmoid")
    }
}
