//! The same by candle's own operations, for devices other than a CPU.
//!
//! Everything stays on the device but one answer: whether an unsigned quantizer
//! meets negative numbers. A range that is negative makes every number NaN here.

use super::{Bounds, is_negative};
use crate::quant::codes::{Codes, TINY};
use candle_core::{DType, Result, Tensor};

/// Adding and subtracting it rounds numbers below `2^22` to whole ones, half steps to
/// the even one: `1.5 * 2^23`.
const ROUND: f64 = 12_582_912.0;

/// See [`fake_quantize`](super::fake_quantize).
pub(super) fn fake_quantize(x: &Tensor, amax: &Tensor, codes: Codes, bounds: Bounds) -> Result<Tensor> {
    if codes.refuses_negative() && is_any(&x.lt(&x.zeros_like()?)?)? {
        return Err(is_negative());
    }
    let (low, high, magnitude) = match bounds {
        Bounds::Magnitude => {
            let amax = amax.detach();
            let low = if codes.least == 0.0 { amax.zeros_like()? } else { amax.neg()? };
            (low, amax.clone(), amax)
        }
        Bounds::Learned => {
            let (low, high) = (amax.get(0)?, amax.get(1)?);
            let magnitude = low.neg()?.maximum(&high)?.detach();
            (low, high, magnitude)
        }
    };
    let plain = x.detach();
    let limited = match bounds {
        Bounds::Magnitude => plain.clone(),
        Bounds::Learned => limit(&plain, &low.detach(), &high.detach())?,
    };
    let rounded = round(&limited, &magnitude, codes)?;
    if !x.track_op() && !low.track_op() && !high.track_op() {
        return Ok(rounded);
    }
    let straight = match bounds {
        Bounds::Magnitude => {
            let passes = (between(&low, &plain)? * between(&plain, &high)?)?;
            passes.where_cond(x, &x.zeros_like()?)?
        }
        Bounds::Learned => {
            let low = low.broadcast_as(x.shape())?;
            let high = high.broadcast_as(x.shape())?;
            let below = plain.le(&low.detach())?;
            let above = plain.ge(&high.detach())?;
            let inside = plain.eq(&plain)?.where_cond(x, &x.zeros_like()?)?;
            below.where_cond(&low, &above.where_cond(&high, &inside)?)?
        }
    };
    // The value of the first, the gradient of the second, which is finite or NaN as the first is.
    let none = straight.sub(&straight.detach())?;
    rounded.detach() + none
}

/// 1 where `lhs <= rhs`, by broadcasting.
fn between(lhs: &Tensor, rhs: &Tensor) -> Result<Tensor> {
    lhs.broadcast_le(rhs)
}

fn round(x: &Tensor, amax: &Tensor, codes: Codes) -> Result<Tensor> {
    // NaN for what is negative.
    let amax = amax.ge(&amax.zeros_like()?)?.where_cond(amax, &constant(amax, f64::NAN)?)?;
    let largest = f64::from(codes.largest);
    let bounds = |x: Tensor| limit(&x, &constant(&amax, codes.least.into())?, &constant(&amax, largest)?);
    if codes.divides {
        let scale = (&amax / &constant(&amax, largest)?)?;
        let divisor =
            scale.eq(&scale.zeros_like()?)?.where_cond(&constant(&scale, f64::INFINITY)?, &scale)?;
        let scaled = bounds(x.broadcast_div(&divisor)?)?;
        return whole(&scaled, codes)?.broadcast_mul(&scale);
    }
    let scale = (constant(&amax, largest)? / &amax)?;
    let (mut into, mut back) = (scale.clone(), scale.clone());
    if !codes.float {
        let tiny = amax.le(&constant(&amax, TINY.into())?)?;
        into = tiny.where_cond(&scale.zeros_like()?, &scale)?;
        back = tiny.where_cond(&scale.ones_like()?, &scale)?;
    }
    let rounded = whole(&bounds(x.broadcast_mul(&into)?)?, codes)?.broadcast_div(&back)?;
    if codes.float {
        let tiny = x.abs()?.lt(&constant(x, TINY.into())?)?;
        return tiny.where_cond(&x.zeros_like()?, &rounded);
    }
    Ok(rounded)
}

/// Codes of numbers within their bounds.
fn whole(x: &Tensor, codes: Codes) -> Result<Tensor> {
    if codes.float {
        return x.to_dtype(DType::F8E4M3)?.to_dtype(DType::F32);
    }
    x.affine(1.0, ROUND)?.affine(1.0, -ROUND)
}

/// `x` brought between bounds, by broadcasting; the upper one counts first, and NaN
/// stays.
fn limit(x: &Tensor, low: &Tensor, high: &Tensor) -> Result<Tensor> {
    let x = x.broadcast_gt(high)?.where_cond(&high.broadcast_as(x.shape())?, x)?;
    x.broadcast_lt(low)?.where_cond(&low.broadcast_as(x.shape())?, &x)
}

/// A number in the shape and on the device of a tensor.
fn constant(like: &Tensor, value: f64) -> Result<Tensor> {
    Tensor::new(value as f32, like.device())?.broadcast_as(like.shape())?.contiguous()
}

fn is_any(flags: &Tensor) -> Result<bool> {
    Ok(flags.to_dtype(DType::F32)?.sum_all()?.to_scalar::<f32>()? > 0.0)
}
