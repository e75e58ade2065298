//! What rounding to a range costs.

use super::{
    Counts, Statistics,
    codes::{rounded, scale, shares},
    integrals::Integrals,
    tally::Tally,
};
use crate::quant::Storage;
use rayon::prelude::*;

/// What rounding to the codes of a range costs. Every field is a number, whatever was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    /// The share of values whose magnitude is above the range, from 0 to 1.
    pub clipped: f64,
    /// The energy of the values over that of the error, in decibels; 0 where nothing is
    /// left of them or nothing was there, at most [`LOSSLESS`].
    pub signal_to_noise: f64,
    /// The cosine of the angle between the values and what is left of them; 0 where
    /// nothing is left, 1 where nothing was there.
    pub cosine: f64,
}

/// The signal-to-noise ratio of what is not changed at all, in decibels.
pub const LOSSLESS: f64 = 200.0;

impl Statistics {
    /// What rounding to these ranges costs, one for each channel or one for all, in the
    /// mode `onnx`: only a range of 0 counts as 0.
    ///
    /// Values that are among the largest are taken exactly, the others as evenly spread
    /// in their bins, in which the error is integrated. The sign of values is not known
    /// here: a code below `-M` is not counted on. NaN and infinities are left out.
    pub fn quality(&self, amax: &[f32], storage: &Storage) -> Quality {
        let shares = shares(storage);
        let sums = self.tallies.par_iter().enumerate().map(|(channel, tally)| {
            let range = amax.get(channel).or(amax.last()).copied().unwrap_or_default();
            of_tally(tally, range, storage, &shares)
        });
        let sums: Vec<Sums> = sums.collect();
        Sums::all(sums.iter()).quality()
    }
}

/// What rounding these values to these ranges costs; the values lie as `[outer,
/// channels, inner]`, one channel for each range. Exact.
pub fn quality_of(values: &[f32], inner: usize, amax: &[f32], storage: &Storage) -> Quality {
    // One range is for all: its runs may be of any length.
    let inner = if amax.len() <= 1 { SHARE } else { inner.max(1) };
    let runs = (SHARE / inner).max(1);
    let of_part = |(part, values): (usize, &[f32])| {
        let mut sums = Sums::default();
        for (run, values) in values.chunks(inner).enumerate() {
            let range = amax.get((part * runs + run) % amax.len().max(1)).copied().unwrap_or_default();
            let finite = values.iter().copied().filter(|x| x.is_finite());
            finite.for_each(|x| sums.add(x, rounded(x, range, storage), range));
        }
        sums
    };
    // Parts are added in their order, whatever the number of cores.
    let parts = values.par_chunks(runs.saturating_mul(inner)).enumerate();
    let sums: Vec<Sums> = parts.map(of_part).collect();
    Sums::all(sums.iter()).quality()
}

/// Values that are summed before their sum is added to others.
const SHARE: usize = 16 * 1024;

/// What [`Quality`] is made of.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    values: f64,
    clipped: f64,
    /// Of the squares of the values.
    signal: f64,
    /// Of the squares of what is left of them.
    left: f64,
    /// Of the squares of the differences.
    noise: f64,
}

impl Sums {
    fn all<'a>(parts: impl Iterator<Item = &'a Sums>) -> Sums {
        parts.fold(Sums::default(), |all, part| Sums {
            values: all.values + part.values,
            clipped: all.clipped + part.clipped,
            signal: all.signal + part.signal,
            left: all.left + part.left,
            noise: all.noise + part.noise,
        })
    }

    fn add(&mut self, x: f32, rounded: f32, range: f32) {
        let (exact, rounded) = (f64::from(x), f64::from(rounded));
        self.values += 1.0;
        self.clipped += f64::from(u8::from(x.abs() > range));
        self.signal += exact * exact;
        self.left += rounded * rounded;
        self.noise += (exact - rounded) * (exact - rounded);
    }

    fn quality(&self) -> Quality {
        let ratio = 10.0 * (self.signal / self.noise).log10();
        let signal_to_noise = match () {
            () if self.signal <= 0.0 => 0.0,
            () if self.noise <= 0.0 => LOSSLESS,
            () => ratio.clamp(-LOSSLESS, LOSSLESS),
        };
        // 2 x y = x² + y² - (x - y)².
        let inner = (self.signal + self.left - self.noise) / 2.0;
        let cosine = match () {
            () if self.signal <= 0.0 => 1.0,
            // Codes of the largest floats can be infinite.
            () if self.left <= 0.0 || !self.left.is_finite() => 0.0,
            () => (inner / (self.signal.sqrt() * self.left.sqrt())).clamp(-1.0, 1.0),
        };
        Quality { clipped: self.clipped / self.values.max(1.0), signal_to_noise, cosine }
    }
}

fn of_tally(tally: &Tally, range: f32, storage: &Storage, shares: &[f64]) -> Sums {
    let Counts { zeros, .. } = tally.counts;
    let mut sums = Sums { values: zeros as f64, ..Sums::default() };
    let mut bins = tally.bins.clone();
    if let Some(first) = bins.first_mut() {
        *first = first.saturating_sub(zeros);
    }
    for bits in tally.largest.sorted() {
        let x = f32::from_bits(bits);
        if let Some(bin) = bins.get_mut(tally.bin(x)) {
            *bin = bin.saturating_sub(1);
        }
        sums.add(x, rounded(x, range, storage), range);
    }
    let codes = if scale(range, storage) > 0.0 { shares } else { &[0.0][..] };
    let mut integrals = Integrals::new(codes, f64::from(range));
    let width = tally.width();
    let mut below = integrals.at(0.0);
    for (at, count) in bins.iter().enumerate() {
        let (from, to) = (at as f64 * width, (at + 1) as f64 * width);
        let above = integrals.at(to);
        if *count > 0 {
            let each = *count as f64 / width;
            sums.values += *count as f64;
            sums.clipped += each * (to - f64::from(range).clamp(from, to));
            sums.signal += each * (to.powi(3) - from.powi(3)) / 3.0;
            sums.left += each * (above.left - below.left);
            sums.noise += each * (above.noise - below.noise).max(0.0);
        }
        below = above;
    }
    sums
}
