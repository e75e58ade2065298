//! `cross_entropy`.

use super::{
    Backward, Mismatch, Operator,
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

    fn gradients(&self, backward: &Backward<'_>) -> candle_core::Result<Vec<Option<Tensor>>> {
        let [logits, labels] = operands(backward.operands)?;
        let of_logits = || {
            let classes = logits.dim(candle_core::D::Minus1)?;
            let counted = counted(labels, number(&self.ignore, backward.dims)?, classes)?;
            let (rows, targets): (Vec<u32>, Vec<i64>) = counted.into_iter().unzip();
            let flat = logits.reshape(((), classes))?;
            let zeros = flat.zeros_like()?;
            if rows.is_empty() {
                return zeros.reshape(logits.dims());
            }
            let count = rows.len();
            let rows = Tensor::from_vec(rows, count, logits.device())?;
            let targets = Tensor::from_vec(targets, (count, 1), logits.device())?;
            let probabilities = candle_nn::ops::softmax_last_dim(&flat.index_select(&rows, 0)?)?;
            let less = Tensor::ones((count, 1), logits.dtype(), logits.device())?.neg()?;
            let apart = probabilities.scatter_add(&targets, &less, 1)?;
            let share = (backward.upstream / count as f64)?;
            zeros.index_add(&rows, &apart.broadcast_mul(&share)?, 0)?.reshape(logits.dims())
        };
        Ok(vec![backward.wanted(0, of_logits)?, None])
    }

    /// In operators that every runtime has: few have `SoftmaxCrossEntropyLoss`.
    fn onnx(&self, form: &mut Form<'_>) -> Result<Value, Mismatch> {
        let logits = form.operand(0)?;
        let (dtype, mut scores) = (logits.ty.dtype, logits.value);
        if dtype != DType::F32 {
            scores = form.cast(&scores, DType::F32);
        }
        let scores = form.node("LogSoftmax", &[&scores], [("axis", NodeAttribute::Integer(-1))]);
        let classes = logits.ty.shape.last().cloned().unwrap_or(Dim::known(1));
        let rows = form.shape(&[Dim::known(-1), classes])?;
        let scores = form.plain("Reshape", &[&scores, &rows]);
        let column = form.integers("column", &[-1, 1])?;
        let labels = form.value(1)?;
        let labels = form.plain("Reshape", &[&labels, &column]);
        let ignore = form.size(&self.ignore)?;
        let ignored = form.labelled("Equal", &[&labels, &ignore], [], "ignored");
        // Any class does where the label does not count.
        let any = form.integers("any", &[0])?;
        let labels = form.plain("Where", &[&ignored, &any, &labels]);
        let scores = form.node("GatherElements", &[&scores, &labels], [("axis", NodeAttribute::Integer(1))]);
        let zero = form.number(0.0, DType::F32)?;
        let scores = form.plain("Where", &[&ignored, &zero, &scores]);
        let counted = form.labelled("Not", &[&ignored], [], "counted");
        let counted = form.cast(&counted, DType::F32);
        let [sum, count] = [scores, counted]
            .map(|each| form.node("ReduceSum", &[&each], [("keepdims", NodeAttribute::Integer(0))]));
        let mean = form.plain("Div", &[&sum, &count]);
        let loss = form.plain("Neg", &[&mean]);
        Ok(if dtype == DType::F32 { loss } else { form.cast(&loss, dtype) })
    }
}

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
