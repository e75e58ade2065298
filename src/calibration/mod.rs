//! What quantizers see, and the ranges that follow from it.
//!
//! [`Statistics`] hold what one quantizer saw of data: bounded in memory, mergeable bit
//! for bit, and enough for every method of choosing a range ([`Request`]) and for what
//! rounding to that range costs ([`quality`](Statistics::quality)). [`Saved`] is the file
//! of all of them. [`weight_range`] and [`quality_of`]
//! do the same for a tensor that is at hand whole.
//! [`ParityHistogram`] is what pytorch-quantization would hold instead.
//!
//! Nothing here knows graphs, engines or files: only slices of f32 and bytes.

mod codes;
mod collector;
mod fault;
mod file;
mod integrals;
mod largest;
mod look;
mod methods;
mod parity;
mod quality;
mod statistics;
mod tally;
mod weights;

pub use collector::Collector;
pub use fault::{Fault, Unmergeable};
pub use file::{FileError, Saved};
pub use methods::Request;
pub use parity::{Candidates, MOST_BINS, ParityHistogram, ParitySettings};
pub use quality::{LOSSLESS, Quality, quality_of};
pub use statistics::{
    BINS, BYTES, CHANNEL_BINS, CHANNEL_BYTES, CHANNEL_LARGEST, Histogram, LARGEST, Statistics,
};
pub use tally::Counts;
pub use weights::weight_range;

#[cfg(test)]
mod tests;
