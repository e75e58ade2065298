//! `layer_norm`.

use super::{
    Backward, Mismatch, Operator,
    form::{Form, NodeAttribute, Value},
    gradient::by_candle,
    kernels,
    operands::{floats, operands},
};
use crate::types::{Bindings, DType, Shape, TensorType};
use candle_core::Tensor;

operator! {
    /// Shifts and rescales `x` along its last axis to mean 0 and variance 1, then
    /// multiplies by `weight` and adds `bias`. The variance is the mean of the
    /// squared distances from the mean.
    LayerNorm = "layer_norm"(x, weight, bias) {
        /// What is added to the variance before its root is taken.
        eps: f64,
    }
}

impl Operator for LayerNorm {
    fn infer(&self, given: &[TensorType]) -> Result<TensorType, Mismatch> {
        let [x, weight, bias] = operands(given)?;
        floats("x", x)?;
        let Some(last) = x.shape.last() else {
            return Err(Mismatch::new(format!("`x` must have an axis, but is {x}")));
        };
        for (operand, ty) in [("weight", weight), ("bias", bias)] {
            if ty.dtype != x.dtype || ty.shape.as_slice() != std::slice::from_ref(last) {
                return Err(Mismatch::new(format!(
                    "the last axis of `x` is {last} ({x}), so `{operand}` must be {}{}, but is {ty}",
                    x.dtype,
                    Shape(std::slice::from_ref(last))
                )));
            }
        }
        Ok(x.clone())
    }

    fn eval(&self, given: &[Tensor], _: &Bindings) -> candle_core::Result<Tensor> {
        let [x, weight, bias] = operands(given)?;
        if [x, weight, bias].into_iter().all(kernels::fits) {
            return kernels::layer_norm(x, None, [weight, bias], self.eps as f32);
        }
        let centred = x.broadcast_sub(&x.mean_keepdim(candle_core::D::Minus1)?)?;
        let variance = centred.sqr()?.mean_keepdim(candle_core::D::Minus1)?;
        let normal = centred.broadcast_div(&variance.affine(1.0, self.eps)?.sqrt()?)?;
        normal.broadcast_mul(weight)?.broadcast_add(bias)
    }

    fn gradients(&self, backward: &Backward<'_>) -> candle_core::Result<Vec<Option<Tensor>>> {
        let [x, weight, bias] = operands(backward.operands)?;
        let upstream = backward.upstream.contiguous()?;
        if ![x, weight, bias, &upstream].into_iter().all(kernels::fits) {
            return by_candle(|operands| self.eval(operands, backward.dims), backward);
        }
        let gradients = kernels::layer_norm_gradients(x, None, weight, &upstream, self.eps as f32)?;
        Ok(gradients
            .into_iter()
            .zip(backward.wanted)
            .map(|(found, wanted)| wanted.then_some(found))
            .collect())
    }

    fn onnx(&self, form: &mut Form<'_>) -> Result<Value, Mismatch> {
        if form.dialect.opset >= 17 {
            let epsilon = NodeAttribute::Float(self.eps as f32);
            return form
                .with("LayerNormalization", [("axis", NodeAttribute::Integer(-1)), ("epsilon", epsilon)]);
        }
        let (mut x, weight, bias) = (form.value(0)?, form.value(1)?, form.value(2)?);
        let (dtype, last) = (form.result().dtype, form.axis(0, -1)?);
        // Squares of f16 numbers leave f16: as in `LayerNormalization`, they are f32.
        if dtype != DType::F32 {
            x = form.cast(&x, DType::F32);
        }
        let mean = form.mean(&x, Some(last), true)?;
        let centred = form.plain("Sub", &[&x, &mean]);
        let squared = form.plain("Mul", &[&centred, &centred]);
        let variance = form.mean(&squared, Some(last), true)?;
        let eps = form.number(self.eps, DType::F32)?;
        let raised = form.plain("Add", &[&variance, &eps]);
        let deviation = form.plain("Sqrt", &[&raised]);
        let mut normal = form.plain("Div", &[&centred, &deviation]);
        if dtype != DType::F32 {
            normal = form.cast(&normal, dtype);
        }
        let scaled = form.plain("Mul", &[&normal, &weight]);
        Ok(form.plain("Add", &[&scaled, &bias]))
    }
}
