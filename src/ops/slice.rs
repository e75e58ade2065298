//! `slice`.

use super::{
    Mismatch, Operator,
    form::{Form, Value},
    operands::{axis, axis_of, from_end, number, operands, part},
};
use crate::types::{Bindings, Dim, TensorType};
use candle_core::{Error, Tensor};

operator! {
    /// The part of `x` from `start` up to, but without, `end` along an axis.
    Slice = "slice"(x) {
        /// The axis; negative ones count from the end.
        axis: i64,
        /// The first index; negative numbers count from the end.
        start: Dim = Dim::known(0),
        /// One past the last index; negative numbers count from the end.
        end: Dim,
    }
}

impl Operator for Slice {
    fn infer(&self, given: &[TensorType]) -> Result<TensorType, Mismatch> {
        let [x] = operands(given)?;
        let axis = axis("x", x, self.axis)?;
        let part = x.shape.get(axis).and_then(|size| Some((size, self.part(size)?)));
        let Some((_, (_, length))) = part.filter(|(size, (start, length))| fits(size, start, length)) else {
            return Err(Mismatch::new(format!(
                "there is no part {} to {} along axis {} of `x` ({x})",
                self.start, self.end, self.axis
            )));
        };
        let mut ty = x.clone();
        ty.shape.splice(axis..=axis, [length]);
        Ok(ty)
    }

    fn eval(&self, given: &[Tensor], dims: &Bindings) -> candle_core::Result<Tensor> {
        let [x] = operands(given)?;
        let axis = axis_of(x, self.axis)?;
        let size = x.dim(axis)?;
        let range = i64::try_from(size).ok().and_then(|size| self.part(&Dim::known(size)));
        let Some((start, length)) = range else { return Err(Error::Msg(format!("{} is no size", size))) };
        let (start, length) = (number(&start, dims)?, number(&length, dims)?);
        match (usize::try_from(start), usize::try_from(length)) {
            (Ok(start), Ok(length)) if start.checked_add(length).is_some_and(|end| end <= size) => {
                part(x, axis, start, length)
            }
            _ => Err(Error::Msg(format!(
                "there is no part {} to {} along axis {} of {:?}: {} is {} and {} is {}",
                self.start,
                self.end,
                self.axis,
                x.dims(),
                self.start,
                start,
                self.end,
                start.saturating_add(length)
            ))),
        }
    }

    fn onnx(&self, form: &mut Form<'_>) -> Result<Value, Mismatch> {
        let axis = form.axis(0, self.axis)?;
        let (x, start, end) = (form.value(0)?, form.size(&self.start)?, form.size(&self.end)?);
        let axes = form.integers("axes", &[axis])?;
        Ok(form.plain("Slice", &[&x, &start, &end, &axes]))
    }
}

impl Slice {
    /// Where the part starts and how long it is, of `size`.
    fn part(&self, size: &Dim) -> Option<(Dim, Dim)> {
        let (start, end) = (from_end(&self.start, size)?, from_end(&self.end, size)?);
        let length = end.subtract(&start)?;
        Some((start, length))
    }
}

/// Nothing known speaks against such a part.
fn fits(size: &Dim, start: &Dim, length: &Dim) -> bool {
    let rest = size.subtract(start).and_then(|rest| rest.subtract(length));
    [Some(start.clone()), Some(length.clone()), rest]
        .iter()
        .all(|dim| dim.as_ref().is_some_and(|dim| dim.as_known().is_none_or(|known| known >= 0)))
}
