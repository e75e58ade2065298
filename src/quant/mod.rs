//! What a quantizer does: the numbers it keeps and where their range comes from.

pub(crate) mod codes;

use serde::Serialize;
use std::fmt;

/// How one quantizer rounds and where its range comes from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scheme {
    /// The codes it rounds to.
    pub storage: Storage,
    /// `Some(axis)`: a range for each index of that axis; `None`: one for the tensor.
    pub axis: Option<i64>,
    /// How codes are computed and turned back.
    pub mode: Mode,
    /// Where the range comes from.
    pub range: RangeSource,
    /// What the range is multiplied by when it is used; `None` is 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale_amax: Option<f64>,
}

impl Scheme {
    /// The magnitudes that are used, of those that are stored: times `scale_amax`.
    pub fn used(&self, amax: &[f32]) -> Vec<f32> {
        let factor = self.scale_amax.unwrap_or(1.0) as f32;
        amax.iter().map(|amax| amax * factor).collect()
    }
}

/// The codes of a quantizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Storage {
    /// Whole numbers.
    Integer {
        /// 2 to 16.
        bits: u8,
        /// Below zero too.
        signed: bool,
        /// Leaves out the most negative code, so that codes are symmetric.
        narrow: bool,
    },
    /// 8-bit floats with 4 exponent and 3 mantissa bits, no infinities, largest 448.
    E4M3,
}

/// How codes are computed (`M` is the largest code).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Mode {
    /// `q = clamp(round_half_even(x / scale))`, `scale = amax / M`: ONNX's QuantizeLinear.
    Onnx,
    /// `q = clamp(round_half_even(x * (M / amax)))`: pytorch-quantization on a CPU.
    Nv,
    /// As `Nv`, without the most negative code: pytorch-quantization's CUDA kernels.
    NvNarrow,
}

/// Where the range of a quantizer comes from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum RangeSource {
    /// Measured on data, or loaded: an `_amax` entry of the checkpoint.
    Calibrated(Calibration),
    /// Written in the spec.
    Fixed(f64),
    /// The largest magnitude of each input, measured at every call.
    Dynamic,
    /// Trained: the checkpoint's entries `clip.clip_value_min` and `clip.clip_value_max`,
    /// or else `_amax` and its negative to start from.
    Learned(Calibration),
}

/// How a range is chosen from what a quantizer saw.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Calibration {
    /// The largest magnitude.
    Max,
    /// The magnitude below which this share of values lies, in percent.
    Percentile(f64),
    /// The range whose codes keep most information (Kullback-Leibler).
    Entropy,
    /// The range with the least squared error.
    MeanSquaredError,
}

impl fmt::Display for Calibration {
    /// As specs write it: `percentile(99.99)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Calibration::Max => f.write_str("max"),
            Calibration::Percentile(share) => write!(f, "percentile({share:?})"),
            Calibration::Entropy => f.write_str("entropy"),
            Calibration::MeanSquaredError => f.write_str("mse"),
        }
    }
}

impl fmt::Display for Scheme {
    /// As specs write it: `int8(axis: 0, calibrate: percentile(99.99))`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut options = Vec::new();
        match self.storage {
            Storage::E4M3 => f.write_str("e4m3")?,
            Storage::Integer { bits, signed, narrow } => {
                write!(f, "{}int{bits}", if signed { "" } else { "u" })?;
                options.extend(narrow.then(|| "range: narrow".to_owned()));
            }
        }
        options.extend(self.axis.map(|axis| format!("axis: {axis}")));
        match self.mode {
            Mode::Onnx => {}
            Mode::Nv => options.push("mode: nv".into()),
            Mode::NvNarrow => options.push("mode: nv_narrow".into()),
        }
        let calibrate = |method: &Calibration| match method {
            Calibration::Max => None,
            other => Some(format!("calibrate: {other}")),
        };
        match &self.range {
            RangeSource::Calibrated(method) => options.extend(calibrate(method)),
            RangeSource::Fixed(amax) => options.push(format!("amax: {amax:?}")),
            RangeSource::Dynamic => options.push("dynamic: true".into()),
            RangeSource::Learned(method) => {
                options.push("learn: true".into());
                options.extend(calibrate(method));
            }
        }
        options.extend(self.scale_amax.map(|factor| format!("scale_amax: {factor:?}")));
        write!(f, "({})", options.join(", "))
    }
}
