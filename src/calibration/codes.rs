//! The codes of a quantizer, as numbers, and what is lost by rounding to them.

use crate::quant::{
    Storage,
    codes::{Codes, E4M3_MAX, largest_code},
};

/// What a code is multiplied by; where that is 0, every code stands for 0.
pub(super) fn scale(amax: f32, storage: &Storage) -> f32 {
    match *storage {
        Storage::Integer { bits, signed, .. } => amax / largest_code(bits, signed) as f32,
        Storage::E4M3 => amax / E4M3_MAX,
    }
}

/// `x` rounded to a code and turned back, as `fake_quantize` does in its mode `onnx`.
#[inline]
pub(super) fn rounded(x: f32, amax: f32, storage: &Storage) -> f32 {
    let codes = Codes::new(storage, true);
    codes.round(x, codes.grid(amax))
}

/// The codes from zero up, as shares of the largest, in ascending order.
pub(super) fn shares(storage: &Storage) -> Vec<f64> {
    match *storage {
        Storage::Integer { bits, signed, .. } => {
            let largest = largest_code(bits, signed);
            (0..=largest).map(|code| f64::from(code) / f64::from(largest)).collect()
        }
        Storage::E4M3 => {
            // Of the bits of an E4M3 number, those below that of NaN: exponents of four
            // bits, the least without the leading one, and mantissas of three.
            let number = |bits: i32| match bits / 8 {
                0 => f64::from(bits) / 512.0,
                exponent => f64::from(8 + bits % 8) * f64::from(exponent - 10).exp2(),
            };
            (0..0x7f).map(|bits| number(bits) / f64::from(E4M3_MAX)).collect()
        }
    }
}
