//! What was seen of one tensor, or of one channel of it.

use super::{
    largest::Largest,
    look::{BLOCK, Look, LookAt, MAGNITUDE, MANTISSA_BITS, PIECE, Place, bin},
};
use pulp::Arch;
use rayon::prelude::*;

/// How often what was seen. Infinities and NaN are counted and then left out: they are
/// in no bin, not among the largest, and not negative.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// All values.
    pub values: u64,
    /// Zeros, of either sign.
    pub zeros: u64,
    /// Values that are not a number.
    pub nan: u64,
    /// Infinities of either sign.
    pub infinite: u64,
    /// Finite values below zero.
    pub negative: u64,
    /// The most negative value; 0 if none is negative.
    pub least: f32,
    /// The largest magnitude.
    pub largest: f32,
}

impl Counts {
    /// Values that are neither NaN nor infinite.
    pub fn finite(&self) -> u64 {
        self.values.saturating_sub(self.nan).saturating_sub(self.infinite)
    }

    /// The counts of both.
    #[must_use]
    pub fn and(&self, other: &Counts) -> Counts {
        Counts {
            values: self.values.saturating_add(other.values),
            zeros: self.zeros.saturating_add(other.zeros),
            nan: self.nan.saturating_add(other.nan),
            infinite: self.infinite.saturating_add(other.infinite),
            negative: self.negative.saturating_add(other.negative),
            least: self.least.min(other.least),
            largest: self.largest.max(other.largest),
        }
    }
}

/// The sizes of a [`Tally`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    /// The logarithm of the number of bins, at most [`MOST_BINS_LOG2`].
    pub(super) bins_log2: u32,
    /// How many of the largest magnitudes are kept.
    pub(super) keep: usize,
}

impl Sizes {
    pub(super) fn bins(self) -> usize {
        1 << self.bins_log2
    }
}

const MOST_BINS_LOG2: u32 = 12;
const MOST_BINS: usize = 1 << MOST_BINS_LOG2;

/// The biased exponent (that of a float's bits) of the smallest grid: `[0, 2^-99)`.
const LEAST_TOP: u32 = 27;

/// The bits of infinity.
const INFINITY: u32 = 0x7f80_0000;

/// Values that are worth a core of their own.
const SHARE: usize = 64 * 1024;

/// Counters of their own for neighbouring values: incrementing one counter twice in a
/// row waits for memory.
const LANES: usize = 4;

/// Counts, histogram and largest magnitudes of a multiset of values.
///
/// The grid of the histogram is `[0, 2^k)` in equal bins, with `2^k` the smallest power
/// of two above the largest magnitude. Doubling it adds neighbouring bins in pairs,
/// which is exact: `floor(floor(x * 2^a) / 2) = floor(x * 2^(a - 1))`. So the histogram
/// depends on what was seen and not on its order.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    pub(super) sizes: Sizes,
    pub(super) counts: Counts,
    /// The biased exponent of the numbers in the upper half of the grid.
    top: u32,
    pub(super) bins: Vec<u64>,
    pub(super) largest: Largest,
}

impl Tally {
    pub(super) fn new(sizes: Sizes) -> Tally {
        let bins = vec![0; sizes.bins()];
        Tally { sizes, counts: Counts::default(), top: LEAST_TOP, bins, largest: Largest::new(sizes.keep) }
    }

    /// From parts that a file held; `None` where they contradict each other.
    pub(super) fn from_parts(sizes: Sizes, counts: Counts, bins: Vec<u64>, kept: Vec<u32>) -> Option<Tally> {
        let largest = Largest::from_sorted(sizes.keep, kept);
        let tally = Tally { sizes, counts, top: top_of(counts.largest.to_bits()), bins, largest };
        tally.is_sound().then_some(tally)
    }

    /// The width of a bin.
    pub(super) fn width(&self) -> f64 {
        power_of_two(self.top as i32 - 126 - self.sizes.bins_log2 as i32)
    }

    /// The bin of a magnitude that lies on the grid.
    pub(super) fn bin(&self, magnitude: f32) -> usize {
        bin(magnitude.to_bits(), self.top, self.sizes.bins_log2) as usize
    }

    /// Adds values, with as many cores as they are worth.
    pub(super) fn add(&mut self, values: &[f32]) {
        let share = values.len().div_ceil(2 * rayon::current_num_threads()).max(SHARE);
        if values.len() <= share {
            return self.add_here(values);
        }
        let tally = |part: &[f32]| {
            let mut tally = self.fresh();
            tally.add_here(part);
            tally
        };
        let parts: Vec<Tally> = values.par_chunks(share).map(tally).collect();
        parts.iter().for_each(|part| self.merge(part));
    }

    /// An empty tally that is to be merged with this one.
    fn fresh(&self) -> Tally {
        let bins = vec![0; self.sizes.bins()];
        let (sizes, top) = (self.sizes, self.top);
        Tally { sizes, counts: Counts::default(), top, bins, largest: self.largest.fresh() }
    }

    /// Adds values, with one core.
    pub(super) fn add_here(&mut self, values: &[f32]) {
        // A lane counts at most as many as there are values, which must fit in u32.
        for values in values.chunks(1 << 30) {
            if values.len() < 2 * PIECE {
                self.add_pieces(values, &mut []);
            } else {
                let mut lanes = vec![[0; MOST_BINS]; LANES];
                self.add_pieces(values, &mut lanes);
                self.collect(&mut lanes);
            }
        }
    }

    /// Counts in the lanes, or in the bins where there are no lanes.
    fn add_pieces(&mut self, values: &[f32], lanes: &mut [[u32; MOST_BINS]]) {
        let arch = Arch::new();
        let mut finite = Vec::new();
        let mut places = [0; PIECE];
        for piece in values.chunks(PIECE) {
            self.counts.values = self.counts.values.saturating_add(piece.len() as u64);
            let mut piece = piece;
            let mut look = arch.dispatch(LookAt(piece));
            if look.largest >= INFINITY {
                self.counts = self.counts.and(&Counts {
                    nan: piece.iter().filter(|x| x.is_nan()).count() as u64,
                    infinite: piece.iter().filter(|x| x.is_infinite()).count() as u64,
                    ..Counts::default()
                });
                finite.clear();
                finite.extend(piece.iter().copied().filter(|x| x.is_finite()));
                piece = &finite;
                look = arch.dispatch(LookAt(piece));
            }
            self.note(&look);
            if top_of(look.largest) > self.top {
                self.collect(lanes);
                self.grow(top_of(look.largest));
            }
            let places = places.get_mut(..piece.len()).unwrap_or_default();
            let (top, bins_log2) = (self.top, self.sizes.bins_log2);
            arch.dispatch(Place { piece, top, bins_log2, places });
            if lanes.is_empty() {
                places.iter().for_each(|place| increment(&mut self.bins, *place));
            } else {
                count(places, lanes);
            }
            self.keep_largest(piece, &look);
        }
    }

    fn note(&mut self, look: &Look) {
        let least = if look.least > !MAGNITUDE { f32::from_bits(look.least) } else { 0.0 };
        self.counts = self.counts.and(&Counts {
            zeros: u64::from(look.zeros),
            negative: u64::from(look.negative),
            least,
            largest: f32::from_bits(look.largest),
            ..Counts::default()
        });
    }

    fn keep_largest(&mut self, piece: &[f32], look: &Look) {
        for (block, largest) in piece.chunks(BLOCK).zip(look.blocks) {
            if largest > self.largest.threshold() {
                block.iter().for_each(|x| self.largest.offer(x.to_bits() & MAGNITUDE));
            }
        }
    }

    /// Moves what the lanes counted to the bins.
    fn collect(&mut self, lanes: &mut [[u32; MOST_BINS]]) {
        for lane in lanes {
            for (bin, count) in self.bins.iter_mut().zip(lane.iter_mut()) {
                *bin = bin.saturating_add(u64::from(std::mem::take(count)));
            }
        }
    }

    /// Makes the grid larger by adding neighbouring bins.
    fn grow(&mut self, top: u32) {
        let steps = (top - self.top).min(self.sizes.bins_log2);
        let mut from = std::mem::replace(&mut self.bins, vec![0; self.sizes.bins()]);
        for (at, count) in from.drain(..).enumerate() {
            // A shift to the right stays inside.
            if let Some(bin) = self.bins.get_mut(at >> steps) {
                *bin = bin.saturating_add(count);
            }
        }
        self.top = top;
    }

    /// Adds what another tally of the same sizes saw.
    pub(super) fn merge(&mut self, other: &Tally) {
        self.counts = self.counts.and(&other.counts);
        self.largest.merge(&other.largest);
        if other.top > self.top {
            self.grow(other.top);
        }
        let steps = (self.top - other.top).min(self.sizes.bins_log2);
        for (at, count) in other.bins.iter().enumerate() {
            if let Some(bin) = self.bins.get_mut(at >> steps) {
                *bin = bin.saturating_add(*count);
            }
        }
    }

    /// All parts could have come from one multiset of values.
    fn is_sound(&self) -> bool {
        let Counts { values, zeros, nan, infinite, negative, least, largest } = self.counts;
        let Some(total) = self.bins.iter().try_fold(0_u64, |sum, bin| sum.checked_add(*bin)) else {
            return false;
        };
        let kept = self.largest.sorted();
        let all = [nan, infinite].into_iter().try_fold(total, u64::checked_add);
        let Some(others) = total.checked_sub(zeros) else { return false };
        let is_magnitude = |x: f32| x.is_finite() && x.is_sign_positive();
        if all != Some(values)
            || self.bins.len() != self.sizes.bins()
            || self.bins.first().is_none_or(|first| *first < zeros)
            || negative > others
            || !is_magnitude(largest)
            || !is_magnitude(least.abs())
            || (negative > 0) != (least < 0.0)
            || least > 0.0
            || least.abs() > largest
            || (others > 0) != (largest > 0.0)
            || kept.len() as u64 != others.min(self.sizes.keep as u64)
            || kept.contains(&0)
            || kept.first().is_some_and(|first| *first != largest.to_bits())
            || self.bins.iter().rposition(|bin| *bin > 0).is_some_and(|last| last != self.bin(largest))
        {
            return false;
        }
        let mut rest = self.bins.clone();
        if let Some(first) = rest.first_mut() {
            *first -= zeros;
        }
        for magnitude in &kept {
            match rest.get_mut(self.bin(f32::from_bits(*magnitude))) {
                Some(bin) if *bin > 0 => *bin -= 1,
                _ => return false,
            }
        }
        // What is not kept is not above what is.
        let lowest = kept.last().map_or(self.bins.len(), |last| self.bin(f32::from_bits(*last)));
        rest.iter().skip(lowest + 1).all(|bin| *bin == 0)
    }
}

impl PartialEq for Tally {
    fn eq(&self, other: &Tally) -> bool {
        self.sizes == other.sizes
            && self.counts == other.counts
            && self.top == other.top
            && self.bins == other.bins
            && self.largest.sorted() == other.largest.sorted()
    }
}

/// The biased exponent of the smallest grid that holds this magnitude.
fn top_of(magnitude: u32) -> u32 {
    (magnitude >> MANTISSA_BITS).max(LEAST_TOP)
}

fn increment(bins: &mut [u64], place: u16) {
    // A place is below the number of bins.
    if let Some(bin) = bins.get_mut(usize::from(place)) {
        *bin = bin.saturating_add(1);
    }
}

fn count(places: &[u16], lanes: &mut [[u32; MOST_BINS]]) {
    let [a, b, c, d] = lanes else { return };
    // The mask changes no place, and spares the check of each.
    let at = |place: u16| usize::from(place) & (MOST_BINS - 1);
    let (fours, rest) = places.as_chunks::<LANES>();
    for [i, j, k, l] in fours {
        a[at(*i)] += 1;
        b[at(*j)] += 1;
        c[at(*k)] += 1;
        d[at(*l)] += 1;
    }
    rest.iter().for_each(|place| a[at(*place)] += 1);
}

/// `2^exponent`, for exponents of normal numbers.
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((i64::from(exponent) + 1023) as u64) << 52)
}
