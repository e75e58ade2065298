//! The codes of a quantizer, as numbers.

/// The largest E4M3 number.
pub(super) const E4M3_MAX: f32 = 448.0;

/// Where a range is at most this, everything becomes 0: `2^-24`.
pub(super) const TINY: f32 = 1.0 / 16_777_216.0;

/// The nearest E4M3 number; half steps go to the even one, magnitudes above 448 to 448.
pub(super) fn e4m3(x: f32) -> f32 {
    let x = x.clamp(-E4M3_MAX, E4M3_MAX);
    // Three bits after the point; below 2^-6 numbers are multiples of 2^-9.
    let exponent = ((x.to_bits() >> 23) & 0xff) as i32 - 127;
    let step = f32::from_bits(((exponent.max(-6) - 3 + 127) as u32) << 23);
    if x.is_nan() { x } else { (x / step).round_ties_even() * step }
}
