//! GELU with the error function as a quotient of polynomials.

use super::{PIECE, exp::exp, lend, map_rows};
use candle_core::{Result, Tensor};
use std::f64::consts::FRAC_1_SQRT_2;

/// `x / 2 * (1 + erf(x / sqrt(2)))` of a tensor that [`fits`](super::fits).
pub(crate) fn gelu(x: &Tensor) -> Result<Tensor> {
    let result = map_rows(lend(x).in_order()?, PIECE, |_, x, result| {
        for (x, result) in x.iter().zip(result) {
            *result = of(*x);
        }
    });
    Tensor::from_vec(result, x.shape(), x.device())
}

/// The gradient of `x` from that of its GELU: `Phi(x) + x * phi(x)` times that, with the
/// normal distribution `Phi` and its density `phi`. Both [`fit`](super::fits).
pub(crate) fn gelu_gradient(x: &Tensor, upstream: &Tensor) -> Result<Tensor> {
    let (lent, upstream) = (lend(x), lend(upstream));
    let upstream = upstream.in_order()?;
    let gradient = map_rows(lent.in_order()?, PIECE, |at, x, gradient| {
        let upstream = upstream.get(at * PIECE..).unwrap_or(&[]);
        for ((x, upstream), gradient) in x.iter().zip(upstream).zip(gradient) {
            *gradient = slope(*x) * upstream;
        }
    });
    Tensor::from_vec(gradient, x.shape(), x.device())
}

#[inline(always)]
fn slope(x: f32) -> f32 {
    /// `1 / sqrt(2 * pi)`
    const DENSITY: f64 = 0.398_942_280_401_432_7;
    let wide = f64::from(x);
    let below = 0.5 * (1.0 + erf(wide * FRAC_1_SQRT_2));
    // Far out the density is 0, and infinity times it is not.
    let bounded = x.clamp(-20.0, 20.0);
    let density = DENSITY * f64::from(exp(-0.5 * bounded * bounded));
    (below + f64::from(bounded) * density) as f32
}

/// Within `2.5e-7`, times `|x|` where that is above 1.
#[inline(always)]
pub(crate) fn of(x: f32) -> f32 {
    let z = x * (FRAC_1_SQRT_2 as f32);
    let square = z * z;
    let over = OVER.iter().fold(0.0, |sum, factor| sum * square + *factor as f32);
    let under = UNDER.iter().fold(0.0, |sum, factor| sum * square + *factor as f32);
    let value = z * over / under;
    let value = if z > END as f32 { 1.0 } else { value };
    let value = if z < -END as f32 { -1.0 } else { value };
    0.5 * x * (1.0 + value)
}

/// From here on the error function is 1 within half a unit in the last place of f32.
const END: f64 = 3.832_506_2;

/// What [`erf`] divides, but for `x`: factors of the powers of `x * x`, the highest first.
const OVER: [f64; 5] = [
    2.290_506_586_135_064_6e-4,
    3.408_291_010_710_950_6e-3,
    5.095_569_506_238_086e-2,
    1.852_083_223_997_614_5e-1,
    1.128_379_143_519_084,
];

/// What it divides by.
const UNDER: [f64; 7] = [
    -1.179_160_295_436_169_7e-7,
    2.354_796_647_131_318_5e-5,
    1.017_962_527_891_488_5e-3,
    1.407_047_017_116_766_7e-2,
    1.109_850_517_828_536_2e-1,
    4.974_692_511_006_753_8e-1,
    1.0,
];

/// The error function within 4e-8: the minimax quotient of Eigen's `erf` for floats.
#[inline(always)]
fn erf(x: f64) -> f64 {
    let square = x * x;
    let over = OVER.iter().fold(0.0, |sum, factor| sum * square + factor);
    let under = UNDER.iter().fold(0.0, |sum, factor| sum * square + factor);
    let value = x * over / under;
    let value = if x > END { 1.0 } else { value };
    if x < -END { -1.0 } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::cpu::erf::erf_f64;

    #[test]
    fn close_to_the_error_function() {
        let worst = (-50_000..50_000)
            .map(|step| {
                let x = f64::from(step) / 10_000.0;
                (erf(x) - erf_f64(x)).abs()
            })
            .fold(0.0, f64::max);
        assert!(worst < 6.5e-8, "{worst}");
    }

    #[test]
    fn it_is_as_near_as_it_says() {
        let exact = |x: f64| 0.5 * x * (1.0 + erf_f64(x * FRAC_1_SQRT_2));
        let worst = (-80_000..80_000)
            .map(|step| {
                let x = step as f32 / 10_000.0;
                (f64::from(of(x)) - exact(f64::from(x))).abs() / f64::from(x.abs().max(1.0))
            })
            .fold(0.0, f64::max);
        assert!(worst < 2.5e-7, "{worst}");
    }

    #[test]
    fn large_numbers_and_nan() {
        assert_eq!(of(100.0), 100.0);
        assert_eq!(of(-100.0), 0.0);
        assert_eq!(of(f32::INFINITY), f32::INFINITY);
        assert!(of(f32::NAN).is_nan());
    }
}
