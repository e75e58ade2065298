//! The magnitude below which a share of values lies.

use super::Seen;

/// The `k`-th smallest magnitude of `n`, `k = ceil(percent / 100 * n)` and at least 1.
///
/// It is exact where it is among the largest that are kept; elsewhere the values of its
/// bin are taken to lie evenly in it. It never falls as `percent` rises.
pub(super) fn range(seen: &Seen, percent: f64) -> f64 {
    let zeros = if seen.skip_zeros { 0 } else { seen.tally.counts.zeros };
    let others = seen.tally.counts.finite().saturating_sub(seen.tally.counts.zeros);
    let rank = rank(zeros + others, percent);
    if rank <= zeros {
        return 0.0;
    }
    let kept = seen.tally.largest.sorted();
    let from_top = (zeros + others).saturating_sub(rank);
    if let Some(bits) = usize::try_from(from_top).ok().and_then(|at| kept.get(at)) {
        return f64::from(f32::from_bits(*bits));
    }
    let below = inside_bin(&seen.used(), seen.tally.width(), rank - zeros);
    kept.last().map_or(below, |least| below.min(f64::from(f32::from_bits(*least))))
}

/// `ceil(percent / 100 * n)`, at least 1 and at most `n`. A product that is whole but
/// for its rounding is taken as whole.
pub(in crate::calibration) fn rank(n: u64, percent: f64) -> u64 {
    let product = percent / 100.0 * n as f64;
    ((product * (1.0 - 4.0 * f64::EPSILON)).ceil() as u64).clamp(1, n.max(1))
}

fn inside_bin(counts: &[u64], width: f64, rank: u64) -> f64 {
    let mut before = 0;
    for (at, count) in counts.iter().enumerate() {
        if before + count >= rank {
            return (at as f64 + (rank - before) as f64 / *count as f64) * width;
        }
        before += count;
    }
    counts.len() as f64 * width
}
