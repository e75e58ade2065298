//! The range whose codes keep most information.

use super::Seen;
use crate::{
    calibration::codes::shares,
    quant::{Storage, codes::largest_code},
};
use rayon::prelude::*;

/// The part of the used bins below which no candidate lies.
const FIRST: usize = 16;

/// The range at which the histogram, clipped to it, is nearest to itself after
/// quantization by the divergence of Kullback and Leibler; the largest of several.
///
/// The algorithm is TensorRT's (S. Migacz, "8-bit inference with TensorRT", GTC 2017) as
/// pytorch-quantization has it, on the bins up to the largest magnitude: candidates are
/// the upper edges of bins from a 16th of those on, but not of fewer than there are
/// codes; the first bin counts as many as the second, so that what rounds to zero anyway
/// has no weight.
///
/// Two things differ. No candidate clips more than half of the values: one that leaves a
/// single bin, far from zero, would lose nothing by the measure. And there, the
/// divergence of a candidate whose last bin is empty is infinite, because clipped values
/// are put in that bin before quantization only. Here, that bin then has its part of the
/// values of its code. A code that no value below the range has still makes it infinite.
pub(super) fn range(seen: &Seen, storage: &Storage, limit: f64) -> f64 {
    let width = seen.tally.width();
    let mut counts = seen.used();
    let half = half(&counts);
    if let [first, second, ..] = &mut counts[..] {
        *first = *second;
    }
    let codes = Codes::new(storage);
    let sums = Sums::new(&counts);
    let last = counts.len().min((limit / width) as usize);
    let first = (counts.len() / FIRST).max(codes.count()).max(half).clamp(1, last.max(1));
    let divergences: Vec<(usize, f64)> =
        (first..=last).into_par_iter().map(|end| (end, sums.divergence(&codes, end))).collect();
    let nearest = divergences.into_iter().rev().min_by(|(_, a), (_, b)| a.total_cmp(b));
    nearest.map_or(limit, |(end, _)| end as f64 * width).min(f64::from(seen.tally.counts.largest))
}

/// How many of the first bins hold half of what was counted.
fn half(counts: &[u64]) -> usize {
    let all: u64 = counts.iter().sum();
    let mut inside = 0;
    let bins = counts.iter().take_while(|count| {
        let below = inside < all - all / 2;
        inside += **count;
        below
    });
    bins.count()
}

/// The parts of a range that are one code each.
enum Codes {
    /// So many of equal length.
    Equal(usize),
    /// These, by the shares of the range at which they end.
    Ends(Vec<f64>),
}

impl Codes {
    fn new(storage: &Storage) -> Codes {
        match *storage {
            Storage::Integer { bits, signed, .. } => Codes::Equal(largest_code(bits, signed) as usize + 1),
            Storage::E4M3 => {
                let shares = shares(storage);
                let ends = shares.windows(2).map(|pair| pair.iter().sum::<f64>() / 2.0);
                Codes::Ends(ends.chain([1.0]).collect())
            }
        }
    }

    fn count(&self) -> usize {
        match self {
            Codes::Equal(count) => *count,
            Codes::Ends(ends) => ends.len(),
        }
    }

    /// Where the bins of a code end, of `bins` in all.
    fn end(&self, code: usize, bins: usize) -> usize {
        match self {
            // Neither is above 2^16.
            Codes::Equal(count) => ((code + 1) * bins).div_ceil(*count),
            Codes::Ends(ends) => ends.get(code).map_or(bins, |end| (end * bins as f64).ceil() as usize),
        }
    }
}

/// Sums over the first bins, for every number of them.
struct Sums {
    /// Of the counts.
    values: Vec<f64>,
    /// Of 1 for each bin that is not empty.
    bins: Vec<f64>,
    /// Of `count * ln(count)`.
    logarithms: Vec<f64>,
}

impl Sums {
    fn new(counts: &[u64]) -> Sums {
        let sums = |of: &dyn Fn(f64) -> f64| {
            let mut sum = 0.0;
            let next = |count: &u64| {
                sum += of(*count as f64);
                sum
            };
            std::iter::once(0.0).chain(counts.iter().map(next)).collect()
        };
        Sums {
            values: sums(&|count| count),
            bins: sums(&|count| f64::from(u8::from(count > 0.0))),
            logarithms: sums(&times_logarithm),
        }
    }

    /// The divergence of the first `end` bins, the rest being added to the last of them,
    /// from the same after quantization.
    ///
    /// With `P` the clipped counts, `T` their sum, `Q` the mean in the bins of a code
    /// that are not empty, and `I` the sum of `Q`, it is
    /// `(sum of P ln P - sum of P ln Q) / T + ln(I / T)`. It is infinite where all of
    /// the bins are empty, or all of a code that clipped values are put in.
    fn divergence(&self, codes: &Codes, end: usize) -> f64 {
        let at = |sums: &[f64], bin: usize| sums.get(bin).copied().unwrap_or_default();
        let (all, inside) = (self.values.last().copied().unwrap_or_default(), at(&self.values, end));
        if inside <= 0.0 {
            return f64::INFINITY;
        }
        let outside = all - inside;
        let last = inside - at(&self.values, end - 1);
        let mut sum = at(&self.logarithms, end - 1) + times_logarithm(last + outside);
        let mut from = 0;
        for code in 0..codes.count() {
            let to = codes.end(code, end).min(end);
            if to == from {
                continue;
            }
            let values = at(&self.values, to) - at(&self.values, from);
            let mut bins = at(&self.bins, to) - at(&self.bins, from);
            let mut clipped = values;
            if to == end && outside > 0.0 {
                bins += f64::from(u8::from(last == 0.0));
                clipped += outside;
            }
            if clipped > 0.0 {
                sum -= clipped * (values / bins).ln();
            }
            from = to;
        }
        sum / all + (inside / all).ln()
    }
}

fn times_logarithm(count: f64) -> f64 {
    if count > 0.0 { count * count.ln() } else { 0.0 }
}
