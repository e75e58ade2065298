//! `fake_quantize`.

use super::{
    Mismatch, Operator,
    operands::{axis, floats, of, operands},
};
use crate::types::{Bindings, DType, Dim, TensorType};
use candle_core::{Error, Tensor};

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

/// The largest E4M3 number.
const E4M3_MAX: f32 = 448.0;

/// Where the range is at most this, every code is 0: `2^-24`.
const TINY: f32 = 1.0 / 16_777_216.0;

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
        let values = x.to_dtype(candle_core::DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        let kept = match self.axis {
            Some(along) if self.dynamic => Some(if along < 0 { x.rank().wrapping_add_signed(along as isize) } else { along as usize }),
            _ => amax.dims().iter().position(|size| *size != 1),
        };
        let inner = kept.map_or(values.len(), |axis| x.dims().iter().skip(axis + 1).product());
        let ranges = if self.dynamic {
            let count = kept.map_or(1, |axis| x.dims().get(axis).copied().unwrap_or(1));
            measured(&values, inner, count)
        } else {
            amax.flatten_all()?.to_vec1::<f32>()?
        };
        if let Some(negative) = ranges.iter().find(|range| **range < 0.0) {
            return Err(Error::Msg(format!("`amax` is {negative}, but a magnitude is not negative")));
        }
        if codes.refuses_negative
            && values.iter().copied().reduce(nan_or_min).is_some_and(|least| least < 0.0)
        {
            return Err(Error::Msg("`x` has negative numbers, but the quantizer is unsigned".to_string()));
        }
        let rounded = values
            .chunks(inner.max(1))
            .zip(ranges.iter().cycle())
            .flat_map(|(run, range)| {
                let grid = codes.grid(*range);
                run.iter().map(move |value| grid.round(*value))
            })
            .collect::<Vec<f32>>();
        Tensor::from_vec(rounded, x.shape(), x.device())?.to_dtype(x.dtype())
    }
}

/// The largest magnitude of each of `count` ranges that take turns every `inner` numbers.
fn measured(values: &[f32], inner: usize, count: usize) -> Vec<f32> {
    let mut ranges = vec![0.0_f32; count.max(1)];
    for (index, run) in values.chunks(inner.max(1)).enumerate() {
        let slot = index % ranges.len();
        if let Some(range) = ranges.get_mut(slot) {
            *range = run.iter().fold(*range, |most, value| most.max(value.abs()));
        }
    }
    ranges
}

/// The smaller, or NaN if one is.
fn nan_or_min(a: f32, b: f32) -> f32 {
    if a.is_nan() || a < b { a } else { b }
}

/// Which codes there are and how they are computed.
#[derive(Clone, Copy)]
struct Codes {
    least: f32,
    largest: f32,
    float: bool,
    /// Codes are `x / step`, not `x * scale`.
    divides: bool,
    refuses_negative: bool,
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
            ("e4m3", 8) => Ok(Codes {
                least: -E4M3_MAX,
                largest: E4M3_MAX,
                float: true,
                divides,
                refuses_negative: false,
            }),
            ("e4m3", bits) => Err(Mismatch::new(format!("`bits` is {bits}, but e4m3 has 8"))),
            ("integer", bits @ 2..=16) => {
                let magnitude = if self.signed { bits - 1 } else { bits };
                let largest = ((1_u32 << magnitude) - 1) as f32;
                let least = match (self.signed, narrow) {
                    (false, _) => 0.0,
                    (true, true) => -largest,
                    (true, false) => -largest - 1.0,
                };
                Ok(Codes {
                    least,
                    largest,
                    float: false,
                    divides,
                    refuses_negative: !self.signed && !divides,
                })
            }
            ("integer", bits) => Err(Mismatch::new(format!("`bits` is {bits}")).help("give 2 to 16")),
            (other, _) => {
                Err(Mismatch::new(format!("`format` is {other:?}")).help("say \"integer\" or \"e4m3\""))
            }
        }
    }
}

impl Codes {
    fn grid(self, amax: f32) -> Grid {
        let factor = if self.divides { amax / self.largest } else { self.largest / amax };
        Grid { codes: self, factor, empty: amax <= TINY && !self.float }
    }
}

/// The codes of one range.
#[derive(Clone, Copy)]
struct Grid {
    codes: Codes,
    /// The step between codes, or its inverse.
    factor: f32,
    /// The range is too small for codes.
    empty: bool,
}

impl Grid {
    fn round(self, value: f32) -> f32 {
        let Codes { least, largest, float, divides, .. } = self.codes;
        if self.empty {
            // As multiplying by a scale of 0 does: NaN for NaN and infinities.
            return value * 0.0;
        }
        if float && value.abs() < TINY {
            return 0.0;
        }
        let scaled = if divides { value / self.factor } else { value * self.factor };
        let code = if float { e4m3(scaled) } else { scaled.round_ties_even().clamp(least, largest) };
        if divides { code * self.factor } else { code / self.factor }
    }
}

/// The nearest E4M3 number; half steps go to the even one, magnitudes above 448 to 448.
fn e4m3(value: f32) -> f32 {
    let value = value.clamp(-E4M3_MAX, E4M3_MAX);
    // Three mantissa bits; below 2^-6 numbers are multiples of 2^-9.
    let exponent = ((value.to_bits() >> 23) & 0xff) as i32 - 127;
    let step = f32::from_bits(((exponent.max(-6) - 3 + 127) as u32) << 23);
    if value.is_nan() { value } else { (value / step).round_ties_even() * step }
}
