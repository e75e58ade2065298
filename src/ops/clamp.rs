//! `clamp`.

use super::{
    Backward, Mismatch, Number, Operator,
    form::{Form, Value},
    operands::{number, operands},
};
use crate::types::{Bindings, DType, TensorType};
use candle_core::Tensor;

operator! {
    /// Numbers below `min` become `min`, numbers above `max` become `max`.
    Clamp = "clamp"(x) {
        /// The least number; `none` for no bound.
        min: Option<Number> = None,
        /// The largest number; `none` for no bound.
        max: Option<Number> = None,
    }
}

impl Operator for Clamp {
    fn infer(&self, given: &[TensorType]) -> Result<TensorType, Mismatch> {
        let [x] = operands(given)?;
        if x.dtype == DType::Bool {
            return Err(Mismatch::new(format!("`x` must hold numbers, but is {x}")));
        }
        for (name, bound) in [("min", &self.min), ("max", &self.max)] {
            match bound {
                Some(Number::Float(value)) if !x.dtype.is_float() && value.fract() != 0.0 => {
                    let message = format!("`{name}` is {value}, but `x` ({x}) holds whole numbers");
                    return Err(Mismatch::new(message));
                }
                _ => {}
            }
        }
        Ok(x.clone())
    }

    fn eval(&self, given: &[Tensor], dims: &Bindings) -> candle_core::Result<Tensor> {
        let [x] = operands(given)?;
        let above = match &self.min {
            Some(min) => x.broadcast_maximum(&bound(min, x, dims)?)?,
            None => x.clone(),
        };
        match &self.max {
            Some(max) => above.broadcast_minimum(&bound(max, x, dims)?),
            None => Ok(above),
        }
    }

    /// Passes where the number is its own clamp, as in PyTorch.
    fn gradients(&self, backward: &Backward<'_>) -> candle_core::Result<Vec<Option<Tensor>>> {
        let [x] = operands(backward.operands)?;
        let passes = || {
            let mut upstream = backward.upstream.clone();
            let none = upstream.zeros_like()?;
            if let Some(min) = &self.min {
                let inside = x.broadcast_ge(&bound(min, x, backward.dims)?)?;
                upstream = inside.where_cond(&upstream, &none)?;
            }
            if let Some(max) = &self.max {
                let inside = x.broadcast_le(&bound(max, x, backward.dims)?)?;
                upstream = inside.where_cond(&upstream, &none)?;
            }
            Ok(upstream)
        };
        Ok(vec![backward.wanted(0, passes)?])
    }

    fn onnx(&self, form: &mut Form<'_>) -> Result<Value, Mismatch> {
        let dtype = form.result().dtype;
        let mut value = form.value(0)?;
        for (op_type, bound) in [("Max", &self.min), ("Min", &self.max)] {
            let bound = match bound {
                None => continue,
                Some(Number::Float(number)) => form.number(*number, dtype)?,
                Some(Number::Dim(dim)) => match dim.as_known() {
                    Some(known) => form.number(known as f64, dtype)?,
                    None => {
                        let size = form.scalar_size(dim)?;
                        form.cast(&size, dtype)
                    }
                },
            };
            value = form.plain(op_type, &[&value, &bound]);
        }
        Ok(value)
    }
}

/// A bound as a number like those of `x`.
fn bound(bound: &Number, x: &Tensor, dims: &Bindings) -> candle_core::Result<Tensor> {
    match bound {
        Number::Float(value) => Tensor::new(*value, x.device()),
        Number::Dim(dim) => Tensor::new(number(dim, dims)?, x.device()),
    }?
    .to_dtype(x.dtype())
}
