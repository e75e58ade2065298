//! `mean`.

use super::{
    Mismatch, Operator,
    form::{Form, Value},
    operands::{floats, operands, reduced, reduced_axes},
};
use crate::types::{Bindings, TensorType};
use candle_core::Tensor;

operator! {
    /// The mean of the numbers along an axis, or of all.
    Mean = "mean"(x) {
        /// The axis; negative ones count from the end; `none` for all axes.
        axis: Option<i64> = None,
        /// Keeps the axis, with size 1.
        keep: bool = false,
    }
}

impl Operator for Mean {
    fn infer(&self, given: &[TensorType]) -> Result<TensorType, Mismatch> {
        let [x] = operands(given)?;
        floats("x", x)?;
        reduced(x, self.axis, self.keep)
    }

    fn eval(&self, given: &[Tensor], _: &Bindings) -> candle_core::Result<Tensor> {
        let [x] = operands(given)?;
        let axes = reduced_axes(x, self.axis)?;
        if self.keep { x.mean_keepdim(axes) } else { x.mean(axes) }
    }

    fn onnx(&self, form: &mut Form<'_>) -> Result<Value, Mismatch> {
        let x = form.value(0)?;
        let along = self.axis.map(|along| form.axis(0, along)).transpose()?;
        form.mean(&x, along, self.keep)
    }
}
