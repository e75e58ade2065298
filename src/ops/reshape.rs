//! `reshape`.

use super::{
    Backward, Mismatch, Operator,
    form::{Form, Value},
    operands::{operands, sizes},
};
use crate::types::{Bindings, Dim, Shape, TensorType};
use candle_core::{Error, Tensor};

operator! {
    /// The same numbers in the same order in another shape. Counts that differ
    /// are refused when compiling where both are known, and else when running.
    Reshape = "reshape"(x) {
        /// The new shape.
        shape: Vec<Dim>,
    }
}

impl Operator for Reshape {
    fn infer(&self, given: &[TensorType]) -> Result<TensorType, Mismatch> {
        let [x] = operands(given)?;
        let too_many =
            |shape| Mismatch::new(format!("{} has more numbers than 64 bits can count", Shape(shape)));
        let (known, symbols) = count(&x.shape).ok_or_else(|| too_many(&x.shape))?;
        let (new_known, new_symbols) = count(&self.shape).ok_or_else(|| too_many(&self.shape))?;
        if known != new_known && symbols == new_symbols {
            let (shape, each) =
                (Shape(&self.shape), if symbols.is_empty() { "" } else { " for each of the symbolic sizes" });
            return Err(Mismatch::new(format!(
                "`x` ({x}) holds {known} numbers{each}, but {shape} holds {new_known}"
            )));
        }
        Ok(TensorType::new(x.dtype, self.shape.clone()))
    }

    fn eval(&self, given: &[Tensor], dims: &Bindings) -> candle_core::Result<Tensor> {
        let [x] = operands(given)?;
        let shape = sizes(&self.shape, dims)?;
        if shape.iter().product::<usize>() != x.elem_count() {
            return Err(Error::Msg(format!("{:?} does not hold as many numbers as {:?}", shape, x.dims())));
        }
        x.reshape(shape)
    }

    fn gradients(&self, backward: &Backward<'_>) -> candle_core::Result<Vec<Option<Tensor>>> {
        let [x] = operands(backward.operands)?;
        Ok(vec![backward.wanted(0, || backward.upstream.reshape(x.dims()))?])
    }

    fn onnx(&self, form: &mut Form<'_>) -> Result<Value, Mismatch> {
        let from = form.operand(0)?;
        if let Some(axes) = inserted(&from.ty.shape, &self.shape) {
            let axes = form.integers("axes", &axes)?;
            return Ok(form.plain("Unsqueeze", &[&from.value, &axes]));
        }
        let sizes = target(&from.ty.shape, &self.shape);
        let shape = match sizes.iter().map(Dim::as_known).collect::<Option<Vec<_>>>() {
            Some(known) => form.integers("shape", &known)?,
            None => form.shape(&sizes)?,
        };
        Ok(form.plain("Reshape", &[&from.value, &shape]))
    }
}

/// How many numbers a shape holds: a whole number times symbolic sizes, sorted.
/// `None` where it leaves 64 bits.
fn count(shape: &[Dim]) -> Option<(i64, Vec<&Dim>)> {
    let known = shape.iter().filter_map(Dim::as_known).try_fold(1_i64, i64::checked_mul)?;
    let mut symbolic: Vec<_> = shape.iter().filter(|dim| dim.as_known().is_none()).collect();
    symbolic.sort();
    Some((known, symbolic))
}

/// The axes of size 1 that the new shape has besides those of the old one; `None` where
/// it has another one besides, or the same.
fn inserted(from: &[Dim], to: &[Dim]) -> Option<Vec<i64>> {
    let mut rest = from.iter().peekable();
    let mut axes = Vec::new();
    for (at, dim) in (0..).zip(to) {
        if rest.next_if_eq(&dim).is_none() {
            (dim.as_known() == Some(1)).then(|| axes.push(at))?;
        }
    }
    (rest.next().is_none() && !axes.is_empty()).then_some(axes)
}

/// The new shape in ONNX's terms: 0 for a size that the old one has there, and -1, once,
/// for what is left. A size that is copied may be 0, and then nothing says what is left.
fn target(from: &[Dim], to: &[Dim]) -> Vec<Dim> {
    let copied = |at: usize, dim: &Dim| dim.as_known().is_none() && from.get(at) == Some(dim);
    let any_copied = to.iter().enumerate().any(|(at, dim)| copied(at, dim));
    let mut rest = (!any_copied).then_some(Dim::known(-1));
    let size = |(at, dim): (usize, &Dim)| match dim.as_known() {
        Some(_) => dim.clone(),
        None if copied(at, dim) => Dim::known(0),
        None => rest.take().unwrap_or_else(|| dim.clone()),
    };
    to.iter().enumerate().map(size).collect()
}
