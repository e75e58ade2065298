//! The calibration cases of the reference set: every batch that pytorch-quantization's
//! calibrators were given, with the bins, edges and ranges that came of it.
//!
//! The set lies beside the repository (`../shared/reference/calibration`); where it is
//! absent the tests say so and check nothing. None of its cases is passed over silently:
//! what is counted at the end is what the manifests list.

#![cfg(test)]

use candle_core::{DType, Device, Tensor, safetensors};
use qdqc::{
    calibration::{Candidates, Fault, ParityHistogram, ParitySettings, Request, Statistics, weight_range},
    quant::{Calibration, Storage},
};
use serde_json::Value;
use std::{
    collections::HashMap,
    io::Write,
    path::{Path, PathBuf},
};

type Tensors = HashMap<String, Tensor>;

/// A folder of the set, or a line that it is absent.
fn reference() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/reference/calibration");
    if path.is_dir() {
        return Some(path);
    }
    // Straight to the terminal: the test harness keeps what `eprintln!` says of a passing test.
    let _ = writeln!(std::io::stderr(), "SKIPPED: the reference set {} is not here", path.display());
    None
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn load(path: &Path) -> Tensors {
    safetensors::load(path, &Device::Cpu).unwrap()
}

fn floats(tensors: &Tensors, name: &str) -> Vec<f32> {
    tensors[name].flatten_all().unwrap().to_vec1().unwrap()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("{value} is not a list"))
}

fn settings(args: &Value) -> ParitySettings {
    let mut settings = ParitySettings::default();
    for (name, value) in args.as_object().unwrap() {
        match name.as_str() {
            "num_bins" => settings.bins = value.as_u64().unwrap() as usize,
            "skip_zeros" => settings.skip_zeros = value.as_bool().unwrap(),
            "torch_hist" => settings.numpy = !value.as_bool().unwrap(),
            // It has no effect there.
            "grow_method" => {}
            other => panic!("unknown setting {other}"),
        }
    }
    settings
}

fn storage(bits: &Value, unsigned: bool) -> Storage {
    match bits.as_u64() {
        Some(bits) => Storage::Integer { bits: bits as u8, signed: !unsigned, narrow: false },
        None => Storage::E4M3,
    }
}

fn asked(args: &Value, storage: Storage) -> (Request, Candidates) {
    let number = |name: &str, default: usize| args[name].as_u64().map_or(default, |number| number as usize);
    let candidates = Candidates { start: number("start_bin", 128), stride: number("stride", 1) };
    let method = match args["method"].as_str().unwrap() {
        "max" => Calibration::Max,
        "percentile" => Calibration::Percentile(args["percentile"].as_f64().unwrap_or(99.99)),
        "entropy" => Calibration::Entropy,
        "mse" => Calibration::MeanSquaredError,
        other => panic!("unknown method {other}"),
    };
    (Request { method, storage, skip_zeros: false, limit: None }, candidates)
}

/// How many floats lie between two, and one.
fn units_apart(a: f64, b: f64, double: bool) -> u64 {
    match double {
        true => a.to_bits().abs_diff(b.to_bits()),
        false => u64::from((a as f32).to_bits().abs_diff((b as f32).to_bits())),
    }
}

/// Compares counts exactly, and edges within one unit in the last place.
fn compare_bins(case: &str, histogram: &ParityHistogram, results: &Tensors, key: &str) -> usize {
    let counts = &results[&format!("{key}.counts")].to_dtype(DType::I64).unwrap().to_vec1::<i64>().unwrap();
    let own: Vec<i64> = histogram.counts().iter().map(|count| *count as i64).collect();
    assert!(own == *counts, "{case}: counts differ");
    let edges = &results[&format!("{key}.edges")];
    let double = edges.dtype() == DType::F64;
    let edges = edges.to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
    assert_eq!(histogram.edges().len(), edges.len(), "{case}: number of edges");
    for (at, (own, edge)) in histogram.edges().iter().zip(&edges).enumerate() {
        assert!(units_apart(*own, *edge, double) <= 1, "{case}: edge {at} is {own:e}, not {edge:e}");
    }
    1
}

/// Compares a range with that of the manifest.
///
/// The library's squared errors are sums of f32, so of two candidates that are nearly as
/// good either is right: the manifest lists them.
fn compare_range(case: &str, histogram: &ParityHistogram, entry: &Value, storage: Storage) {
    let case = format!("{case} {}", entry["args"]);
    let (request, candidates) = asked(&entry["args"], storage);
    let range = histogram.range_among(&request, candidates);
    if !entry["error"].is_null() {
        assert!(matches!(range, Err(Fault::Parity(_))), "{case}: {range:?}");
        return;
    }
    let Some(expected) = entry["amax"].as_f64() else {
        assert!(entry["amax"].is_null());
        assert!(range.is_err(), "{case}: {range:?}");
        return;
    };
    let range = range.unwrap_or_else(|fault| panic!("{case}: {fault}"))[0];
    let near = entry["evidence"]["acceptable_amax"].as_array().or(entry["acceptable_amax"].as_array());
    let is_near = |near: &Vec<Value>| near.iter().any(|value| value.as_f64() == Some(f64::from(range)));
    let accepted = request.method == Calibration::MeanSquaredError && near.is_some_and(is_near);
    assert!(accepted || range == expected as f32, "{case}: {range:e}, not {expected:e}");
}

/// The distributions that the index lists.
fn distributions(folder: &Path) -> Vec<String> {
    let index = json(&folder.join("index.json"));
    let names: Vec<String> =
        list(&index["distributions"]).iter().map(|name| name.as_str().unwrap().to_owned()).collect();
    assert!(!names.is_empty());
    names
}

#[test]
fn histograms() {
    let Some(folder) = reference() else { return };
    let (mut bins, mut stored) = (0, 0);
    for name in distributions(&folder) {
        let case = json(&folder.join(&name).join("case.json"));
        let data = load(&folder.join(&name).join("data.safetensors"));
        let results = load(&folder.join(&name).join("results.safetensors"));
        stored += results.keys().filter(|key| key.ends_with(".counts")).count();
        for entry in list(&case["histogram"]) {
            let id = entry["id"].as_str().unwrap();
            let case = format!("{name} {id}");
            let mut histogram = ParityHistogram::new(settings(&entry["args"]));
            for (at, after) in list(&entry["after"]).iter().enumerate() {
                histogram.add(&floats(&data, &format!("batch{at}"))).unwrap();
                assert_eq!(histogram.counts().len() as u64, after["counts"].as_u64().unwrap(), "{case}");
                assert_eq!(histogram.edges().len() as u64, after["edges"].as_u64().unwrap(), "{case}");
                let sum = histogram.counts().iter().sum::<u64>();
                assert_eq!(Some(sum as f64), after["sum"].as_f64(), "{case}");
                let key = format!("hist.{id}.after{at}");
                if results.contains_key(&format!("{key}.counts")) {
                    bins += compare_bins(&case, &histogram, &results, &key);
                }
            }
            assert_eq!(list(&entry["after"]).len(), data.len(), "{case}");
            let storage = storage(&entry["num_bits"], entry["unsigned"].as_bool().unwrap());
            list(&entry["amax"]).iter().for_each(|entry| compare_range(&case, &histogram, entry, storage));
        }
    }
    assert_eq!(bins, stored);
}

#[test]
fn the_largest_along_axes() {
    let Some(folder) = reference() else { return };
    for name in distributions(&folder) {
        let case = json(&folder.join(&name).join("case.json"));
        let data = load(&folder.join(&name).join("data.safetensors"));
        let results = load(&folder.join(&name).join("results.safetensors"));
        let int8 = storage(&Value::from(8), false);
        let request = asked(&serde_json::json!({ "method": "max" }), int8).0;
        let mut compared = 0;
        for entry in list(&case["max"]) {
            let dims = data["batch0"].dims().to_vec();
            let kept: Vec<usize> = match &entry["axis"] {
                Value::Null => Vec::new(),
                Value::Array(axes) => axes.iter().map(|axis| axis.as_u64().unwrap() as usize).collect(),
                axis => vec![axis.as_i64().unwrap().rem_euclid(dims.len() as i64) as usize],
            };
            let channels = kept.iter().map(|axis| dims[*axis]).product();
            let inner = dims[kept.last().map_or(0, |last| last + 1)..].iter().product();
            let mut statistics = Statistics::new(channels);
            for at in 0..data.len() {
                statistics.add(&floats(&data, &format!("batch{at}")), inner);
                let key = format!("{}.after{at}", entry["key"].as_str().unwrap());
                assert_eq!(statistics.range(&request), Ok(floats(&results, &key)), "{name} {key}");
                compared += 1;
            }
        }
        assert_eq!(compared, results.keys().filter(|key| key.starts_with("max.")).count(), "{name}");
    }
}

#[test]
fn unusual_batches() {
    let Some(folder) = reference() else { return };
    let case = json(&folder.join("edge/case.json"));
    let results = load(&folder.join("edge/results.safetensors"));
    let mut bins = 0;
    for entry in list(&case["cases"]) {
        let id = entry["id"].as_str().unwrap();
        let mut histogram = ParityHistogram::new(settings(&entry["args"]));
        for (at, step) in list(&entry["steps"]).iter().enumerate() {
            let added = histogram.add(&floats(&results, &format!("{id}.batch{at}")));
            if !step["error"].is_null() {
                assert!(added.is_err(), "{id} {at}");
                continue;
            }
            added.unwrap_or_else(|fault| panic!("{id} {at}: {fault}"));
            bins += compare_bins(id, &histogram, &results, &format!("{id}.after{at}"));
        }
        let int8 = storage(&Value::from(8), false);
        list(&entry["amax"]).iter().for_each(|entry| compare_range(id, &histogram, entry, int8));
    }
    assert_eq!(bins, results.keys().filter(|key| key.ends_with(".counts")).count());
}

/// `calibrate_weights`: numpy's bins from zero to the largest magnitude of each row.
#[test]
fn weights() {
    let Some(folder) = reference() else { return };
    let case = json(&folder.join("weights/case.json"));
    let results = load(&folder.join("weights/results.safetensors"));
    let (rows, columns) = results["weight"].dims2().unwrap();
    let weight = floats(&results, "weight");
    for entry in list(&case["cases"]) {
        let key = entry["key"].as_str().unwrap();
        let method = entry["method"].as_str().unwrap();
        let per_channel = entry["perchannel"].as_bool().unwrap();
        let mut args = entry["args"].clone();
        args["method"] = method.into();
        let (request, candidates) = asked(&args, storage(&Value::from(8), false));
        if !entry["error"].is_null() {
            // It has no largest magnitude of a whole weight; here there is one.
            assert_eq!((method, per_channel), ("max", false), "{key}");
            assert_eq!(weight_range(&weight, 1, 1, &request).map(|ranges| ranges.len()), Ok(1));
            continue;
        }
        let expected = floats(&results, key);
        let row = if per_channel { columns } else { rows * columns };
        let ranges: Vec<f32> = match method {
            "max" => weight_range(&weight, rows, columns, &request).unwrap(),
            _ => {
                // A whole weight has the default number of bins always.
                let bins = args["num_bins"].as_u64().filter(|_| per_channel).unwrap_or(2048) as usize;
                let range = |row| {
                    let histogram = ParityHistogram::of_weight(row, bins).unwrap();
                    histogram.range_among(&request, candidates).unwrap()[0]
                };
                weight.chunks(row).map(range).collect()
            }
        };
        assert_eq!(ranges, expected, "{key}");
    }
    assert_eq!(list(&case["cases"]).iter().filter(|case| case["error"].is_null()).count() + 1, results.len());
}
