//! The exponential as arithmetic alone, so that loops over it run in parallel.

use std::f32::consts::LOG2_E;

/// Adding it rounds to a whole number and leaves that number, plus the bias of an
/// exponent, in the lowest bits.
const ROUND: f32 = 12_582_912.0 + 127.0;

/// `exp(x)` for `x` from -87 to 88, within 2 units in the last place; 0 for smaller
/// `x`, NaN for NaN. The polynomial is that of Cephes' `expf`.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    let is_tiny = x < -87.0;
    let x = if is_tiny { -87.0 } else { x };
    let rounded = x * LOG2_E + ROUND;
    let power = rounded - ROUND;
    // ln(2) in two parts, the first of which is exact times `power`.
    let rest = x - power * 0.693_359_4 + power * 2.121_944_4e-4;
    let tail = ((((1.987_569_2e-4 * rest + 1.398_2e-3) * rest + 8.333_452e-3) * rest + 4.166_579_6e-2)
        * rest
        + 1.666_666_5e-1)
        * rest
        + 0.5;
    let value = tail * rest * rest + rest + 1.0;
    let value = value * f32::from_bits(rounded.to_bits() << 23);
    if is_tiny { 0.0 } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_to_the_exponential() {
        let worst = (-87_000..88_000)
            .map(|step| {
                let x = step as f32 / 1000.0;
                let exact = f64::from(x).exp();
                ((f64::from(exp(x)) - exact) / exact).abs()
            })
            .fold(0.0, f64::max);
        assert!(worst < 2.0 * f64::from(f32::EPSILON), "{worst}");
        assert_eq!([exp(f32::MIN), exp(f32::NEG_INFINITY)], [0.0; 2]);
        assert!(exp(f32::NAN).is_nan());
        assert_eq!(exp(0.0), 1.0);
    }
}
