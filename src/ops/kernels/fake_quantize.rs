//! Numbers rounded to the codes of a quantizer and turned back.

use super::{PIECE, lend, map_rows};
use candle_core::{Result, Tensor};

/// The largest E4M3 number.
pub(crate) const E4M3_MAX: f32 = 448.0;

/// Where the range is at most this, every code is 0: `2^-24`.
const TINY: f32 = 1.0 / 16_777_216.0;

/// Which codes there are and how they are computed.
#[derive(Clone, Copy, Debug)]
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

/// What is left of `x`, which [`fits`](super::fits). Each range holds for `run`
/// numbers; a single one holds for all.
pub(crate) fn fake_quantize(x: &Tensor, ranges: &[f32], run: usize, codes: Codes) -> Result<Tensor> {
    let (run, only) = match ranges {
        [only] => (PIECE, Some(*only)),
        _ => (run, None),
    };
    let result = map_rows(lend(x).in_order()?, run, |at, x, result| {
        let Some(range) = only.or_else(|| ranges.get(at).copied()) else { return };
        let grid = codes.grid(range);
        for (x, result) in x.iter().zip(result) {
            *result = grid.round(*x);
        }
    });
    Tensor::from_vec(result, x.shape(), x.device())
}

impl Codes {
    #[inline(always)]
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
    #[inline(always)]
    fn round(self, value: f32) -> f32 {
        let Codes { least, largest, float, divides } = self.codes;
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
#[inline(always)]
fn e4m3(value: f32) -> f32 {
    let value = value.clamp(-E4M3_MAX, E4M3_MAX);
    // Three bits after the point; below 2^-6 numbers are multiples of 2^-9.
    let exponent = ((value.to_bits() >> 23) & 0xff) as i32 - 127;
    let step = f32::from_bits(((exponent.max(-6) - 3 + 127) as u32) << 23);
    if value.is_nan() { value } else { (value / step).round_ties_even() * step }
}
