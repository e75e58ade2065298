//! `dropout`.

use super::{
    Backward, Mismatch, Operator,
    form::{Form, Value},
    operands::{floats, operands},
};
use crate::types::{Bindings, TensorType};
use candle_core::Tensor;

operator! {
    /// In training, each number becomes 0 with probability `p` and the others grow
    /// by `1 / (1 - p)`; else `x` itself.
    Dropout = "dropout"(x) {
        /// The probability: at least 0 and at most 1.
        p: f64,
    }
}

impl Operator for Dropout {
    fn infer(&self, given: &[TensorType]) -> Result<TensorType, Mismatch> {
        let [x] = operands(given)?;
        floats("x", x)?;
        if !(0.0..=1.0).contains(&self.p) {
            return Err(Mismatch::new(format!("`p` is {}, which is no probability", self.p))
                .help("give a number from 0 to 1"));
        }
        Ok(x.clone())
    }

    /// As outside training.
    fn eval(&self, given: &[Tensor], _: &Bindings) -> candle_core::Result<Tensor> {
        let [x] = operands(given)?;
        Ok(x.clone())
    }

    fn gradients(&self, backward: &Backward<'_>) -> candle_core::Result<Vec<Option<Tensor>>> {
        Ok(vec![backward.wanted(0, || Ok(backward.upstream.clone()))?])
    }

    fn onnx(&self, form: &mut Form<'_>) -> Result<Value, Mismatch> {
        form.value(0)
    }
}
