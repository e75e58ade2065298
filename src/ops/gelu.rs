//! `gelu`.

use super::{
    Backward, Mismatch, Operator,
    form::{Form, Value},
    gradient::by_candle,
    kernels,
    operands::{operands, pointwise},
};
use crate::types::{Bindings, TensorType};
use candle_core::Tensor;

operator! {
    /// `x / 2 * (1 + erf(x / sqrt(2)))`, the exact GELU.
    Gelu = "gelu"(x) {}
}

impl Operator for Gelu {
    fn infer(&self, given: &[TensorType]) -> Result<TensorType, Mismatch> {
        pointwise(given)
    }

    fn eval(&self, given: &[Tensor], _: &Bindings) -> candle_core::Result<Tensor> {
        let [x] = operands(given)?;
        if kernels::fits(x) { kernels::gelu(x) } else { x.gelu_erf() }
    }

    fn gradients(&self, backward: &Backward<'_>) -> candle_core::Result<Vec<Option<Tensor>>> {
        let [x] = operands(backward.operands)?;
        let upstream = backward.upstream.contiguous()?;
        if !kernels::fits(x) || !kernels::fits(&upstream) {
            return by_candle(|operands| self.eval(operands, backward.dims), backward);
        }
        Ok(vec![backward.wanted(0, || kernels::gelu_gradient(x, &upstream))?])
    }

    fn onnx(&self, form: &mut Form<'_>) -> Result<Value, Mismatch> {
        if form.dialect.opset >= 20 {
            return form.same("Gelu");
        }
        let (x, dtype) = (form.value(0)?, form.result().dtype);
        let root = form.number(std::f64::consts::SQRT_2, dtype)?;
        let scaled = form.plain("Div", &[&x, &root]);
        let erf = form.plain("Erf", &[&scaled]);
        let one = form.number(1.0, dtype)?;
        let share = form.plain("Add", &[&erf, &one]);
        let doubled = form.plain("Mul", &[&x, &share]);
        let half = form.number(0.5, dtype)?;
        Ok(form.plain("Mul", &[&doubled, &half]))
    }
}
