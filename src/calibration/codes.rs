//! The codes of a quantizer, as numbers, and what is lost by rounding to them.

use crate::quant::Storage;

/// The largest E4M3 number.
pub(super) const E4M3_MAX: f32 = 448.0;

/// The nearest E4M3 number; half steps go to the even one, magnitudes above 448 to 448.
pub(super) fn e4m3(x: f32) -> f32 {
    let x = x.clamp(-E4M3_MAX, E4M3_MAX);
    // Three bits after the point; below 2^-6 numbers are multiples of 2^-9.
    let exponent = ((x.to_bits() >> 23) & 0xff) as i32 - 127;
    let step = f32::from_bits(((exponent.max(-6) - 3 + 127) as u32) << 23);
    if x.is_nan() { x } else { whole(x / step) * step }
}

/// The nearest whole number, half steps to the even one, of magnitudes below `2^22`:
/// the sum with `1.5 * 2^23` has no room for a fraction. Without the instruction that
/// rounds, which not every processor has, `round_ties_even` is a call.
#[inline(always)]
fn whole(x: f32) -> f32 {
    const ROOM: f32 = 12_582_912.0;
    (x + ROOM) - ROOM
}

/// The largest whole code.
pub(super) fn largest_code(bits: u8, signed: bool) -> u32 {
    // At most 16 bits are allowed; more than 31 would not fit.
    (1 << (bits.clamp(1, 31) - u8::from(signed)).min(30)) - 1
}

/// What a code is multiplied by; where that is 0, every code stands for 0.
pub(super) fn scale(amax: f32, storage: &Storage) -> f32 {
    match *storage {
        Storage::Integer { bits, signed, .. } => amax / largest_code(bits, signed) as f32,
        Storage::E4M3 => amax / E4M3_MAX,
    }
}

/// `x` rounded to a code and turned back, as `fake_quantize` does in its mode `onnx`:
/// `clamp(round_half_even(x / scale)) * scale`, `scale = amax / M`.
#[inline]
pub(super) fn rounded(x: f32, amax: f32, storage: &Storage) -> f32 {
    let scale = scale(amax, storage);
    if scale <= 0.0 {
        return 0.0;
    }
    match *storage {
        Storage::Integer { bits, signed, narrow } => {
            let largest = largest_code(bits, signed) as f32;
            let least = match (signed, narrow) {
                (false, _) => 0.0,
                (true, true) => -largest,
                (true, false) => -largest - 1.0,
            };
            whole((x / scale).clamp(least, largest)) * scale
        }
        Storage::E4M3 => e4m3(x / scale) * scale,
    }
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
