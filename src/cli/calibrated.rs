//! A calibrated checkpoint: the folder, its table of ranges, and what is said of it.

use super::{
    Stop,
    output::{self, Existing, write_file},
    screen::Screen,
    sites,
    table::words,
};
use crate::{
    calibrator::{Amax, Outcome, Row},
    checkpoint,
    failure::Failure,
    graph::Graph,
    session::Session,
};
use ron::ser::PrettyConfig;
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

/// One quantizer, a line of the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its state-dict path.
    pub name: String,
    /// File, line and column of its rule.
    pub rule: String,
    /// What it does, in words.
    pub numbers: String,
    /// How the range was chosen: `percentile(99.99)`, `fixed`.
    pub method: String,
    /// What the spec demands besides, where it changed the range: `tie`, `limit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed_by: Option<String>,
    /// The magnitude of the largest code.
    pub amax: Amax,
    /// How many values were seen.
    pub values: u64,
    /// The share of them beyond the range, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clipped: Option<f64>,
    /// Power of the values over that of their rounding error, in decibels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal_to_noise: Option<f64>,
    /// Between the values and what is left of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cosine: Option<f64>,
}

/// A folder to write a checkpoint into.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A folder, there or not, that is not the one with the checkpoint's files.
    ///
    /// # Errors
    /// It is a file, or the checkpoint's.
    pub fn new(path: &Path, checkpoint: &checkpoint::Folder) -> Result<Folder, Failure> {
        if path.exists() && !path.is_dir() {
            return Err(Failure::usage(format!("`{}` is a file, but a folder is written", path.display()))
                .help("choose another name with `-o FOLDER`"));
        }
        let whole = |path: &Path| fs::canonicalize(path).ok();
        if whole(path).is_some() && whole(path) == checkpoint.path().and_then(whole) {
            return Err(Failure::usage(format!("`{}` is the checkpoint itself", path.display()))
                .help("choose another folder with `-o FOLDER`, so that the float weights stay as they are"));
        }
        Ok(Folder(path.to_owned()))
    }

    /// Makes the folder, unless it is there.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn make(&self) -> Result<(), Failure> {
        fs::create_dir_all(&self.0).map_err(|error| {
            Failure::outside(format!("the folder `{}` cannot be made: {error}", self.0.display()))
        })
    }
}

impl Table {
    /// What was found, with the places in the spec.
    pub fn new(session: &Session, graph: &Graph, outcome: &Outcome, samples: u64) -> Table {
        let mut placed = BTreeMap::new();
        for row in sites::rows(graph, &session.program().sources) {
            if let Some(quantizer) = row.quantizer {
                placed.insert(quantizer.name, (quantizer.rule, quantizer.does));
            }
        }
        let entry = |row: &Row| {
            let (rule, numbers) = placed.get(row.name.as_str()).cloned().unwrap_or_default();
            Entry {
                name: row.name.clone(),
                rule,
                numbers,
                method: row.method.clone(),
                changed_by: row.changed_by.clone(),
                amax: row.amax,
                values: row.values,
                clipped: row.quality.map(|quality| rounded(quality.clipped, 1e-8)),
                signal_to_noise: row.quality.map(|quality| rounded(quality.signal_to_noise, 1e-2)),
                cosine: row.quality.map(|quality| rounded(quality.cosine, 1e-7)),
            }
        };
        Table {
            qdqc: env!("CARGO_PKG_VERSION").to_owned(),
            model: graph.name.clone(),
            samples,
            quantizers: outcome.rows.iter().map(entry).collect(),
        }
    }

    /// The text of `calibration.ron`: a line for each quantizer.
    ///
    /// # Errors
    /// It has what the notation cannot say.
    pub fn text(&self) -> Result<String, Failure> {
        let layout = PrettyConfig::new()
            .depth_limit(2)
            .struct_names(false)
            .extensions(ron::extensions::Extensions::IMPLICIT_SOME);
        ron::ser::to_string_pretty(self, layout)
            .map(|text| text + "\n")
            .map_err(|error| Failure::outside(format!("the table of ranges cannot be written: {error}")))
    }
}

/// The nearest multiple of a step that is a power of ten.
fn rounded(number: f64, step: f64) -> f64 {
    let inverse = step.recip().round();
    (number * inverse).round() / inverse
}

/// Writes the table, and the checkpoint's files with the ranges.
///
/// # Errors
/// The disk refuses.
pub fn write(folder: &Folder, session: &Session, table: &Table, outcome: &Outcome) -> Result<(), Failure> {
    write_file(&folder.0.join(TABLE), table.text()?.as_bytes(), Existing::Replace)?;
    session.checkpoint().save(&folder.0, &outcome.ranges)
}

/// Quantizers shown after calibration: those that lose most.
const SHOWN: usize = 5;

/// Says what was done, and which quantizers lose most.
///
/// # Errors
/// Standard output cannot be written.
pub fn summarize(folder: &Folder, table: &Table, json: bool, screen: Screen) -> Result<ExitCode, Stop> {
    let (count, samples) = (table.quantizers.len(), table.samples);
    let place = folder.0.display();
    screen.note(&format!("{count} ranges from {samples} sequences; the checkpoint is in {place}"));
    if json {
        output::print_json(table)?;
        return Ok(ExitCode::SUCCESS);
    }
    let measured = |entry: &Entry| Some((entry.signal_to_noise?, entry.clipped?, entry.name.clone()));
    let mut worst: Vec<_> = table.quantizers.iter().filter_map(measured).collect();
    worst.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut lines = vec![["LOSES MOST", "SIGNAL/NOISE", "BEYOND RANGE"].map(str::to_owned)];
    lines.extend(
        worst.into_iter().take(SHOWN).map(|(noise, clipped, name)| {
            [name, format!("{noise:.1} dB"), format!("{:.4} %", clipped * 100.0)]
        }),
    );
    output::print(&words(&lines))?;
    Ok(ExitCode::SUCCESS)
}
