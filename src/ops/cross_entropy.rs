//! `cross_entropy`.

use super::{
    Mismatch, Operator,
    form::{Form, NodeAttribute, Value},
    operands::{floats, number, of, operands, place},
};
use crate::types::{Bindings, DType, Dim, TensorType};
use candle_core::{Error, Tensor};

operator! {
    /// The mean of `-log(softmax(logits))` at the labels, over the labels that do
    /// not say `ignore`. NaN if all of them do.
    CrossEntropy = "cross_entropy"(logits, labels) {
        /// The label of places that do not count.
        ignore: Dim = Dim::known(-100),
    }
}

impl Operator for CrossEntropy {
    fn infer(&self, given: &[TensorType]) -> Result<TensorType, Mismatch> {
        let [logits, labels] = operands(given)?;
        floats("logits", logits)?;
        of("labels", labels, DType::I64)?;
        match logits.shape.split_last() {
            Some((_, leading)) if *leading == *labels.shape => Ok(TensorType::new(logits.dtype, [])),
            _ => Err(Mismatch::new(format!(
                "`labels` ({labels}) must have the shape of `logits` ({logits}) without its last axis"
            ))),
        }
    }

    fn eval(&self, given: &[Tensor], dims: &Bindings) -> candle_core::Result<Tensor> {
        let [logits, labels] = operands(given)?;
        let ignore = number(&self.ignore, dims)?;
        let classes = logits.dim(candle_core::D::Minus1)?;
        let counted = counted(labels, ignore, classes)?;
        let (rows, targets): (Vec<u32>, Vec<i64>) = counted.into_iter().unzip();
        let count = rows.len();
        let device = logits.device();
        if count == 0 {
            return Tensor::new(f64::NAN, device)?.to_dtype(logits.dtype());
        }
        let rows = Tensor::from_vec(rows, count, device)?;
        let targets = Tensor::from_vec(targets, (count, 1), device)?;
        let logits = logits.reshape(((), classes))?.index_select(&rows, 0)?;
        candle_nn::ops::log_softmax(&logits, 1)?.gather(&targets, 1)?.mean_all()?.neg()
    }

    fn onnx(&self, form: &mut Form<'_>) -> Result<Value, Mismatch> {
        let (logits, labels) = (form.operand(0)?, form.value(1)?);
        let classes = logits.ty.shape.last().cloned().unwrap_or(Dim::known(1));
        let rows = form.shape(&[Dim::known(-1), classes])?;
        let logits = form.plain("Reshape", &[&logits.value, &rows]);
        let flat = form.integers("flat", &[-1])?;
        let mut labels = form.plain("Reshape", &[&labels, &flat]);
        let ignored = self.ignore.as_known().unwrap_or(NEVER);
        if self.ignore.as_known().is_none() {
            let (size, never) = (form.size(&self.ignore)?, form.integers("ignored", &[NEVER])?);
            let same = form.plain("Equal", &[&labels, &size]);
            labels = form.plain("Where", &[&same, &never, &labels]);
        }
        let attributes =
            [("ignore_index", NodeAttribute::Integer(ignored)), ("reduction", NodeAttribute::Text("mean"))];
        Ok(form.node("SoftmaxCrossEntropyLoss", &[&logits, &labels], attributes))
    }
}

/// A label that is no class.
const NEVER: i64 = -100;

/// Which rows count, and their labels. Refuses labels that are no class.
fn counted(labels: &Tensor, ignore: i64, classes: usize) -> candle_core::Result<Vec<(u32, i64)>> {
    let values = labels.flatten_all()?.to_vec1::<i64>()?;
    let mut counted = Vec::with_capacity(values.len());
    for (at, label) in values.into_iter().enumerate() {
        if label == ignore {
            continue;
        }
        match (u32::try_from(at), usize::try_from(label)) {
            (Ok(row), Ok(class)) if class < classes => counted.push((row, label)),
            _ => {
                return Err(Error::Msg(format!(
                    "label {label} at {} is none of the {classes} classes",
                    place(at, labels.dims())
                )));
            }
        }
    }
    Ok(counted)
}
