//! The ranges that a checkpoint holds, and what its calibration says of them.

use super::calibrated::{Entry, TABLE, Table};
use crate::{
    calibrator::Amax,
    checkpoint::{Checkpoint, Wanted},
    failure::Failure,
    graph::{Graph, NodeKind, Quantizer},
    quant::RangeSource,
    ranges::{self, constrain},
};
use candle_core::{DType, Device};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

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
    let paths: BTreeMap<String, &str> =
        graph.quantizers.iter().map(|one| (format!("{}._amax", one.name), one.name.as_str())).collect();
    let mut seen = BTreeSet::new();
    let mut wanted = Vec::new();
    for node in &graph.nodes {
        let NodeKind::Parameter(parameter) = &node.kind else { continue };
        if !paths.contains_key(&parameter.path) || !seen.insert(&parameter.path) {
            continue;
        }
        let sizes = node.ty.shape.iter().map(|dim| usize::try_from(dim.as_known()?).ok());
        wanted.push(Wanted {
            path: parameter.path.clone(),
            shape: sizes.collect::<Option<_>>().unwrap_or_default(),
            tied: Vec::new(),
            span: Some(node.span),
            optional: true,
        });
    }
    let (loaded, _) = checkpoint.load(&wanted, &Device::Cpu, DType::F32)?;
    let mut ranges = ranges::Ranges::new();
    for (path, tensor) in loaded {
        let values = tensor.flatten_all().and_then(|flat| flat.to_vec1::<f32>());
        let values = values.map_err(|error| Failure::outside(format!("`{path}` cannot be read: {error}")))?;
        if let Some(name) = paths.get(&path) {
            ranges.insert((*name).to_owned(), values);
        }
    }
    Ok(ranges)
}

/// The table in a folder; `None` where there is none.
fn read_table(folder: &Path) -> Result<Option<Table>, Failure> {
    let path = folder.join(TABLE);
    let Ok(found) = fs::metadata(&path) else { return Ok(None) };
    let damaged = |what: String| {
        Failure::input(format!("{} cannot be read: {what}", path.display()))
            .help("calibrate again, or remove the file to do without what it says")
    };
    if found.len() > LIMIT {
        return Err(damaged(format!("it is longer than {LIMIT} bytes")));
    }
    let text = fs::read_to_string(&path).map_err(|error| damaged(error.to_string()))?;
    ron::from_str(&text).map(Some).map_err(|error| damaged(error.to_string()))
}
