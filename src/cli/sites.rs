//! Quantizer sites as a table: each with its quantizer and the rule that put it
//! there.

use super::{calibrated::Entry, ranges::Known, table};
use crate::{
    calibrator::Amax,
    graph::{Graph, Quantizer, Site},
    page::numbers,
    quant::{Calibration, Mode, RangeSource, Scheme, Storage},
    source::Sources,
};
use serde::Serialize;
use std::collections::HashMap;

/// One site.
#[derive(Debug, Serialize)]
pub struct Row<'a> {
    /// The state-dict path of the instance.
    pub path: &'a str,
    /// The port: `input`, `weight`, `lhs`.
    pub port: &'a str,
    /// What rules may call its owner.
    pub of: &'a [String],
    /// The module in whose body it is written.
    pub module: &'a str,
    /// The type of the value there.
    #[serde(rename = "type")]
    pub ty: String,
    /// The quantizer there, if there is one.
    pub quantizer: Option<Placed<'a>>,
}

/// A quantizer at its site.
#[derive(Debug, Serialize)]
pub struct Placed<'a> {
    /// Its state-dict path.
    pub name: &'a str,
    /// Its name in the spec.
    pub kind: &'a str,
    /// What it does, in words.
    pub does: String,
    /// What it does, as data.
    pub scheme: &'a Scheme,
    /// The largest range allowed.
    pub limit: Option<f64>,
    /// Quantizers with the same number share one range.
    pub tie: Option<u32>,
    /// File, line and column of the rule.
    pub rule: String,
    /// Its range in the checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amax: Option<Amax>,
    /// The share of values beyond it, from 0 to 1, as calibration found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clipped: Option<f64>,
}

/// Every site of a graph, in its order.
pub fn rows<'a>(graph: &'a Graph, sources: &Sources) -> Vec<Row<'a>> {
    let at: HashMap<usize, &Quantizer> =
        graph.quantizers.iter().map(|quantizer| (quantizer.site, quantizer)).collect();
    let row = |(index, site): (usize, &'a Site)| Row {
        path: &site.path,
        port: &site.port,
        of: &site.owners,
        module: &site.written_in,
        ty: site.ty.to_string(),
        quantizer: at.get(&index).map(|quantizer| placed(quantizer, sources)),
    };
    graph.sites.iter().enumerate().map(row).collect()
}

/// Adds what is known of ranges.
pub fn add_ranges(rows: &mut [Row<'_>], known: &Known) {
    for placed in rows.iter_mut().filter_map(|row| row.quantizer.as_mut()) {
        placed.amax = known.amax(placed.name);
        placed.clipped = known.entry(placed.name).and_then(|entry| entry.clipped);
    }
}

/// The same as a table for reading. Quantizers are called by what their names
/// add to the path. There are columns for ranges and for what they clip where any
/// is known.
pub fn table(rows: &[Row<'_>]) -> String {
    let placed = || rows.iter().filter_map(|row| row.quantizer.as_ref());
    let ranges = placed().any(|placed| placed.amax.is_some());
    let clips = placed().any(|placed| placed.clipped.is_some());
    let columns = [
        ("AT", true),
        ("PORT", true),
        ("TYPE", true),
        ("QUANTIZER", true),
        ("NUMBERS", true),
        ("RANGE", ranges),
        ("CLIPPED", clips),
        ("RULE", true),
    ];
    let shown = |cells: [String; 8]| -> Vec<String> {
        cells.into_iter().zip(columns).filter(|(_, (_, shown))| *shown).map(|(cell, _)| cell).collect()
    };
    let mut lines = vec![shown(columns.map(|(heading, _)| heading.to_owned()))];
    lines.extend(rows.iter().map(|row| shown(cells(row))));
    table::words(&lines)
}

fn cells(row: &Row<'_>) -> [String; 8] {
    let at = if row.path.is_empty() { "-" } else { row.path };
    let port = format!("{} of {}", row.port, row.of.last().map_or("", String::as_str));
    let nothing = || "-".to_owned();
    let Some(placed) = &row.quantizer else {
        let [a, b, c, d, e] = ["-"; 5].map(str::to_owned);
        return [at.to_owned(), port, row.ty.clone(), a, b, c, d, e];
    };
    let own = placed.name.strip_prefix(row.path).unwrap_or(placed.name).trim_start_matches('.');
    let range = placed.amax.as_ref().map_or_else(nothing, numbers::range);
    let clipped = placed.clipped.map_or_else(nothing, |share| format!("{} %", numbers::percent(share)));
    let rule = placed.rule.clone();
    [at.to_owned(), port, row.ty.clone(), own.to_owned(), placed.does.clone(), range, clipped, rule]
}

/// How calibration chose a range: `percentile(99.99), changed by limit`.
pub fn method(entry: &Entry) -> String {
    match &entry.changed_by {
        Some(what) => format!("{}, changed by {what}", entry.method),
        None => entry.method.clone(),
    }
}

/// A quantizer and its rule.
pub fn placed<'a>(quantizer: &'a Quantizer, sources: &Sources) -> Placed<'a> {
    let rule = sources.position(quantizer.rule);
    Placed {
        name: &quantizer.name,
        kind: &quantizer.kind,
        does: words(&quantizer.scheme, quantizer.limit),
        scheme: &quantizer.scheme,
        limit: quantizer.limit,
        tie: quantizer.tie,
        rule: rule.map_or_else(String::new, |(file, line, column)| format!("{file}:{line}:{column}")),
        amax: None,
        clipped: None,
    }
}

/// `int8 per channel on axis 0, calibrated by max`
pub fn words(scheme: &Scheme, limit: Option<f64>) -> String {
    let storage = match scheme.storage {
        Storage::E4M3 => "e4m3".to_owned(),
        Storage::Integer { bits, signed, narrow } => {
            let sign = if signed { "" } else { "u" };
            format!("{sign}int{bits}{}", if narrow { " narrow" } else { "" })
        }
    };
    let axis = match scheme.axis {
        Some(axis) => format!("per channel on axis {axis}"),
        None => "per tensor".to_owned(),
    };
    let range = match &scheme.range {
        RangeSource::Calibrated(method) => format!("calibrated by {}", calibration(method)),
        RangeSource::Fixed(range) => format!("range {range}"),
        RangeSource::Dynamic => "range of each input".to_owned(),
        RangeSource::Learned(method) => format!("learned from {}", calibration(method)),
    };
    let mode = match scheme.mode {
        Mode::Onnx => "",
        Mode::Nv => ", mode nv",
        Mode::NvNarrow => ", mode nv-narrow",
    };
    let limit = limit.map_or_else(String::new, |limit| format!(", at most {limit}"));
    let factor = scheme.scale_amax.map_or_else(String::new, |factor| format!(", times {factor}"));
    format!("{storage} {axis}, {range}{limit}{factor}{mode}")
}

fn calibration(method: &Calibration) -> String {
    match method {
        Calibration::Max => "max".into(),
        Calibration::Percentile(percent) => format!("percentile {percent}"),
        Calibration::Entropy => "entropy".into(),
        Calibration::MeanSquaredError => "mean squared error".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheme_reads_aloud() {
        let storage = Storage::Integer { bits: 8, signed: false, narrow: false };
        let range = RangeSource::Calibrated(Calibration::Percentile(99.99));
        let scheme = Scheme { storage, axis: Some(0), mode: Mode::Nv, range, scale_amax: None };
        assert_eq!(
            words(&scheme, Some(10.0)),
            "uint8 per channel on axis 0, calibrated by percentile 99.99, at most 10, mode nv"
        );
    }
}
