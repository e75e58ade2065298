//! `fake_quantize`.

use super::{
    Backward, Mismatch, Operator,
    form::{Form, Value, pair::pair},
    gradient::by_candle,
    kernels::{self, Bounds},
    operands::{axis, axis_of, floats, of, operands},
};
use crate::{
    quant::{Storage, codes::Codes},
    types::{Bindings, DType, Dim, TensorType},
};
use candle_core::{Error, Tensor};

operator! {
    /// What is left of `x` after a quantizer: each number is rounded to a code and
    /// turned back. `amax` is the magnitude of the largest code, as one number or
    /// one for each index of an axis. Half steps go to the even code.
    ///
    /// The gradient of `x` is straight through: all of it where `x` lies between
    /// `-amax` (0 if the codes are unsigned) and `amax`, these included, and none
    /// elsewhere and for NaN, in every mode.
    ///
    /// With `learn`, `amax` holds a least and a largest number along a first axis
    /// of size 2. `x` is brought between them first, and the magnitude is that of
    /// the one farther from 0. They get the gradient of the numbers at or beyond
    /// them, `x` that of the numbers between them (PACT, arXiv 1805.06085, 3).
    ///
    /// Codes are computed in f32, whatever `x` is, and NaN stays NaN. Where `amax`
    /// is 0 the result is 0, and NaN for infinities; the modes of
    /// pytorch-quantization take `amax` up to `2^-24` for 0, and refuse negative
    /// numbers where codes are unsigned, which `onnx` brings to 0.
    ///
    /// Better than pytorch-quantization: a NaN does not hide negative numbers from
    /// that check, a negative axis means the same for a dynamic range as for any
    /// other, f16 and bf16 are rounded once, and ranges are learned along an axis too.
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
        /// What every range is multiplied by before it is used.
        scale_amax: f64 = 1.0,
        /// `amax` is a least and a largest number, with gradients.
        learn: bool = false,
    }
}

impl Operator for FakeQuantize {
    fn infer(&self, given: &[TensorType]) -> Result<TensorType, Mismatch> {
        let [x, amax] = operands(given)?;
        floats("x", x)?;
        of("amax", amax, DType::F32)?;
        self.codes()?;
        if self.learn && (self.dynamic || self.scale_amax != 1.0) {
            return Err(Mismatch::new("a learned range is neither dynamic nor scaled"));
        }
        let one = Dim::known(1);
        let ranges = match self.axis {
            None => Vec::new(),
            Some(along) => {
                let along = axis("x", x, along)?;
                let kept = |(at, dim)| if at == along { dim } else { &one }.clone();
                x.shape.iter().enumerate().map(kept).collect()
            }
        };
        let wanted = if self.learn { [vec![Dim::known(2)], ranges].concat() } else { ranges };
        let single = !self.learn && amax.shape.is_empty();
        if !single && amax.shape != wanted {
            let wanted = TensorType::new(DType::F32, wanted);
            return Err(Mismatch::new(format!("`amax` must be {wanted}, but is {amax}, and `x` is {x}")));
        }
        Ok(x.clone())
    }

    fn eval(&self, given: &[Tensor], _: &Bindings) -> candle_core::Result<Tensor> {
        let [x, amax] = operands(given)?;
        let codes = self.codes().map_err(|mismatch| Error::Msg(mismatch.message))?;
        let held = x.to_dtype(candle_core::DType::F32)?;
        let amax = if self.dynamic {
            let axis = self.axis.map(|axis| axis_of(x, axis)).transpose()?;
            kernels::magnitude(&held.detach(), axis)?
        } else {
            amax.clone()
        };
        kernels::fake_quantize(&held, &self.scaled(&amax)?, codes, self.bounds())?.to_dtype(x.dtype())
    }

    fn gradients(&self, backward: &Backward<'_>) -> candle_core::Result<Vec<Option<Tensor>>> {
        let [x, amax] = operands(backward.operands)?;
        let codes = self.codes().map_err(|mismatch| Error::Msg(mismatch.message))?;
        if !self.learn && !self.dynamic {
            let amax = self.scaled(amax)?;
            if let Some(of_x) = kernels::fake_quantize_gradient(x, &amax, backward.upstream, codes)? {
                return Ok(vec![backward.wanted(0, || Ok(of_x))?, None]);
            }
        }
        by_candle(|operands| self.eval(operands, backward.dims), backward)
    }

    fn onnx(&self, form: &mut Form<'_>) -> Result<Value, Mismatch> {
        pair(self, self.codes()?, form)
    }
}

impl FakeQuantize {
    /// The codes of `x`, f32 in a CPU's memory, as whole numbers: also where `x` is what they
    /// stand for. Ranges are known before, and codes whole.
    pub(crate) fn encode(&self, x: &Tensor, amax: &Tensor) -> candle_core::Result<Tensor> {
        let codes = self.codes().map_err(|mismatch| Error::Msg(mismatch.message))?;
        kernels::encode(x, &self.scaled(amax)?, codes, self.bounds())
    }

    /// What a code of each range is worth.
    pub(crate) fn scales(&self, amax: &Tensor) -> candle_core::Result<Vec<f32>> {
        let codes = self.codes().map_err(|mismatch| Error::Msg(mismatch.message))?;
        kernels::scales(&self.scaled(amax)?, codes, self.bounds())
    }

    fn scaled(&self, amax: &Tensor) -> candle_core::Result<Tensor> {
        if self.scale_amax == 1.0 { Ok(amax.clone()) } else { amax * self.scale_amax }
    }

    fn bounds(&self) -> Bounds {
        if self.learn { Bounds::Learned } else { Bounds::Magnitude }
    }

    /// Its codes.
    pub(crate) fn codes(&self) -> Result<Codes, Mismatch> {
        let (divides, narrow) = match self.mode.as_str() {
            "onnx" => (true, self.narrow),
            "nv" => (false, self.narrow),
            "nv_narrow" => (false, true),
            other => {
                return Err(Mismatch::new(format!("`mode` is {other:?}"))
                    .help("say \"onnx\", \"nv\" or \"nv_narrow\""));
            }
        };
        let whole = |bits| Storage::Integer { bits, signed: self.signed, narrow };
        match (self.format.as_str(), self.bits) {
            ("e4m3", 8) => Ok(Codes::new(&Storage::E4M3, divides)),
            ("e4m3", bits) => Err(Mismatch::new(format!("`bits` is {bits}, but e4m3 has 8"))),
            ("integer", bits @ 2..=16) => Ok(Codes::new(&whole(bits as u8), divides)),
            ("integer", bits) => Err(Mismatch::new(format!("`bits` is {bits}")).help("give 2 to 16")),
            (other, _) => {
                Err(Mismatch::new(format!("`format` is {other:?}")).help("say \"integer\" or \"e4m3\""))
            }
        }
    }
}
