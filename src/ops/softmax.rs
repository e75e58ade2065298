//! `softmax`.

use super::{
    Backward, Mismatch, Operator,
    form::{Form, NodeAttribute, Value},
    kernels,
    operands::{axis, axis_of, floats, operands},
};
use crate::types::{Bindings, TensorType};
use candle_core::Tensor;

operator! {
    /// Rescales `x` along an axis to positive numbers that sum to one.
    Softmax = "softmax"(x) {
        /// The axis; negative ones count from the end.
        axis: i64 = -1,
    }
}

impl Operator for Softmax {
    fn infer(&self, given: &[TensorType]) -> Result<TensorType, Mismatch> {
        let [x] = operands(given)?;
        floats("x", x)?;
        axis("x", x, self.axis)?;
        Ok(x.clone())
    }

    fn eval(&self, given: &[Tensor], _: &Bindings) -> candle_core::Result<Tensor> {
        let [x] = operands(given)?;
        let axis = axis_of(x, self.axis)?;
        if axis + 1 == x.rank() && kernels::fits(x) {
            return kernels::softmax(x);
        }
        // Candle finds no largest number among none.
        if x.elem_count() == 0 { Ok(x.clone()) } else { candle_nn::ops::softmax(x, axis) }
    }

    fn gradients(&self, backward: &Backward<'_>) -> candle_core::Result<Vec<Option<Tensor>>> {
        let [x] = operands(backward.operands)?;
        let along = axis_of(x, self.axis)?;
        let of_x = || {
            let (result, upstream) = (backward.result, backward.upstream.contiguous()?);
            if along + 1 == x.rank() && kernels::fits(result) && kernels::fits(&upstream) {
                return kernels::softmax_gradient(result, &upstream, 1.0);
            }
            let weighted = (&upstream * result)?;
            let sums = weighted.sum_keepdim(along)?;
            weighted - result.broadcast_mul(&sums)?
        };
        Ok(vec![backward.wanted(0, of_x)?])
    }

    fn onnx(&self, form: &mut Form<'_>) -> Result<Value, Mismatch> {
        let axis = form.axis(0, self.axis)?;
        form.with("Softmax", [("axis", NodeAttribute::Integer(axis))])
    }
}
