//! Calibration of whole models as the reference did it: every model of the set, on the
//! batches that it was given there, and a real encoder on real sentences.
//!
//! What lies beside the repository (`../shared`) is compared with; where it is absent
//! the tests say so and check nothing. Cases and tolerances come from the manifests, and
//! none is passed over silently.

#![cfg(test)]

#[path = "support/models.rs"]
mod models;
#[path = "support/placement.rs"]
mod placement;
#[path = "support/reference.rs"]
mod reference;

use candle_core::{Tensor, safetensors};
use models::{models, under};
use qdqc::{
    calibration::{Candidates, Collector, ParityHistogram, Request, Saved},
    quant::{Calibration, Storage},
};
use reference::{Tensors, beside, json, load, reference, spec};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::Path,
    process::Command,
};

/// `qdqc calibrate ARGUMENTS -o FOLDER`, which succeeds.
fn calibrate(arguments: &[&str], folder: &Path) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qdqc"));
    command.arg("calibrate").args(arguments).arg("-o").arg(folder);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// A case's batches as files, each with the flag that names it.
fn batches(folder: &Path, into: &Path) -> Vec<String> {
    let inputs = load(&folder.join("calib_inputs.safetensors"));
    let batch = |index: usize| {
        let own = under(&inputs, &format!("calib{index}."));
        let path = into.join(format!("batch{index}.safetensors"));
        safetensors::save(&own, &path).unwrap();
        assert!(!own.is_empty());
        ["--tensors".to_owned(), path.display().to_string()]
    };
    (0..3).flat_map(batch).collect()
}

/// The `_amax` entries of a file, without those of what a head does not have.
fn ranges(path: &Path) -> BTreeMap<String, Tensor> {
    load(path).into_iter().filter(|(name, _)| name.ends_with("._amax")).collect()
}

fn floats(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn relative(own: f32, expected: f32) -> f64 {
    f64::from((own - expected).abs()) / f64::from(expected)
}

/// A case calibrated in one of its modes; gives how many ranges were compared.
fn model_case(folder: &Path, case: &Value, mode: &str) -> usize {
    let about = &case["modes"][mode];
    let name = format!("{} {mode}", case["case"]);
    let own = tempfile::tempdir().unwrap();
    let placed = own.path().join("placed.qdq");
    let class = spec(case["model_class"].as_str().unwrap());
    fs::write(&placed, placement::placed(class, &about["quantizers"], false)).unwrap();
    let checkpoint = folder.join("checkpoint").display().to_string();
    // The bundled recipe is the reference's usual placement.
    let named = if mode == "quant_pc" { class.to_owned() } else { placed.display().to_string() };
    let batches = batches(folder, own.path());
    let mut arguments = vec![named.as_str(), "-c", &checkpoint];
    arguments.extend(batches.iter().map(String::as_str));
    calibrate(&arguments, &own.path().join("made"));

    let made = ranges(&own.path().join("made/model.safetensors"));
    let expected = ranges(&folder.join(about["amax_file"].as_str().unwrap()));
    assert!(made.keys().eq(expected.keys()), "{name}");
    // The manifest of `e4m3` states none; this is the least of the others.
    let tolerance = about["amax_rtol"].as_f64().unwrap_or(1e-6);
    for (quantizer, expected) in &expected {
        let made = &made[quantizer];
        assert_eq!(made.dims(), expected.dims(), "{name}: {quantizer}");
        let (made, expected) = (floats(made), floats(expected));
        if quantizer.ends_with("_weight_quantizer._amax") {
            assert_eq!(made, expected, "{name}: {quantizer}");
        }
        for (made, expected) in made.iter().zip(&expected) {
            let apart = relative(*made, *expected);
            assert!(apart <= tolerance, "{name}: {quantizer} is {made:e}, not {expected:e}: {apart:e}");
        }
    }
    expected.len()
}

#[test]
fn calibrated_models_have_the_reference_ranges() {
    let Some(reference) = reference() else { return };
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for (folder, case) in models(&reference) {
        assert_eq!(case["calibration"]["method"], "max");
        assert_eq!(case["calibration"]["batches"], serde_json::json!([["calib0"], ["calib1"], ["calib2"]]));
        for (mode, about) in case["modes"].as_object().unwrap() {
            if about["amax_file"].is_string() {
                assert!(model_case(&folder, &case, mode) > 0);
                *found.entry(mode.clone()).or_default() += 1;
            }
        }
    }
    let all = [("quant_pc", 25), ("quant_pt", 25), ("quant_mixed", 1), ("quant_e4m3", 1)];
    assert_eq!(found, all.map(|(mode, count)| (mode.to_owned(), count)).into());
}

/// What `--parity` counted, by quantizer.
fn histograms(path: &Path) -> BTreeMap<String, ParityHistogram> {
    let saved = Saved::from_bytes(&fs::read(path).unwrap()).unwrap();
    let mut histograms = BTreeMap::new();
    for (names, collector) in saved.tensors {
        let Collector::Parity(histogram) = collector else { panic!("{names} is no histogram") };
        histograms.extend(names.split(' ').map(|name| (name.to_owned(), histogram.clone())));
    }
    histograms
}

/// Counts that are in another bin than the reference has them in: the float activations
/// are not the same to the last bit.
fn moved(own: &[u64], expected: &[f32]) -> f64 {
    let (mut own_sum, mut sum, mut moved) = (0.0, 0.0, 0.0);
    for (own, expected) in own.iter().zip(expected) {
        own_sum += *own as f64;
        sum += f64::from(*expected);
        moved += f64::abs(own_sum - sum);
    }
    assert_eq!(own_sum, sum);
    moved
}

fn bins_as_in_the_reference(own: &BTreeMap<String, ParityHistogram>, expected: &Tensors) {
    for (name, histogram) in own {
        let counts = floats(&expected[&format!("{name}.hist")]);
        let edges = floats(&expected[&format!("{name}.bin_edges")]);
        assert_eq!(histogram.counts().len(), counts.len(), "{name}");
        for (own, edge) in histogram.edges().iter().zip(&edges) {
            assert!((own - f64::from(*edge)).abs() <= 2e-6 * f64::from(edges[edges.len() - 1]), "{name}");
        }
        let moved = moved(histogram.counts(), &counts);
        assert!(moved <= 4.0, "{name}: {moved} counts are in another bin");
    }
}

/// The histograms of `--parity`, and the range that every method finds in them.
#[test]
fn a_model_calibrated_with_histograms_has_the_reference_ranges() {
    let Some(reference) = reference() else { return };
    let folder = reference.join("models/hist_calib");
    let case = json(&folder.join("case.json"));
    let own = tempfile::tempdir().unwrap();
    let class = spec(case["model_class"].as_str().unwrap());
    let checkpoint = folder.join("checkpoint").display().to_string();
    let batches = batches(&folder, own.path());
    let mut arguments = vec![class, "-c", &checkpoint, "--parity"];
    arguments.extend(batches.iter().map(String::as_str));
    calibrate(&arguments, &own.path().join("made"));
    let statistics = own.path().join("made/statistics.safetensors");
    let histograms = histograms(&statistics);
    let widths = case["bin_width"].as_object().unwrap();
    assert_eq!(histograms.keys().collect::<BTreeSet<_>>(), widths.keys().collect::<BTreeSet<_>>());
    bins_as_in_the_reference(&histograms, &load(&folder.join("histograms.safetensors")));

    let methods = case["methods"].as_object().unwrap();
    for (method, about) in methods {
        let expected = ranges(&folder.join(about["amax_file"].as_str().unwrap()));
        let percent = about["args"]["percentile"].as_f64();
        let (asked, stride, flag) = match about["args"]["method"].as_str().unwrap() {
            "percentile" => {
                let percent = percent.unwrap();
                (Calibration::Percentile(percent), 1, Some(format!("percentile={percent}")))
            }
            // The command takes every candidate; the reference here every eighth.
            "entropy" => (Calibration::Entropy, about["args"]["stride"].as_u64().unwrap() as usize, None),
            "mse" => (Calibration::MeanSquaredError, 1, Some("mse".to_owned())),
            other => panic!("unknown method {other}"),
        };
        let storage = Storage::Integer { bits: 8, signed: true, narrow: false };
        let request = Request { method: asked, storage, skip_zeros: false, limit: None };
        let candidates = Candidates { stride, ..Candidates::default() };
        let merged = flag.map(|flag| {
            let merged = own.path().join(method);
            let statistics = statistics.display().to_string();
            calibrate(&[class, "-c", &checkpoint, "--merge", &statistics, "--method", &flag], &merged);
            ranges(&merged.join("model.safetensors"))
        });
        for (name, histogram) in &histograms {
            let key = format!("{name}._amax");
            let expected = floats(&expected[&key])[0];
            let tolerance = case["amax_bins_tolerance"].as_f64().unwrap() * widths[name].as_f64().unwrap();
            let found = histogram.range_among(&request, candidates).unwrap()[0];
            let apart = f64::from((found - expected).abs());
            assert!(apart <= tolerance, "{method} {name}: {found:e}, not {expected:e}");
            if let Some(merged) = &merged {
                assert_eq!(floats(&merged[&key]), [found], "{method} {name}");
            }
        }
        for (name, expected) in expected.iter().filter(|(name, _)| name.contains("_weight_quantizer")) {
            let merged = merged.as_ref().map(|merged| floats(&merged[name]));
            assert!(merged.is_none_or(|merged| merged == floats(expected)), "{method} {name}");
        }
    }
    assert_eq!(methods.len(), 5);
}

/// The quantizer of an activation of `calibration.json`.
fn quantizer(activation: &str) -> String {
    let (path, value) = activation.rsplit_once('.').unwrap();
    let own = |module: &str| path.strip_suffix(module);
    match (own(".scores"), own(".context"), value) {
        (Some(path), _, "query") => format!("{path}.matmul_q_input_quantizer"),
        (Some(path), _, "key") => format!("{path}.matmul_k_input_quantizer"),
        (_, Some(path), "probs") => format!("{path}.matmul_a_input_quantizer"),
        (_, Some(path), "value") => format!("{path}.matmul_v_input_quantizer"),
        (None, None, "input") => format!("{path}._input_quantizer"),
        _ => panic!("no quantizer for {activation}"),
    }
}

/// An encoder of sentences, with the placement and the 256 sentences of `calibration.json`.
#[test]
fn a_real_encoder_has_the_known_ranges() {
    let Some(data) = beside("data") else { return };
    if cfg!(debug_assertions) {
        // Straight to the terminal: the test harness keeps what `eprintln!` says of a passing test.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: 256 sentences take half a minute without optimization: \
             run `cargo test --release --test reference_calibration`"
        );
        return;
    }
    let known = json(&data.join("sts-b/reference/calibration.json"));
    let own = tempfile::tempdir().unwrap();
    let (texts, made) = (own.path().join("sentences.txt"), own.path().join("made"));
    let sentences: Vec<&str> =
        known["sentences"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    assert_eq!(sentences.len(), 256);
    fs::write(&texts, sentences.join("\n")).unwrap();
    let checkpoint = data.join(known["checkpoint"].as_str().unwrap()).display().to_string();
    let recipe = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recipes/sts.qdq");
    let named = ["sentence-embedding", "-c", &checkpoint, "--recipe", recipe];
    calibrate(&[&named[..], &["--input", texts.to_str().unwrap()]].concat(), &made);
    let statistics = made.join("statistics.safetensors").display().to_string();
    let percentile = own.path().join("percentile");
    calibrate(&[&named[..], &["--merge", &statistics, "--method", "percentile=99.99"]].concat(), &percentile);
    for (method, folder) in [("max", made), ("p99.99", percentile)] {
        let ranges = ranges(&folder.join("model.safetensors"));
        let known = known["amax"].as_object().unwrap();
        for (activation, about) in known {
            let expected = about[method].as_f64().unwrap() as f32;
            let found = floats(&ranges[&format!("{}._amax", quantizer(activation))])[0];
            assert!(relative(found, expected) <= 1e-5, "{method} {activation}: {found:e}, not {expected:e}");
        }
        assert_eq!(known.len(), 60);
    }
}
