//! `concat`.

use super::{
    Backward, Mismatch, Operator,
    form::{Form, NodeAttribute, Value},
    operands::{axis, axis_of, operands, part},
};
use crate::types::{Bindings, TensorType};
use candle_core::Tensor;

operator! {
    /// `second` put after `first` along an axis.
    Concat = "concat"(first, second) {
        /// The axis; negative ones count from the end.
        axis: i64,
    }
}

impl Operator for Concat {
    fn infer(&self, given: &[TensorType]) -> Result<TensorType, Mismatch> {
        let [first, second] = operands(given)?;
        if first.dtype != second.dtype {
            let message = format!("`first` is {first}, but `second` is {second}");
            return Err(Mismatch::new(message).help("cast one"));
        }
        let axis = axis("first", first, self.axis)?;
        let fits = first.rank() == second.rank()
            && first.shape.iter().zip(&second.shape).enumerate().all(|(at, (a, b))| at == axis || a == b);
        let joined =
            first.shape.get(axis).zip(second.shape.get(axis)).filter(|_| fits).and_then(|(a, b)| a.add(b));
        let Some(joined) = joined else {
            return Err(Mismatch::new(format!(
                "`first` is {first}, but `second` is {second}: they may differ in axis {} alone",
                self.axis
            )));
        };
        let mut ty = first.clone();
        ty.shape.splice(axis..=axis, [joined]);
        Ok(ty)
    }

    fn eval(&self, given: &[Tensor], _: &Bindings) -> candle_core::Result<Tensor> {
        let [first, second] = operands(given)?;
        let axis = axis_of(first, self.axis)?;
        match (first.dim(axis)?, second.dim(axis)?) {
            (0, _) => Ok(second.clone()),
            (_, 0) => Ok(first.clone()),
            _ => Tensor::cat(&[first, second], axis),
        }
    }

    fn gradients(&self, backward: &Backward<'_>) -> candle_core::Result<Vec<Option<Tensor>>> {
        let [first, second] = operands(backward.operands)?;
        let axis = axis_of(first, self.axis)?;
        let (ahead, behind) = (first.dim(axis)?, second.dim(axis)?);
        Ok(vec![
            backward.wanted(0, || part(backward.upstream, axis, 0, ahead))?,
            backward.wanted(1, || part(backward.upstream, axis, ahead, behind))?,
        ])
    }

    fn onnx(&self, form: &mut Form<'_>) -> Result<Value, Mismatch> {
        let axis = form.axis(0, self.axis)?;
        form.with("Concat", [("axis", NodeAttribute::Integer(axis))])
    }
}
