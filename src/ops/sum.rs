//! `sum`.

use super::{
    Mismatch, Operator,
    form::{Form, NodeAttribute, Value},
    operands::{operands, reduced, reduced_axes},
};
use crate::types::{Bindings, TensorType};
use candle_core::Tensor;

operator! {
    /// The sum of the numbers along an axis, or of all.
    Sum = "sum"(x) {
        /// The axis; negative ones count from the end; `none` for all axes.
        axis: Option<i64> = None,
        /// Keeps the axis, with size 1.
        keep: bool = false,
    }
}

impl Operator for Sum {
    fn infer(&self, given: &[TensorType]) -> Result<TensorType, Mismatch> {
        let [x] = operands(given)?;
        reduced(x, self.axis, self.keep)
    }

    fn eval(&self, given: &[Tensor], _: &Bindings) -> candle_core::Result<Tensor> {
        let [x] = operands(given)?;
        let axes = reduced_axes(x, self.axis)?;
        if self.keep { x.sum_keepdim(axes) } else { x.sum(axes) }
    }

    fn onnx(&self, form: &mut Form<'_>) -> Result<Value, Mismatch> {
        let keep = NodeAttribute::Integer(self.keep.into());
        let x = form.value(0)?;
        let Some(along) = self.axis else { return Ok(form.node("ReduceSum", &[&x], [("keepdims", keep)])) };
        let along = form.axis(0, along)?;
        let axes = form.integers("axes", &[along])?;
        Ok(form.node("ReduceSum", &[&x, &axes], [("keepdims", keep)]))
    }
}
