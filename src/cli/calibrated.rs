//! A calibrated checkpoint: the folder, its table of ranges, and what is said of it.

use super::{
    Stop,
    output::{self, Existing, write_file},
    screen::Screen,
    sites,
};
use crate::{
    calibrator::{Outcome, Row},
    failure::Failure,
    graph::Graph,
    session::Session,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The table of ranges in the folder.
pub const TABLE: &str = "calibration.ron";

/// What was counted, in the folder.
pub const STATISTICS: &str = "statistics.safetensors";

/// What `calibration.ron` holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename = "Calibration")]
pub struct Table {
    /// The qdqc that wrote it.
    pub qdqc: String,
    /// The model of the spec.
    pub model: String,
    /// How many sequences were observed.
    pub samples: u64,
    /// One for each quantizer with a range, in the graph's order.
    pub quantizers: Vec<Entry>,
}

/// One quantizer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// File, line and column of its rule.
    pub rule: String,
    /// What it does, in words.
    pub numbers: String,
    /// What was found.
    pub found: Row,
}

/// A folder to write a checkpoint into.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes the folder, which is not the checkpoint's own.
    ///
    /// # Errors
    /// It is a file, is the checkpoint's, or cannot be made.
    pub fn make(path: &Path, checkpoint: &Path) -> Result<Folder, Failure> {
        if path.is_file() {
            return Err(Failure::usage(format!("`{}` is a file, but a folder is written", path.display()))
                .help("choose another name with `-o FOLDER`"));
        }
        fs::create_dir_all(path).map_err(|error| {
            Failure::outside(format!("the folder `{}` cannot be made: {error}", path.display()))
        })?;
        let whole = |path: &Path| fs::canonicalize(path).ok();
        let source =
            if checkpoint.is_file() { checkpoint.parent().unwrap_or(checkpoint) } else { checkpoint };
        if whole(path).is_some() && whole(path) == whole(source) {
            return Err(Failure::usage(format!("`{}` is the checkpoint itself", path.display()))
                .help("choose another folder with `-o FOLDER`, so that the float weights stay as they are"));
        }
        Ok(Folder(path.to_owned()))
    }
}

/// Writes the table, and the checkpoint's files with the ranges.
pub fn write(
    folder: &Folder,
    session: &Session,
    graph: &Graph,
    outcome: &Outcome,
    samples: u64,
) -> Result<(), Failure> {
    let sources = &session.program().sources;
    let rows = sites::rows(graph, sources);
    let mut placed: BTreeMap<&str, (String, String)> = BTreeMap::new();
    for quantizer in rows.into_iter().filter_map(|row| row.quantizer) {
        placed.insert(quantizer.name, (quantizer.rule, quantizer.does));
    }
    let entry = |row: &Row| {
        let (rule, numbers) = placed.get(row.name.as_str()).cloned().unwrap_or_default();
        Entry { rule, numbers, found: row.clone() }
    };
    let table = Table {
        qdqc: env!("CARGO_PKG_VERSION").to_owned(),
        model: graph.name.clone(),
        samples,
        quantizers: outcome.rows.iter().map(entry).collect(),
    };
    let layout = ron::ser::PrettyConfig::new().depth_limit(2).struct_names(false).compact_arrays(false);
    let text = ron::ser::to_string_pretty(&table, layout)
        .map_err(|error| Failure::outside(format!("the table of ranges cannot be written: {error}")))?;
    write_file(&folder.0.join(TABLE), format!("{text}\n").as_bytes(), Existing::Replace)?;
    session.checkpoint().save(&folder.0, &outcome.ranges)
}

/// Quantizers shown after calibration: those that lose most.
const SHOWN: usize = 5;

/// Says what was done, and which quantizers lose most.
pub fn summarize(
    folder: &Folder,
    outcome: &Outcome,
    samples: u64,
    json: bool,
    screen: Screen,
) -> Result<ExitCode, Stop> {
    let count = outcome.rows.len();
    screen.note(&format!(
        "{count} ranges from {samples} sequences; the checkpoint is in {}",
        folder.0.display()
    ));
    if json {
        output::print_json(&outcome.rows)?;
        return Ok(ExitCode::SUCCESS);
    }
    let noise = |row: &Row| row.signal_to_noise.unwrap_or(f64::INFINITY);
    let mut worst: Vec<&Row> = outcome.rows.iter().filter(|row| row.signal_to_noise.is_some()).collect();
    worst.sort_by(|a, b| noise(a).total_cmp(&noise(b)));
    let mut lines = vec![["LOSES MOST", "SIGNAL/NOISE", "BEYOND RANGE"].map(str::to_owned)];
    lines.extend(worst.iter().take(SHOWN).map(|row| {
        [
            row.name.clone(),
            format!("{:.1} dB", noise(row)),
            format!("{:.4} %", row.clipped.unwrap_or_default() * 100.0),
        ]
    }));
    output::print(&sites::align(&lines))?;
    Ok(ExitCode::SUCCESS)
}
