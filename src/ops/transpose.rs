//! `transpose`.

use super::{
    Backward, Mismatch, Operator,
    form::{Form, NodeAttribute, Value},
    operands::{axis, axis_of, operands},
};
use crate::types::{Bindings, TensorType};
use candle_core::Tensor;

operator! {
    /// The same numbers with the axes in another order.
    Transpose = "transpose"(x) {
        /// For each axis of the result, which axis of `x` it is; negative ones
        /// count from the end.
        axes: Vec<i64>,
    }
}

impl Operator for Transpose {
    fn infer(&self, given: &[TensorType]) -> Result<TensorType, Mismatch> {
        let [x] = operands(given)?;
        let order = self.axes.iter().map(|a| axis("x", x, *a)).collect::<Result<Vec<_>, _>>()?;
        let mut sorted = order.clone();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..x.rank()) {
            return Err(Mismatch::new(format!(
                "`axes` must name each of the {} axes of `x` ({x}) once, but is {:?}",
                x.rank(),
                self.axes
            )));
        }
        let shape: Vec<_> = order.into_iter().filter_map(|axis| x.shape.get(axis).cloned()).collect();
        Ok(TensorType::new(x.dtype, shape))
    }

    fn eval(&self, given: &[Tensor], _: &Bindings) -> candle_core::Result<Tensor> {
        let [x] = operands(given)?;
        let order =
            self.axes.iter().map(|axis| axis_of(x, *axis)).collect::<candle_core::Result<Vec<_>>>()?;
        x.permute(order)
    }

    fn gradients(&self, backward: &Backward<'_>) -> candle_core::Result<Vec<Option<Tensor>>> {
        let [x] = operands(backward.operands)?;
        let mut back = vec![0; x.rank()];
        for (at, along) in self.axes.iter().enumerate() {
            if let Some(slot) = back.get_mut(axis_of(x, *along)?) {
                *slot = at;
            }
        }
        Ok(vec![backward.wanted(0, || backward.upstream.permute(back))?])
    }

    fn onnx(&self, form: &mut Form<'_>) -> Result<Value, Mismatch> {
        let axes = self.axes.iter().map(|along| form.axis(0, *along)).collect::<Result<_, _>>()?;
        form.with("Transpose", [("perm", NodeAttribute::Integers(axes))])
    }
}

impl Transpose {
    /// It exchanges the axes of a matrix.
    pub(crate) fn swaps(&self) -> bool {
        let [first, second] = self.axes.as_slice() else { return false };
        (first.rem_euclid(2), second.rem_euclid(2)) == (1, 0)
    }
}
