//! Ranges from data: a float run is observed, and each quantizer gets the range that
//! its method finds.
//!
//! [`Calibrator`] holds what quantizers saw; [`origin`] says of what, so that parts of
//! one whole are put together and an interrupted run goes on; [`outcome`] chooses the
//! ranges, and [`survey`](mod@survey) tells what they cost.

pub mod origin;
pub mod outcome;
pub mod survey;

pub use origin::{Origin, merge};
pub use outcome::{Amax, Choice, Outcome, Row};
pub use survey::{Surveyed, survey};

use crate::{
    calibration::{Collector, ParityHistogram, ParitySettings, Saved, Statistics},
    failure::Failure,
    graph::Quantizer,
    names::list_of,
    quant::RangeSource,
    session::Session,
};
use candle_core::{DType, Device, Storage, Tensor};
use std::collections::{BTreeMap, BTreeSet};

/// How what quantizers see is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// Statistics that do not depend on the order of batches.
    Canonical,
    /// As pytorch-quantization's histograms, which do.
    Parity {
        /// Leaves out values that are exactly zero.
        skip_zeros: bool,
    },
}

/// What the quantizers of a model saw so far.
///
/// Quantizers that see the same value share what is counted of it.
#[derive(Clone, Debug)]
pub struct Calibrator {
    counting: Counting,
    /// The inputs of all calls, by name.
    inputs: BTreeSet<String>,
    /// By the first quantizer that sees a value.
    watched: BTreeMap<String, Watched>,
    /// By quantizer: the key in `watched`.
    places: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
struct Watched {
    quantizers: BTreeSet<String>,
    collector: Collector,
}

impl Calibrator {
    /// Nothing seen yet.
    pub fn new(counting: Counting) -> Calibrator {
        Calibrator { counting, inputs: BTreeSet::new(), watched: BTreeMap::new(), places: BTreeMap::new() }
    }

    /// Runs a batch in float and counts what each quantizer would see.
    ///
    /// # Errors
    /// The inputs do not fit the model, or the device fails. What was counted of the
    /// batch up to there stays counted.
    pub fn add(&mut self, session: &mut Session, inputs: &BTreeMap<String, Tensor>) -> Result<(), Failure> {
        // `past_key_values.0.key` is a part of `past_key_values`.
        let names = inputs.keys().filter_map(|name| name.split('.').next());
        self.inputs.extend(names.map(str::to_owned));
        session.observe(inputs, &mut |quantizers, value| self.see(quantizers, value))?;
        Ok(())
    }

    /// Counts a value for the quantizers that see it, once for each axis along which
    /// they have ranges.
    fn see(&mut self, quantizers: &[&Quantizer], value: &Tensor) -> Result<(), Failure> {
        let mut by_axis: BTreeMap<Option<usize>, Vec<&Quantizer>> = BTreeMap::new();
        for quantizer in quantizers.iter().filter(|quantizer| is_watched(quantizer)) {
            by_axis.entry(axis(quantizer, value.rank())).or_default().push(quantizer);
        }
        for (axis, quantizers) in by_axis {
            let collector = self.collector(&quantizers, axis, value)?;
            let inner = axis.map_or(1, |axis| value.dims().iter().skip(axis + 1).product());
            let first = quantizers.first().map_or("", |quantizer| quantizer.name.as_str());
            with_values(value, axis.is_none(), |values| collector.add(values, inner))?
                .map_err(|fault| Failure::input(format!("`{first}` cannot be calibrated: {fault}")))?;
        }
        Ok(())
    }

    fn collector(
        &mut self,
        quantizers: &[&Quantizer],
        axis: Option<usize>,
        value: &Tensor,
    ) -> Result<&mut Collector, Failure> {
        let known = quantizers.iter().find_map(|quantizer| self.places.get(&quantizer.name)).cloned();
        let first = quantizers.iter().map(|quantizer| &quantizer.name).min().cloned().unwrap_or_default();
        let place = known.unwrap_or(first);
        for quantizer in quantizers {
            self.places.insert(quantizer.name.clone(), place.clone());
        }
        let channels = axis.and_then(|axis| value.dims().get(axis).copied()).unwrap_or(1);
        let counting = self.counting;
        let watched = self.watched.entry(place).or_insert_with(|| Watched {
            quantizers: BTreeSet::new(),
            collector: match (counting, axis) {
                (Counting::Parity { skip_zeros }, None) => {
                    let settings = ParitySettings { skip_zeros, ..ParitySettings::default() };
                    Collector::Parity(ParityHistogram::new(settings))
                }
                _ => Collector::Canonical(Statistics::new(channels)),
            },
        });
        let names = quantizers.iter().map(|quantizer| quantizer.name.clone()).collect();
        if watched.quantizers.is_empty() {
            watched.quantizers = names;
        } else if watched.quantizers != names {
            let list = list_of(watched.quantizers.iter().map(String::as_str));
            return Err(Failure::input(format!(
                "not in every call do the same quantizers see what {list} see"
            ))
            .help("calibrate with calls that give the same inputs"));
        }
        if watched.collector.channels() != channels {
            let name = quantizers.first().map_or("", |quantizer| quantizer.name.as_str());
            return Err(Failure::input(format!(
                "`{name}` has a range for each of {} channels, but here its value has {channels}",
                watched.collector.channels()
            )));
        }
        Ok(&mut watched.collector)
    }

    /// The inputs that any call gave, by name.
    pub fn inputs(&self) -> &BTreeSet<String> {
        &self.inputs
    }

    /// What was counted for a quantizer; `None` where it saw nothing.
    pub fn of(&self, quantizer: &str) -> Option<&Collector> {
        self.places.get(quantizer).and_then(|place| self.watched.get(place)).map(|found| &found.collector)
    }

    /// As a file of statistics.
    pub fn save(&self, origin: &Origin) -> Saved {
        let tensors = self.watched.values().map(|watched| {
            let names: Vec<&str> = watched.quantizers.iter().map(String::as_str).collect();
            (names.join(" "), watched.collector.clone())
        });
        let mut header = origin.header();
        origin::note_inputs(&mut header, &self.inputs);
        Saved { header, tensors: tensors.collect() }
    }

    /// From a file of statistics, to be gone on with or to choose ranges from.
    pub fn restore(saved: Saved, counting: Counting) -> Calibrator {
        let mut calibrator = Calibrator::new(counting);
        calibrator.inputs = origin::inputs(&saved.header);
        for (names, collector) in saved.tensors {
            let quantizers: BTreeSet<String> = names.split(' ').map(str::to_owned).collect();
            let Some(place) = quantizers.first().cloned() else { continue };
            let places = quantizers.iter().map(|name| (name.clone(), place.clone()));
            calibrator.places.extend(places);
            calibrator.watched.insert(place, Watched { quantizers, collector });
        }
        calibrator
    }
}

/// What it would see is counted: its range, or what that costs, follows from data.
pub fn is_watched(quantizer: &Quantizer) -> bool {
    quantizer.scheme.range != RangeSource::Dynamic
}

/// The axis along which it has ranges.
fn axis(quantizer: &Quantizer, rank: usize) -> Option<usize> {
    let axis = quantizer.scheme.axis?;
    usize::try_from(if axis < 0 { axis.checked_add(i64::try_from(rank).ok()?)? } else { axis }).ok()
}

/// Lends the values of a tensor in order; with `any_order` in that of memory, which
/// spares a copy of what is turned.
fn with_values<T>(value: &Tensor, any_order: bool, take: impl FnOnce(&[f32]) -> T) -> Result<T, Failure> {
    let failed = |error: candle_core::Error| Failure::outside(format!("a value cannot be read: {error}"));
    let held = value.to_device(&Device::Cpu).and_then(|value| value.to_dtype(DType::F32)).map_err(failed)?;
    let held = if any_order && is_whole(&held) { held } else { held.contiguous().map_err(failed)? };
    let (storage, layout) = held.storage_and_layout();
    let start = layout.start_offset();
    let values = match &*storage {
        Storage::Cpu(storage) => storage.as_slice::<f32>().map_err(failed)?,
        _ => return Err(Failure::outside("a value is not in memory")),
    };
    match start.checked_add(held.elem_count()).and_then(|end| values.get(start..end)) {
        Some(values) => Ok(take(values)),
        None => Err(Failure::outside("a value is not where its tensor says")),
    }
}

/// Its elements are a run of memory, in some order.
fn is_whole(value: &Tensor) -> bool {
    let mut axes: Vec<(usize, usize)> = value
        .stride()
        .iter()
        .copied()
        .zip(value.dims().iter().copied())
        .filter(|(_, size)| *size != 1)
        .collect();
    axes.sort_unstable();
    let mut run = 1;
    axes.into_iter().all(|(stride, size)| {
        let follows = stride == run;
        run *= size;
        follows
    })
}
