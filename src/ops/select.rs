//! `select`.

use super::{
    Mismatch, Operator,
    form::{Form, NodeAttribute, Value},
    operands::{axis, axis_of, from_end, number, operands, part},
};
use crate::types::{Bindings, Dim, TensorType};
use candle_core::{Error, Tensor};

operator! {
    /// The part of `x` at one index of an axis; the axis goes.
    Select = "select"(x) {
        /// The axis; negative ones count from the end.
        axis: i64,
        /// The index; negative numbers count from the end.
        index: Dim,
    }
}

impl Operator for Select {
    fn infer(&self, given: &[TensorType]) -> Result<TensorType, Mismatch> {
        let [x] = operands(given)?;
        let axis = axis("x", x, self.axis)?;
        let fits = x.shape.get(axis).is_some_and(|size| fits(size, &self.index).unwrap_or(false));
        if !fits {
            return Err(Mismatch::new(format!(
                "there is no index {} along axis {} of `x` ({x})",
                self.index, self.axis
            )));
        }
        let mut ty = x.clone();
        ty.shape.remove(axis);
        Ok(ty)
    }

    fn eval(&self, given: &[Tensor], dims: &Bindings) -> candle_core::Result<Tensor> {
        let [x] = operands(given)?;
        let axis = axis_of(x, self.axis)?;
        let size = x.dim(axis)?;
        let index = i64::try_from(size).ok().and_then(|size| from_end(&self.index, &Dim::known(size)));
        let Some(index) = index else { return Err(Error::Msg(format!("{} is no size", size))) };
        let index = number(&index, dims)?;
        match usize::try_from(index) {
            Ok(index) if index < size => part(x, axis, index, 1)?.squeeze(axis),
            _ => Err(Error::Msg(format!(
                "there is no index {} along axis {} of {:?}",
                index,
                self.axis,
                x.dims()
            ))),
        }
    }

    fn onnx(&self, form: &mut Form<'_>) -> Result<Value, Mismatch> {
        let axis = form.axis(0, self.axis)?;
        let (x, index) = (form.value(0)?, form.scalar_size(&self.index)?);
        Ok(form.node("Gather", &[&x, &index], [("axis", NodeAttribute::Integer(axis))]))
    }
}

/// Nothing known speaks against such an index.
fn fits(size: &Dim, index: &Dim) -> Option<bool> {
    let index = from_end(index, size)?;
    let after = size.subtract(&index)?;
    let at_least = |dim: &Dim, least: i64| dim.as_known().is_none_or(|known| known >= least);
    Some(at_least(&index, 0) && at_least(&after, 1))
}
