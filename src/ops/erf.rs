//! `erf`.

use super::{
    Mismatch, Operator,
    form::{Form, Value},
    operands::{operands, pointwise},
};
use crate::types::{Bindings, TensorType};
use candle_core::Tensor;

operator! {
    /// The error function of each number.
    Erf = "erf"(x) {}
}

impl Operator for Erf {
    fn infer(&self, given: &[TensorType]) -> Result<TensorType, Mismatch> {
        pointwise(given)
    }

    fn eval(&self, given: &[Tensor], _: &Bindings) -> candle_core::Result<Tensor> {
        let [x] = operands(given)?;
        x.erf()
    }

    fn onnx(&self, form: &mut Form<'_>) -> Result<Value, Mismatch> {
        form.same("Erf")
    }
}
