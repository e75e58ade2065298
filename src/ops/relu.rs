//! `relu`.

use super::{
    Backward, Mismatch, Operator,
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

    /// Passes where `x` is above 0, and not at 0, as in PyTorch.
    fn gradients(&self, backward: &Backward<'_>) -> candle_core::Result<Vec<Option<Tensor>>> {
        let [x] = operands(backward.operands)?;
        let passes = || x.gt(0.0)?.where_cond(backward.upstream, &backward.upstream.zeros_like()?);
        Ok(vec![backward.wanted(0, passes)?])
    }

    fn onnx(&self, form: &mut Form<'_>) -> Result<Value, Mismatch> {
        form.same("Relu")
    }
}
