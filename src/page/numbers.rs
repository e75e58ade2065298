//! Numbers as the page writes them.

use crate::calibration::{LOSSLESS, Quality};
use crate::calibrator::Amax;

/// Where there is no number.
pub const NOTHING: &str = "–";

/// Four digits, whatever the size: `6.335`, `0.07812`, `1.234e-9`.
pub fn significant(number: f64) -> String {
    let magnitude = number.abs();
    if magnitude == 0.0 || !number.is_finite() {
        return number.to_string();
    }
    if !(1e-4..1e6).contains(&magnitude) {
        return format!("{number:.3e}");
    }
    let before = magnitude.log10().floor() as i32 + 1;
    let after = usize::try_from(4 - before).unwrap_or(0);
    format!("{number:.after$}")
}

/// A range: one number, or the least and the largest over channels.
pub fn range(amax: &Amax) -> String {
    match amax {
        Amax::One(amax) => significant(f64::from(*amax)),
        Amax::Channels { least, largest, .. } => {
            format!("{} … {}", significant(f64::from(*least)), significant(f64::from(*largest)))
        }
    }
}

/// The largest range over channels.
pub fn largest(amax: &Amax) -> f64 {
    match amax {
        Amax::One(amax) => f64::from(*amax),
        Amax::Channels { largest, .. } => f64::from(*largest),
    }
}

/// The least range over channels.
pub fn least(amax: &Amax) -> f64 {
    match amax {
        Amax::One(amax) => f64::from(*amax),
        Amax::Channels { least, .. } => f64::from(*least),
    }
}

/// A whole number in groups of three: `1,509,888`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A large number in three digits: `1.51 M`.
pub fn rough(number: u64) -> String {
    let steps = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    let number = number as f64;
    match steps.iter().find(|(step, _)| number >= *step) {
        None => number.to_string(),
        Some((step, letter)) => {
            let number = number / step;
            let after = if number < 10.0 { 2 } else { usize::from(number < 100.0) };
            format!("{number:.after$} {letter}")
        }
    }
}

/// A share as a percentage.
pub fn percent(share: f64) -> String {
    match share * 100.0 {
        0.0 => "0".to_owned(),
        percent if percent < 0.0001 => "< 0.0001".to_owned(),
        percent => format!("{percent:.4}"),
    }
}

/// A signal-to-noise ratio in decibels.
pub fn decibels(quality: &Quality) -> String {
    match quality.signal_to_noise {
        ratio if ratio >= LOSSLESS => "no noise".to_owned(),
        ratio => format!("{ratio:.1}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_digits_are_kept() {
        let written = [6.335_036, 0.078_125, 24.8, 123_456.0, 1.0, 0.0, 1.234_56e-9, 9.999_99];
        let written = written.map(significant);
        assert_eq!(written, ["6.335", "0.07812", "24.80", "123456", "1.000", "0", "1.235e-9", "10.000"]);
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!([0, 999, 1000, 1_509_888].map(grouped), ["0", "999", "1,000", "1,509,888"]);
        assert_eq!([7, 1509, 15_098, 1_509_888].map(rough), ["7", "1.51 k", "15.1 k", "1.51 M"]);
    }

    #[test]
    fn a_small_share_is_not_none() {
        assert_eq!([0.0, 1e-9, 0.000_123, 0.5].map(percent), ["0", "< 0.0001", "0.0123", "50.0000"]);
    }
}
