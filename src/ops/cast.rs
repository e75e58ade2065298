//! `cast`.

use super::{
    Backward, Mismatch, Operator,
    form::{Element, Form, NodeAttribute, Value},
    operands::{candle_dtype, operands},
};
use crate::types::{Bindings, DType, TensorType};
use candle_core::Tensor;

operator! {
    /// The same numbers in another element type. Fractions are cut off towards
    /// zero; as `bool`, every number but 0 is true.
    Cast = "cast"(x) {
        /// The element type.
        to: DType,
    }
}

impl Operator for Cast {
    fn infer(&self, given: &[TensorType]) -> Result<TensorType, Mismatch> {
        let [x] = operands(given)?;
        Ok(TensorType::new(self.to, x.shape.clone()))
    }

    fn eval(&self, given: &[Tensor], _: &Bindings) -> candle_core::Result<Tensor> {
        let [x] = operands(given)?;
        match self.to {
            DType::Bool => x.ne(&x.zeros_like()?),
            to => x.to_dtype(candle_dtype(to)),
        }
    }

    fn gradients(&self, backward: &Backward<'_>) -> candle_core::Result<Vec<Option<Tensor>>> {
        let [x] = operands(backward.operands)?;
        if !self.to.is_float() {
            return Ok(vec![None]);
        }
        Ok(vec![backward.wanted(0, || backward.upstream.to_dtype(x.dtype()))?])
    }

    fn onnx(&self, form: &mut Form<'_>) -> Result<Value, Mismatch> {
        if form.operand(0)?.ty.dtype == self.to {
            return form.value(0);
        }
        form.with("Cast", [("to", NodeAttribute::Element(Element::Of(self.to)))])
    }
}
