//! What a quantizer does: the numbers it keeps and where their range comes from.

use serde::Serialize;

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
    /// Trained, from a calibrated start: `clip` entries of the checkpoint.
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
