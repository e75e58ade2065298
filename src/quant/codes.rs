//! Which codes a quantizer has, and how one number becomes one and comes back.

use super::Storage;

/// The largest E4M3 number.
pub(crate) const E4M3_MAX: f32 = 448.0;

/// Where a range is at most this, codes that are made by multiplying are 0: `2^-24`.
pub(crate) const TINY: f32 = 1.0 / 16_777_216.0;

/// `1.5 * 2^23`: a sum with it is a whole number, the nearest one.
const ROUND: f32 = 12_582_912.0;

/// Which codes there are and how they are computed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Codes {
    /// The most negative code.
    pub(crate) least: f32,
    /// The largest code.
    pub(crate) largest: f32,
    /// Codes are E4M3 numbers, not whole ones.
    pub(crate) float: bool,
    /// Codes are `x / (amax / largest)`, not `x * (largest / amax)`.
    pub(crate) divides: bool,
}

/// The codes of one range, as factors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Grid {
    /// What a number is divided by, or multiplied with, to become a code.
    pub(crate) into: f32,
    /// What a code is multiplied with, or divided by, to become a number.
    pub(crate) back: f32,
    /// Numbers below are brought here first.
    pub(crate) low: f32,
    /// Numbers above are brought here first.
    pub(crate) high: f32,
}

impl Codes {
    /// The codes of a storage, computed by dividing (mode `onnx`) or by multiplying.
    pub(crate) fn new(storage: &Storage, divides: bool) -> Codes {
        let (least, largest) = match *storage {
            Storage::E4M3 => (-E4M3_MAX, E4M3_MAX),
            Storage::Integer { bits, signed, narrow } => {
                let largest = largest_code(bits, signed) as f32;
                let least = match (signed, narrow) {
                    (false, _) => 0.0,
                    (true, true) => -largest,
                    (true, false) => -largest - 1.0,
                };
                (least, largest)
            }
        };
        Codes { least, largest, float: *storage == Storage::E4M3, divides }
    }

    /// Negative numbers have no code, and are refused: ONNX brings them to 0.
    pub(crate) fn refuses_negative(self) -> bool {
        self.least == 0.0 && !self.divides
    }

    /// The codes of the range from `-amax` to `amax`.
    #[inline(always)]
    pub(crate) fn grid(self, amax: f32) -> Grid {
        let (into, back) = if self.divides {
            let scale = amax / self.largest;
            // Code 0 for every number, as dividing by the least scale would give.
            (if scale == 0.0 { f32::INFINITY } else { scale }, scale)
        } else if amax <= TINY && !self.float {
            (0.0, 1.0)
        } else {
            let scale = self.largest / amax;
            (scale, scale)
        };
        Grid { into, back, low: f32::NEG_INFINITY, high: f32::INFINITY }
    }

    /// The codes of a learned range, to which numbers are brought first.
    pub(crate) fn clipped(self, low: f32, high: f32) -> Grid {
        Grid { low, high, ..self.grid(learned_magnitude(low, high)) }
    }

    /// What a code is worth. Within a unit in the last place of what a code becomes, divided by
    /// it, where numbers are multiplied to become codes.
    pub(crate) fn scale(self, grid: Grid) -> f32 {
        if self.divides { grid.back } else { 1.0 / grid.back }
    }

    /// The largest magnitude of a code.
    pub(crate) fn magnitude(self) -> f32 {
        self.largest.max(-self.least)
    }

    /// The least and the largest number that passes a gradient.
    pub(crate) fn passing(self, amax: f32) -> (f32, f32) {
        (if self.least == 0.0 { 0.0 } else { -amax }, amax)
    }

    /// The byte of a number's code, whole and of 8 bits: in two's complement where codes are
    /// signed. That of NaN is 0.
    #[inline(always)]
    pub(crate) fn byte(self, value: f32, grid: Grid) -> u8 {
        let value = limit(value, grid.low, grid.high);
        let scaled = if self.divides { value / grid.into } else { value * grid.into };
        // Adding it leaves the whole number in the lowest bits of the sum.
        (limit(scaled, self.least, self.largest) + ROUND).to_bits() as u8
    }

    /// How numbers are rounded to codes and turned back.
    #[inline(always)]
    pub(crate) fn round(self, value: f32, grid: Grid) -> f32 {
        let value = limit(value, grid.low, grid.high);
        let code = |scaled: f32| nearest(limit(scaled, self.least, self.largest));
        match (self.float, self.divides) {
            (false, true) => code(value / grid.into) * grid.back,
            (false, false) => {
                let scaled = value * grid.into;
                code(scaled).copysign(scaled) / grid.back
            }
            (true, true) => e4m3(value / grid.into) * grid.back,
            (true, false) if value.abs() < TINY => 0.0,
            (true, false) => e4m3(value * grid.into) / grid.back,
        }
    }
}

/// The largest whole code.
pub(crate) fn largest_code(bits: u8, signed: bool) -> u32 {
    // At most 16 bits are allowed; more than 31 would not fit.
    (1 << (bits.clamp(1, 31) - u8::from(signed)).min(30)) - 1
}

/// The magnitude of a learned range: that of the bound farther from 0.
pub(crate) fn learned_magnitude(low: f32, high: f32) -> f32 {
    if -low > high { -low } else { high }
}

/// As `clamp`, for any bounds: the upper one counts first. NaN stays NaN.
#[inline(always)]
fn limit(value: f32, low: f32, high: f32) -> f32 {
    let value = if value > high { high } else { value };
    if value < low { low } else { value }
}

/// The nearest E4M3 number; half steps go to the even one, magnitudes above 448 to 448.
#[inline(always)]
pub(crate) fn e4m3(value: f32) -> f32 {
    let value = limit(value, -E4M3_MAX, E4M3_MAX);
    // Three bits after the point; below 2^-6 numbers are multiples of 2^-9.
    let exponent = ((value.to_bits() >> 23) & 0xff).max(121) - 3;
    let step = f32::from_bits(exponent << 23);
    let inverse = f32::from_bits((254 - exponent) << 23);
    // NaN has the largest exponent; whatever it is multiplied with, it stays NaN.
    (nearest(value * inverse) * step).copysign(value)
}

/// The byte of an E4M3 number: sign, 4 bits of exponent, 3 bits after the point
/// (OCP 8-bit floating point, 5.2). The number is one of those that [`e4m3`] gives.
pub(crate) fn e4m3_bits(value: f32) -> u8 {
    let sign = u8::from(value.is_sign_negative()) << 7;
    let magnitude = value.abs();
    if magnitude.is_nan() {
        return sign | 0x7f;
    }
    // Below 2^-6 numbers are multiples of 2^-9, with exponent 0.
    if magnitude < 1.0 / 64.0 {
        return sign | (magnitude * 512.0) as u8;
    }
    // The exponent's bias is 127 in f32 and 7 here; 448 has the largest, 15.
    let bits = magnitude.to_bits() >> 20;
    sign | (bits.saturating_sub((127 - 7) << 3) & 0x7f) as u8
}

/// The nearest whole number, half steps to the even one, of numbers below `2^22`. As
/// integers have one zero, -0 becomes 0.
#[inline(always)]
fn nearest(value: f32) -> f32 {
    (value + ROUND) - ROUND
}
