//! What is held of one watched tensor, of either kind.

use super::{Counts, Fault, ParityHistogram, Request, Statistics, Unmergeable};

/// What is held of one watched tensor while data passes.
#[derive(Clone, Debug, PartialEq)]
pub enum Collector {
    /// Statistics that merge.
    Canonical(Statistics),
    /// What pytorch-quantization would hold.
    Parity(ParityHistogram),
}

impl Collector {
    /// Adds values that lie as `[outer, channels, inner]`; see [`Statistics::add`].
    ///
    /// # Errors
    ///
    /// pytorch-quantization fails on this batch; statistics that merge never do.
    pub fn add(&mut self, values: &[f32], inner: usize) -> Result<(), Fault> {
        match self {
            Collector::Canonical(statistics) => {
                statistics.add(values, inner);
                Ok(())
            }
            Collector::Parity(histogram) => histogram.add(values),
        }
    }

    /// Adds what another collector saw.
    ///
    /// # Errors
    ///
    /// They are of different channels, or one of them is a [`ParityHistogram`].
    pub fn merge(&mut self, other: &Collector) -> Result<(), Unmergeable> {
        match (self, other) {
            (Collector::Canonical(here), Collector::Canonical(there)) => here.merge(there),
            _ => Err(Unmergeable::Parity),
        }
    }

    /// The range of each channel.
    ///
    /// # Errors
    ///
    /// See [`Fault`].
    pub fn range(&self, request: &Request) -> Result<Vec<f32>, Fault> {
        match self {
            Collector::Canonical(statistics) => statistics.range(request),
            Collector::Parity(histogram) => histogram.range(request),
        }
    }

    /// What all channels counted.
    pub fn total(&self) -> Counts {
        match self {
            Collector::Canonical(statistics) => statistics.total(),
            Collector::Parity(histogram) => histogram.total(),
        }
    }

    /// How many ranges there are.
    pub fn channels(&self) -> usize {
        match self {
            Collector::Canonical(statistics) => statistics.channels(),
            Collector::Parity(_) => 1,
        }
    }
}
