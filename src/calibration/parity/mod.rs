//! Histograms as pytorch-quantization 2.2.1 makes them, to its numbers.
//!
//! For comparing with ranges that it chose; [`Statistics`](super::Statistics) are
//! better in every other way. What is different here, because it is there:
//!
//! - the grid comes from the first batch, so the result depends on the order of batches,
//!   and histograms do not merge;
//! - a first batch of zeros makes a grid that cannot grow;
//! - a percentile is the lower edge of its bin; entropy and squared error have the
//!   library's candidates.
//!
//! Counts are whole numbers of 64 bits. The library's are f32 on its default path and
//! stop at `2^24` for each bin, which is not reproduced: below that the two agree.

mod collect;
mod entropy;
mod mean_squared_error;

use super::{Fault, Request, tally::Counts};
use crate::quant::Calibration;

/// The settings of `HistogramCalibrator`, with its defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParitySettings {
    /// `num_bins`: bins at the first batch.
    pub bins: usize,
    /// `skip_zeros`: leaves out values that are exactly zero.
    pub skip_zeros: bool,
    /// Not `torch_hist`: the bins of numpy, from the smallest magnitude of the first batch.
    pub numpy: bool,
}

impl Default for ParitySettings {
    fn default() -> ParitySettings {
        ParitySettings { bins: 2048, skip_zeros: false, numpy: false }
    }
}

/// Which candidates `compute_amax` tries, with its defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidates {
    /// `start_bin`: the first one.
    pub start: usize,
    /// `stride`: from one to the next.
    pub stride: usize,
}

impl Default for Candidates {
    fn default() -> Candidates {
        Candidates { start: 128, stride: 1 }
    }
}

/// What pytorch-quantization's `HistogramCalibrator` and `MaxCalibrator` hold of one
/// tensor. Eight bytes a bin and an edge; at most [`MOST_BINS`] bins.
#[derive(Clone, Debug, PartialEq)]
pub struct ParityHistogram {
    pub(super) settings: ParitySettings,
    pub(super) counts: Vec<u64>,
    /// Numbers that are f32 but on numpy's path after its first growth.
    pub(super) edges: Vec<f64>,
    /// Edges are f64.
    pub(super) double: bool,
    pub(super) seen: Counts,
}

/// The most bins that a histogram grows to. The library has no bound: it takes all
/// memory, and entropy all time, where the first batch is much smaller than a later one.
pub const MOST_BINS: usize = 1 << 16;

impl ParityHistogram {
    /// Nothing collected yet.
    pub fn new(settings: ParitySettings) -> ParityHistogram {
        let seen = Counts::default();
        ParityHistogram { settings, counts: Vec::new(), edges: Vec::new(), double: false, seen }
    }

    /// What was seen, zeros that are left out too.
    pub fn total(&self) -> Counts {
        self.seen
    }

    /// How many values each bin counted.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Where bins begin, and where the last one ends. Rounding rarely makes one more or
    /// fewer than [`counts`](ParityHistogram::counts) has bins and one.
    pub fn edges(&self) -> &[f64] {
        &self.edges
    }

    /// The range that `compute_amax` gives with its default candidates, as the only
    /// element. `skip_zeros` of the request is not read: it belongs to the settings. No
    /// range is above the limit, which the library does not know.
    ///
    /// # Errors
    ///
    /// The library has no range or fails.
    pub fn range(&self, request: &Request) -> Result<Vec<f32>, Fault> {
        self.range_among(request, Candidates::default())
    }

    /// The same with candidates of one's own.
    ///
    /// # Errors
    ///
    /// The library has no range or fails.
    pub fn range_among(&self, request: &Request, candidates: Candidates) -> Result<Vec<f32>, Fault> {
        let range = match request.method {
            Calibration::Max => self.largest()?,
            _ if self.edges.is_empty() => return Err(self.nothing()),
            Calibration::Percentile(percent) => self.percentile(percent),
            Calibration::Entropy => entropy::range(self, &request.storage, candidates)?,
            Calibration::MeanSquaredError => mean_squared_error::range(self, &request.storage, candidates)?,
        };
        Ok(vec![request.limit.map_or(range, |limit| range.min(limit as f32))])
    }

    fn largest(&self) -> Result<f32, Fault> {
        match self.seen {
            Counts { values: 0, .. } => Err(Fault::NothingSeen),
            Counts { nan: count @ 1.., .. } => Err(Fault::NotANumber { count }),
            Counts { infinite: count @ 1.., .. } => Err(Fault::Infinite { count }),
            Counts { largest, .. } => Ok(largest),
        }
    }

    fn nothing(&self) -> Fault {
        self.largest().err().unwrap_or(Fault::NothingSeen)
    }

    /// The left edge of the first bin with `percent` or more of the values below its right.
    fn percentile(&self, percent: f64) -> f32 {
        let total = self.counts.iter().sum::<u64>() as f64;
        let mut share = 0.0;
        let reached = self.counts.iter().position(|count| {
            share += *count as f64 / total;
            share >= percent / 100.0
        });
        let at = reached.unwrap_or(self.counts.len());
        self.edges.get(at).or(self.edges.last()).copied().unwrap_or_default() as f32
    }
}

const TOO_FEW: Fault = Fault::Parity("there are fewer bins than the first candidate");
