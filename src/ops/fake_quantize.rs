//! `fake_quantize`.

use super::{
    Mismatch, Operator,
    kernels::{self, Codes, E4M3_MAX},
    operands::{axis, floats, of, operands},
};
use crate::types::{Bindings, DType, Dim, TensorType};
use candle_core::{Device, Error, Tensor};

operator! {
    /// What is left of `x` after a quantizer: each number is rounded to a code and
    /// turned back. `amax` is the magnitude of the largest code, as one number or
    /// one for each index of an axis. Where `amax` is at most `2^-24`, the result
    /// is 0. Half steps go to the even code.
    FakeQuantize = "fake_quantize"(x, amax) {
        /// Bits of a code: 2 to 16.
        bits: i64 = 8,
        /// Codes below zero too.
        signed: bool = true,
        /// Leaves out the most negative code.
        narrow: bool = false,
        /// How codes are computed, with `M` the largest: `onnx` rounds `x / (amax / M)`,
        /// `nv` rounds `x * (M / amax)`, `nv_narrow` is `nv` with `narrow`.
        mode: String = "onnx".to_owned(),
        /// The axis along which `amax` differs; `none` if it is one number.
        axis: Option<i64> = None,
        /// The codes: `integer`, or `e4m3` for 8-bit floats.
        format: String = "integer".to_owned(),
        /// Measures the range of every input; `amax` is not read.
        dynamic: bool = false,
    }
}

impl Operator for FakeQuantize {
    fn infer(&self, given: &[TensorType]) -> Result<TensorType, Mismatch> {
        let [x, amax] = operands(given)?;
        floats("x", x)?;
        of("amax", amax, DType::F32)?;
        self.codes()?;
        let ranges = match self.axis {
            None => Vec::new(),
            Some(along) => {
                let along = axis("x", x, along)?;
                let one = Dim::known(1);
                x.shape
                    .iter()
                    .enumerate()
                    .map(|(at, dim)| if at == along { dim } else { &one }.clone())
                    .collect()
            }
        };
        if !amax.shape.is_empty() && amax.shape != ranges {
            let wanted = TensorType::new(DType::F32, ranges);
            return Err(Mismatch::new(format!("`amax` must be {wanted}, but is {amax}, and `x` is {x}")));
        }
        Ok(x.clone())
    }

    /// Forward only: it has no gradient.
    fn eval(&self, given: &[Tensor], _: &Bindings) -> candle_core::Result<Tensor> {
        let [x, amax] = operands(given)?;
        let codes = self.codes().map_err(|mismatch| Error::Msg(mismatch.message))?;
        let held = x.to_dtype(candle_core::DType::F32)?.to_device(&Device::Cpu)?.contiguous()?.detach();
        let amax = if self.dynamic { measured(&held, self.axis)? } else { amax.to_device(&Device::Cpu)? };
        let ranges = amax.flatten_all()?.to_vec1::<f32>()?;
        if let Some(negative) = ranges.iter().find(|range| **range < 0.0) {
            return Err(Error::Msg(format!("`amax` is {negative}, but a magnitude is not negative")));
        }
        if !self.signed && self.mode != "onnx" && least(&held)? < 0.0 {
            return Err(Error::Msg("`x` has negative numbers, but the quantizer is unsigned".to_owned()));
        }
        // The axes of size 1 after the last other one share a range.
        let axes = amax.dims().iter().rposition(|size| *size != 1).map_or(0, |last| last + 1);
        let (outer, inner) = x.dims().split_at(axes.min(x.rank()));
        let ranges = match axes {
            0 => amax.flatten_all()?,
            _ => amax
                .reshape(amax.dims().get(..axes).unwrap_or_default())?
                .broadcast_as(outer)?
                .flatten_all()?,
        };
        let run = inner.iter().product();
        let rounded = kernels::fake_quantize(&held, &ranges.to_vec1::<f32>()?, run, codes)?;
        rounded.to_dtype(x.dtype())?.to_device(x.device())
    }
}

/// The largest magnitude, of all or for each index of `axis`: with `x`'s axes, the others of size 1.
fn measured(x: &Tensor, axis: Option<i64>) -> candle_core::Result<Tensor> {
    let Some(axis) = axis else { return x.abs()?.max_all() };
    let kept = if axis < 0 { axis + x.rank() as i64 } else { axis };
    let mut range = x.abs()?;
    for other in (0..x.rank()).filter(|index| *index as i64 != kept) {
        range = range.max_keepdim(other)?;
    }
    Ok(range)
}

/// The least number; NaN if one is.
fn least(x: &Tensor) -> candle_core::Result<f32> {
    let smaller = |a: f32, b: f32| if a.is_nan() || a < b { a } else { b };
    Ok(x.flatten_all()?.to_vec1::<f32>()?.into_iter().reduce(smaller).unwrap_or_default())
}

impl FakeQuantize {
    fn codes(&self) -> Result<Codes, Mismatch> {
        let (divides, narrow) = match self.mode.as_str() {
            "onnx" => (true, self.narrow),
            "nv" => (false, self.narrow),
            "nv_narrow" => (false, true),
            other => {
                return Err(Mismatch::new(format!("`mode` is {other:?}"))
                    .help("say \"onnx\", \"nv\" or \"nv_narrow\""));
            }
        };
        match (self.format.as_str(), self.bits) {
            ("e4m3", 8) => Ok(Codes { least: -E4M3_MAX, largest: E4M3_MAX, float: true, divides }),
            ("e4m3", bits) => Err(Mismatch::new(format!("`bits` is {bits}, but e4m3 has 8"))),
            ("integer", bits @ 2..=16) => {
                let magnitude = if self.signed { bits - 1 } else { bits };
                let largest = ((1_u32 << magnitude) - 1) as f32;
                let least = match (self.signed, narrow) {
                    (false, _) => 0.0,
                    (true, true) => -largest,
                    (true, false) => -largest - 1.0,
                };
                Ok(Codes { least, largest, float: false, divides })
            }
            ("integer", bits) => Err(Mismatch::new(format!("`bits` is {bits}")).help("give 2 to 16")),
            (other, _) => {
                Err(Mismatch::new(format!("`format` is {other:?}")).help("say \"integer\" or \"e4m3\""))
            }
        }
    }
}
