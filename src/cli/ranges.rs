//! The ranges that a checkpoint holds, and what its calibration says of them.

use super::calibrated::{Entry, TABLE, Table};
use crate::{
    calibrator::Amax,
    checkpoint::{Checkpoint, Folder, Wanted},
    failure::Failure,
    graph::{Graph, Quantizer},
    passes::range_shape,
    quant::RangeSource,
    ranges::{self, constrain},
};
use candle_core::{DType, Device};
use std::{collections::BTreeMap, fs};

/// The longest table of ranges, in bytes; a line for a quantizer has some 300.
const LIMIT: u64 = 64 << 20;

/// What is known of the ranges of a graph's quantizers.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// By quantizer, held to the spec's ties and limits.
    pub ranges: ranges::Ranges,
    /// How many sequences were observed, where the folder has a table.
    pub samples: Option<u64>,
    /// The lines of the table, by the names of their quantizers without `bert.`.
    pub entries: BTreeMap<String, Entry>,
}

impl Known {
    /// Reads what a checkpoint holds for these quantizers; what is not there is left
    /// out.
    ///
    /// # Errors
    /// A range has another shape than its quantizer wants, or a file is damaged.
    pub fn read(checkpoint: &Checkpoint, graph: &Graph) -> Result<Known, Failure> {
        let table = read_table(checkpoint.folder())?;
        let mut ranges = stored(checkpoint, graph)?;
        for quantizer in &graph.quantizers {
            if let RangeSource::Fixed(amax) = quantizer.scheme.range {
                ranges.insert(quantizer.name.clone(), vec![amax as f32]);
            }
        }
        constrain(&graph.quantizers, &mut ranges);
        let samples = table.as_ref().map(|table| table.samples);
        let entries = table.map_or_else(Vec::new, |table| table.quantizers).into_iter();
        let entries = entries.map(|entry| (bare(&entry.name).to_owned(), entry)).collect();
        Ok(Known { ranges, samples, entries })
    }

    /// The range of a quantizer, for people.
    pub fn amax(&self, quantizer: &str) -> Option<Amax> {
        self.ranges.get(quantizer).filter(|range| !range.is_empty()).map(|range| Amax::of(range))
    }

    /// What calibration noted of a quantizer, if it has the range that was chosen then.
    pub fn entry(&self, quantizer: &str) -> Option<&Entry> {
        let entry = self.entries.get(bare(quantizer))?;
        self.amax(quantizer).is_some_and(|amax| amax == entry.amax).then_some(entry)
    }

    /// Quantizers that need a range of the checkpoint and have none.
    pub fn missing<'g>(&self, graph: &'g Graph) -> Vec<&'g Quantizer> {
        let needs = |quantizer: &&Quantizer| quantizer.scheme.range != RangeSource::Dynamic;
        let missing = |quantizer: &&Quantizer| !self.ranges.contains_key(&quantizer.name);
        graph.quantizers.iter().filter(needs).filter(missing).collect()
    }
}

/// A name as heads and the model alone have it: without `bert.`.
pub fn bare(name: &str) -> &str {
    name.strip_prefix("bert.").unwrap_or(name)
}

/// Without a checkpoint on the disk that has weights, there are none.
fn stored(checkpoint: &Checkpoint, graph: &Graph) -> Result<ranges::Ranges, Failure> {
    if !checkpoint.has_weights() {
        return Ok(ranges::Ranges::new());
    }
    let mut wanted = Vec::new();
    for quantizer in &graph.quantizers {
        let Some(site) = graph.sites.get(quantizer.site) else { continue };
        let shape = range_shape(quantizer, site);
        let sizes = shape.iter().map(|dim| usize::try_from(dim.as_known()?).ok());
        let Some(sizes) = sizes.collect::<Option<Vec<usize>>>() else { continue };
        wanted.extend(entries(quantizer).into_iter().map(|(path, tied)| Wanted {
            path,
            shape: sizes.clone(),
            tied,
            span: Some(quantizer.rule),
            optional: true,
            stays: false,
        }));
    }
    let (loaded, _) = checkpoint.load(&wanted, &Device::Cpu, DType::F32)?;
    let mut ranges = ranges::Ranges::new();
    for quantizer in &graph.quantizers {
        let mut bounds = Vec::new();
        let entries = entries(quantizer);
        for (path, _) in &entries {
            let Some(tensor) = loaded.get(path) else { continue };
            let values = tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>());
            bounds
                .push(values.map_err(|error| Failure::outside(format!("`{path}` cannot be read: {error}")))?);
        }
        let range = match &bounds[..] {
            _ if bounds.len() < entries.len() => continue,
            [amax] => amax.clone(),
            [least, largest] => least.iter().zip(largest).map(|(low, high)| high.max(-low)).collect(),
            _ => continue,
        };
        ranges.insert(quantizer.name.clone(), range);
    }
    Ok(ranges)
}

/// Where a checkpoint holds the range of a quantizer: its magnitude, or the least and the
/// largest number of a learned one; and what stands for each where it is not there.
fn entries(quantizer: &Quantizer) -> Vec<(String, Vec<String>)> {
    let amax = format!("{}._amax", quantizer.name);
    let bound = |end: &str| (format!("{}.clip.clip_value_{end}", quantizer.name), vec![amax.clone()]);
    match quantizer.scheme.range {
        RangeSource::Calibrated(_) => vec![(amax, Vec::new())],
        RangeSource::Learned(_) => vec![bound("min"), bound("max")],
        RangeSource::Fixed(_) | RangeSource::Dynamic => Vec::new(),
    }
}

/// The table in a folder; `None` where there is none.
fn read_table(folder: &Folder) -> Result<Option<Table>, Failure> {
    let damaged = |what: String| {
        Failure::input(format!("{} cannot be read: {what}", folder.place_of(TABLE)))
            .help("calibrate again, or remove the file to do without what it says")
    };
    let found = folder.path().and_then(|path| fs::metadata(path.join(TABLE)).ok());
    if found.is_some_and(|found| found.len() > LIMIT) {
        return Err(damaged(format!("it is longer than {LIMIT} bytes")));
    }
    let Some(bytes) = folder.read(TABLE)? else { return Ok(None) };
    ron::de::from_bytes(&bytes).map(Some).map_err(|error| damaged(error.to_string()))
}
