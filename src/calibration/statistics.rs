//! What a quantizer saw, in bounded memory.

use super::{
    Unmergeable,
    tally::{Counts, Sizes, Tally},
};
use rayon::prelude::*;

/// Bins of the histogram of a tensor with one range.
pub const BINS: usize = 4096;

/// How many of its largest magnitudes are kept exactly.
pub const LARGEST: usize = 8192;

/// Bins of the histogram of each channel, where each has a range of its own.
pub const CHANNEL_BINS: usize = 1024;

/// How many of its largest magnitudes are kept exactly.
pub const CHANNEL_LARGEST: usize = 256;

/// The most bytes that the statistics of a quantizer with one range take: bins of eight
/// bytes, and room for twice as many magnitudes as are kept, of four bytes.
pub const BYTES: usize = BINS * 8 + LARGEST * 2 * 4 + HEAD;

/// The same for each channel, where each has a range of its own.
pub const CHANNEL_BYTES: usize = CHANNEL_BINS * 8 + CHANNEL_LARGEST * 2 * 4 + HEAD;

const HEAD: usize = size_of::<Tally>();

const SIZES: Sizes = Sizes { bins_log2: BINS.ilog2(), keep: LARGEST };
const CHANNEL_SIZES: Sizes = Sizes { bins_log2: CHANNEL_BINS.ilog2(), keep: CHANNEL_LARGEST };

/// What was seen of one tensor: for the whole of it or for each of its channels, how
/// many values of which kind, a histogram of their magnitudes, and the largest
/// magnitudes exactly.
///
/// It is determined by which values were seen, bit for bit: neither their order, nor
/// how they were parted into batches, nor the number of cores changes it, and
/// [`merge`](Statistics::merge) of parts gives that of the whole. It takes [`BYTES`]
/// bytes, or [`CHANNEL_BYTES`] for each channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    pub(super) tallies: Vec<Tally>,
}

/// A histogram of magnitudes: bin `i` counts those in `[i * width, (i + 1) * width)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Histogram<'a> {
    /// The width of a bin, a power of two.
    pub width: f64,
    /// How many magnitudes each bin holds; zeros are in the first.
    pub counts: &'a [u64],
}

impl Statistics {
    /// Nothing seen yet; one channel is the whole tensor.
    pub fn new(channels: usize) -> Statistics {
        let tally = Tally::new(sizes(channels));
        Statistics { tallies: vec![tally; channels.max(1)] }
    }

    /// How many ranges there are.
    pub fn channels(&self) -> usize {
        self.tallies.len()
    }

    /// Adds values that lie as `[outer, channels, inner]`, in that order; with one
    /// channel, any values. What does not fill a last `[channels, inner]` is left out.
    pub fn add(&mut self, values: &[f32], inner: usize) {
        match &mut self.tallies[..] {
            [tally] => tally.add(values),
            tallies => add_channels(tallies, values, inner),
        }
    }

    /// Adds what other statistics saw.
    ///
    /// # Errors
    ///
    /// They have another number of channels.
    pub fn merge(&mut self, other: &Statistics) -> Result<(), Unmergeable> {
        let (here, there) = (self.channels(), other.channels());
        if here != there {
            return Err(Unmergeable::Channels { here, there });
        }
        self.tallies.iter_mut().zip(&other.tallies).for_each(|(here, there)| here.merge(there));
        Ok(())
    }

    /// What one channel counted; `None` if there is no such channel.
    pub fn counts(&self, channel: usize) -> Option<&Counts> {
        self.tallies.get(channel).map(|tally| &tally.counts)
    }

    /// What all channels counted.
    pub fn total(&self) -> Counts {
        self.tallies.iter().fold(Counts::default(), |total, tally| total.and(&tally.counts))
    }

    /// The histogram of one channel; `None` if there is no such channel.
    pub fn histogram(&self, channel: usize) -> Option<Histogram<'_>> {
        let tally = self.tallies.get(channel)?;
        Some(Histogram { width: tally.width(), counts: &tally.bins })
    }
}

impl Histogram<'_> {
    /// The same in at most `bins` bins from zero to the last that is not empty, for a
    /// picture.
    pub fn coarse(&self, bins: usize) -> (f64, Vec<u64>) {
        let used = self.counts.iter().rposition(|count| *count > 0).map_or(1, |last| last + 1);
        let each = used.div_ceil(bins.max(1));
        let used = self.counts.get(..used).unwrap_or_default();
        (self.width * each as f64, used.chunks(each).map(|part| part.iter().sum()).collect())
    }
}

/// The sizes of a channel's tally where there are so many.
pub(super) fn sizes(channels: usize) -> Sizes {
    if channels <= 1 { SIZES } else { CHANNEL_SIZES }
}

/// Channels that a core gathers at once, so that it reads whole lines of memory.
const TOGETHER: usize = 16;

/// Values of a channel that are worth to be added at once.
const ENOUGH: usize = 16 * 1024;

fn add_channels(tallies: &mut [Tally], values: &[f32], inner: usize) {
    let row = tallies.len().saturating_mul(inner);
    if row == 0 {
        return;
    }
    tallies.par_chunks_mut(TOGETHER).enumerate().for_each(|(block, tallies)| {
        let mut gathered = vec![Vec::new(); tallies.len()];
        for row in values.chunks_exact(row) {
            let runs = row.chunks_exact(inner).skip(block * TOGETHER);
            for ((tally, gathered), run) in tallies.iter_mut().zip(&mut gathered).zip(runs) {
                if inner >= ENOUGH {
                    tally.add_here(run);
                    continue;
                }
                gathered.extend_from_slice(run);
                if gathered.len() >= ENOUGH {
                    tally.add_here(gathered);
                    gathered.clear();
                }
            }
        }
        tallies.iter_mut().zip(&gathered).for_each(|(tally, gathered)| tally.add_here(gathered));
    });
}
