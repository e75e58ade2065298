//! `qdqc compare` from outside: with files of tensors, and with ONNX Runtime where it is installed.

#![cfg(test)]

#[path = "support/command_line.rs"]
mod command_line;

use candle_core::{Device, Tensor, safetensors};
use command_line::{Done, command};
use qdqc::{
    backends::candle::Inspected,
    checkpoint::{Checkpoint, HubOptions},
    compile,
    session::{Engine, Integers, Session},
    specs::BundledLibrary,
    types::DType,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

const SPEC: &str = "sequence-classification";
const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tiny");
const QUERY: &str = "bert.encoder.layer.0.attention.self.query._input_quantizer";
const PROBABILITIES: &str = "bert.encoder.layer.0.attention.self.matmul_a_input_quantizer";

type Tensors = HashMap<String, Tensor>;

/// A call of the model: a file of its inputs, and everything that comes out, inner values included.
struct Call {
    folder: tempfile::TempDir,
    inputs: String,
    results: Tensors,
}

/// What the quantizers see and make is asked of the library.
fn call() -> Call {
    let text = qdqc::specs::find(SPEC).unwrap().text;
    let (program, problems) = compile::load("sequence-classification.qdq", text, &BundledLibrary);
    assert!(problems.is_empty());
    let checkpoint = Checkpoint::open(TINY, &HubOptions::from_env()).unwrap();
    let engine = Engine { device: Device::Cpu, dtype: DType::F32, quantize: true, integers: Integers::Never };
    let mut session = Session::new(program, checkpoint, engine);
    let ids = Tensor::from_vec((0..12_i64).map(|at| 5 + at * 7).collect(), (2, 6), &Device::Cpu).unwrap();
    let inputs = BTreeMap::from([("input_ids".to_owned(), ids)]);
    let mut results = Tensors::new();
    let mut inspector = |seen: &Inspected<'_>| {
        results.insert(seen.of.to_owned(), seen.input.clone());
        results.extend(seen.names.iter().map(|name| ((*name).to_owned(), seen.output.clone())));
        Ok(None)
    };
    let outputs = session.inspect(&inputs, &BTreeSet::new(), &mut inspector).unwrap();
    results.extend(outputs);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in.safetensors");
    safetensors::save(&inputs.into_iter().collect::<Tensors>(), &path).unwrap();
    Call { inputs: path.to_str().unwrap().to_owned(), folder, results }
}

impl Call {
    /// Compares with these results and prints JSON.
    fn compare(&self, results: &Tensors, more: &[&str]) -> Done {
        safetensors::save(results, self.folder.path().join("out.safetensors")).unwrap();
        let given = ["compare", SPEC, "-c", TINY, "--tensors", &self.inputs, "--outputs", "out.safetensors"];
        command(&[&given[..], more].concat()).within(self.folder.path()).done()
    }

    /// The results with one number of a tensor changed.
    fn with(&self, name: &str, change: impl Fn(f32) -> f32) -> Tensors {
        let mut results = self.results.clone();
        let tensor = results.get_mut(name).unwrap_or_else(|| panic!("no {name}"));
        let mut numbers = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        numbers[3] = change(numbers[3]);
        *tensor = Tensor::from_vec(numbers, tensor.shape(), &Device::Cpu).unwrap();
        results
    }
}

fn json(done: &Done) -> Value {
    serde_json::from_str(&done.stdout).unwrap_or_else(|_| panic!("{}", done.stderr))
}

/// What was found of a quantizer.
fn quantizer<'v>(document: &'v Value, name: &str) -> &'v Value {
    let all = document["quantizers"].as_array().unwrap();
    all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn the_same_results_agree() {
    let call = call();
    let done = call.compare(&call.results, &["--json"]);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let document = json(&done);
    assert_eq!((&document["agrees"], &document["calls"]), (&true.into(), &1.into()));
    assert_eq!(document["outputs"][0]["free"]["largest"], 0.0);
    assert_eq!(document["outputs"][0]["shapes"], serde_json::json!([[2, 3]]));
    assert_eq!(document["quantizers"].as_array().unwrap().len(), 28);
    assert_eq!(quantizer(&document, QUERY)["free"]["codes"], 2 * 6 * 32);
    assert_eq!((&document["free"]["differ"], &document["given"]["differ"]), (&0.into(), &0.into()));
    let text = call.compare(&call.results, &[]).succeeded();
    assert!(text.contains("of 28 quantizers are the same\nthe outputs agree: within 0 "), "{text}");
    assert!(!text.contains(QUERY) && call.compare(&call.results, &["--all"]).succeeded().contains(QUERY));
}

/// Outputs alone are enough.
#[test]
fn outputs_that_differ_do_not_agree() {
    let call = call();
    let mut alone = call.with("logits", |number| number + 0.01);
    alone.retain(|name, _| name == "logits");
    let done = call.compare(&alone, &[]);
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert!(done.stdout.contains("outputs alone were compared"), "{}", done.stdout);
    assert!(done.stdout.contains("the outputs do not agree: `logits` differs by 0.0"), "{}", done.stdout);
    assert_eq!(call.compare(&alone, &["--tolerance", "0.1"]).code, Some(0));

    let shorter = alone["logits"].narrow(0, 0, 1).unwrap();
    let done = call.compare(&HashMap::from([("logits".to_owned(), shorter)]), &[]);
    assert_eq!(done.code, Some(1));
    assert!(done.stdout.contains("[2, 3], theirs [1, 3]"), "{}", done.stdout);

    let done = call.compare(&HashMap::from([("scores".to_owned(), alone["logits"].clone())]), &[]);
    let stderr = done.failed(1);
    assert!(stderr.contains("has no output of the spec's") && stderr.contains("are `logits`"), "{stderr}");
}

/// A code that is not what its quantizer makes of what it saw is told from one at a tie.
#[test]
fn a_wrong_code_is_found_where_it_is() {
    let call = call();
    let numbers = call.results[PROBABILITIES].flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let scale = numbers.iter().copied().filter(|number| *number > 0.0).fold(f32::INFINITY, f32::min);
    let document =
        json(&call.compare(&call.with(PROBABILITIES, |number| number + 90.0 * scale), &["--json"]));
    assert_eq!(document["first_parting"], PROBABILITIES);
    let found = quantizer(&document, PROBABILITIES);
    assert_eq!((&found["free"]["differ"], &found["free"]["reasons"]["unexplained"]), (&1.into(), &1.into()));
    assert_eq!(found["free"]["reasons"]["by_rounding"], 0);
    assert_eq!(document["free"]["differ"], 1, "theirs alone has that code");
    let later = document["given"]["differ"].as_u64().unwrap();
    assert!(later > 1, "computed from it, ours differs from what they made without it: {later}");
}

#[test]
fn one_call_has_one_set_of_results() {
    let call = call();
    let path = call.folder.path().join("out.safetensors");
    safetensors::save(&call.results, &path).unwrap();
    let texts = ["compare", SPEC, "-c", TINY, "--text", "a", "--text", "b", "--batch", "1", "--outputs"];
    let done = command(&[&texts[..], &[path.to_str().unwrap()]].concat()).done();
    let stderr = done.failed(1);
    assert!(stderr.contains("has the outputs of one call"), "{stderr}");
}

#[test]
fn what_is_missing_is_named() {
    let call = call();
    let model = call.folder.path().join("model.onnx");
    command(&["export", SPEC, "-c", TINY, "-o", model.to_str().unwrap()]).done().succeeded();
    let against = |model: &str, python: &str| {
        let given = ["compare", SPEC, "-c", TINY, "--text", "a", "--onnx", model, "--python", python];
        command(&given).done()
    };
    let model = model.to_str().unwrap();
    let stderr = against(model, "/no/such/python").failed(3);
    assert!(stderr.contains("there is no Python interpreter `/no/such/python`"), "{stderr}");
    assert!(stderr.contains("pip install onnxruntime numpy"), "{stderr}");
    let stderr = against("nowhere.onnx", "python3").failed(1);
    assert!(stderr.contains("there is no file `nowhere.onnx`"), "{stderr}");
    let stderr = against(&call.inputs, "python3").failed(1);
    assert!(stderr.contains("in.safetensors` is not an ONNX model"), "{stderr}");
}

/// An interpreter that says something and ends.
#[cfg(unix)]
#[test]
fn its_last_words_are_repeated() {
    use std::os::unix::fs::PermissionsExt;
    let call = call();
    let path = |name: &str| call.folder.path().join(name).to_str().unwrap().to_owned();
    let (model, python) = (path("model.onnx"), path("python"));
    command(&["export", SPEC, "-c", TINY, "-o", &model]).done().succeeded();
    std::fs::write(&python, "#!/bin/sh\necho 'numpy is broken' >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&python, PermissionsExt::from_mode(0o755)).unwrap();
    let given = ["compare", SPEC, "-c", TINY, "--text", "a", "--onnx", &model, "--python", &python];
    let stderr = command(&given).done().failed(3);
    assert!(stderr.contains("python` ended: numpy is broken"), "{stderr}");
}

/// An interpreter that has ONNX Runtime, or a line that there is none.
fn python() -> Option<PathBuf> {
    let named = std::env::var_os("QDQC_PYTHON").filter(|value| !value.is_empty());
    let path = named.map_or_else(|| PathBuf::from("python3"), PathBuf::from);
    let found = Command::new(&path).args(["-c", "import numpy, onnxruntime"]).output();
    if found.is_ok_and(|found| found.status.success()) {
        return Some(path);
    }
    // Straight to the terminal: the test harness keeps what `eprintln!` says of a passing test.
    let _ = writeln!(
        std::io::stderr(),
        "SKIPPED: `{}` has no onnxruntime; QDQC_PYTHON names an interpreter that has it",
        path.display()
    );
    None
}

/// Exports and compares; the arguments of both.
fn exported(python: &Path, spec: &str, export: &[&str], compare: &[&str]) -> Done {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.onnx");
    let model = model.to_str().unwrap();
    command(&[&["export", spec, "-c", TINY, "-o", model], export].concat()).done().succeeded();
    let given = ["compare", spec, "-c", TINY, "--onnx", model, "--python", python.to_str().unwrap()];
    command(&[&given[..], compare].concat()).done()
}

#[test]
fn exported_models_make_the_same_codes_in_onnx_runtime() {
    let Some(python) = python() else { return };
    let text = ["--text", "the good film", "--text", "the king lived in paris", "--json"];
    let pair = ["--text", "who", "--text-pair", "the king lived", "--json"];
    for (spec, export, compare) in [
        (SPEC, &["--external-data"][..], &text[..]),
        (SPEC, &["--profile", "onnxruntime"], &text),
        (SPEC, &["--outputs", "hidden_states", "--inputs", "input_ids"], &text),
        ("question-answering", &["--opset", "13"], &pair),
        ("causal-lm", &[], &text),
    ] {
        let done = exported(&python, spec, export, compare);
        let document = json(&done);
        assert_eq!(done.code, Some(0), "{spec}: {document:#}");
        assert_eq!(document["quantizers"].as_array().unwrap().len(), 28, "{spec}");
        assert_eq!(document["missing"], serde_json::json!([]), "{spec}");
        assert_eq!(document["free"]["unexplained"], 0, "{spec}");
        let given = &document["given"];
        assert_eq!(given["differ"], given["by_rounding"], "{spec}: {given}");
        assert!(document["runtime"].as_str().unwrap().starts_with("onnxruntime "));
    }
}

#[test]
fn optimized_models_are_compared_by_their_outputs() {
    let Some(python) = python() else { return };
    let done = exported(&python, SPEC, &["--float"], &["--float", "--optimize", "--text", "the good film"]);
    let text = done.succeeded();
    assert!(text.starts_with("output "), "{text}");
    assert!(text.contains("1 of 1") && text.contains("the outputs agree"), "{text}");
}

/// A model with another range, and one without quantizers.
#[test]
fn other_models_are_told_apart() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let ranges = folder.path().join("ranges.safetensors");
    let wide = Tensor::new(40.0_f32, &Device::Cpu).unwrap();
    safetensors::save(&Tensors::from([(format!("{PROBABILITIES}._amax"), wide)]), &ranges).unwrap();
    let text = ["--text", "the good film"];
    let done = exported(&python, SPEC, &["--amax", ranges.to_str().unwrap()], &text);
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    let told = format!("the first to part is `{PROBABILITIES}`: its scale is ");
    assert!(done.stdout.contains(&told), "{}", done.stdout);

    let done = exported(&python, SPEC, &["--float"], &text);
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert!(done.stdout.contains("outputs alone were compared"), "{}", done.stdout);
}

#[test]
fn inputs_are_those_that_both_have() {
    let Some(python) = python() else { return };
    let inputs = ["--inputs", "input_ids,attention_mask"];
    let done = exported(&python, SPEC, &inputs, &["--text", "the good film", "--text-pair", "a king"]);
    assert!(
        done.stderr.contains("has no input `token_type_ids`: both are run without it"),
        "{}",
        done.stderr
    );
    done.succeeded();

    let call = call();
    let done = exported(&python, SPEC, &[], &["--tensors", &call.inputs]);
    let stderr = done.failed(1);
    assert!(stderr.contains("needs `attention_mask` and `token_type_ids`, not given here"), "{stderr}");
}
