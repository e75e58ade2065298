//! The reference set, through the binary: every case in float and in every quantized
//! mode that it has, and what each quantizer of a traced case gets and gives.
//!
//! The set was computed by HuggingFace's QDQBERT and lies beside the repository
//! (`../shared/reference`); where it is absent the tests say so and check
//! nothing. Cases, calls and tolerances come from its manifests, and none is
//! passed over silently: an output that cannot be compared fails the test.

#![cfg(test)]

#[path = "support/models.rs"]
mod models;
#[path = "support/placement.rs"]
mod placement;
#[path = "support/reference.rs"]
mod reference;

use candle_core::{Device, Tensor, safetensors};
use models::{models, under};
use qdqc::{
    backends::candle::Executor,
    checkpoint::{Checkpoint, HubOptions, Wanted},
    compile::{self, Given, GivenTensor, Options},
    graph::{Checked, NodeKind, Output},
    ops::Op,
    types::{DType, Dim},
};
use reference::{Tensors, json, load, reference, spec};
use serde_json::Value;
use std::{collections::BTreeMap, path::Path, process::Command};

/// `qdqc run SPEC -c CHECKPOINT --tensors ... -o ... FLAGS`
fn run(spec: &str, checkpoint: &Path, inputs: &Tensors, flags: &[String]) -> Tensors {
    let folder = tempfile::tempdir().unwrap();
    let (given, made) = (folder.path().join("in.safetensors"), folder.path().join("out.safetensors"));
    safetensors::save(inputs, &given).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_qdqc"));
    command.args(["run", spec, "-c"]).arg(checkpoint);
    command.arg("--tensors").arg(&given).arg("-o").arg(&made).args(flags);
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{stderr}");
    load(&made)
}

/// The largest difference of two tensors of one shape.
fn difference(left: &Tensor, right: &Tensor) -> f64 {
    assert_eq!(left.dims(), right.dims());
    let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    flat(left).iter().zip(flat(right)).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max)
}

/// The reference's output names, by ours: its caches are numbered.
fn own_name(name: &str) -> String {
    let Some(cache) = name.strip_prefix("past_key_values.") else { return name.to_owned() };
    let (layer, part) = cache.split_once('.').unwrap();
    let part = ["key", "value", "encoder.key", "encoder.value"][part.parse::<usize>().unwrap()];
    format!("present.{layer}.{part}")
}

/// Compares every expected output with its own tolerance; gives how many there were.
fn compare(case: &str, expected: &Tensors, made: &Tensors, tolerance: impl Fn(&str) -> f64) -> usize {
    for (name, expected) in expected {
        let made = made.get(&own_name(name)).unwrap_or_else(|| panic!("{case}: no output `{name}`"));
        let (difference, tolerance) = (difference(made, expected), tolerance(name));
        assert!(
            difference <= tolerance,
            "{case}: `{name}` is off by {difference:e}, allowed are {tolerance:e}"
        );
    }
    expected.len()
}

fn atol(tolerances: &Value, name: &str) -> f64 {
    tolerances[name]["atol"].as_f64().unwrap_or_else(|| panic!("no tolerance for {name}"))
}

/// The flags that ask for what the reference call asked for.
fn flags(call: &Value, expected: &Tensors) -> Vec<String> {
    let mut flags = Vec::new();
    for (scalar, flag) in [("output_hidden_states", "--hidden-states"), ("output_attentions", "--attentions")]
    {
        if call["scalars"][scalar] == Value::Bool(true) {
            flags.push(flag.to_owned());
        }
    }
    if expected.keys().any(|name| name.starts_with("past_key_values.")) {
        flags.push("--cache".to_owned());
    }
    for (field, value) in call["config_override"].as_object().unwrap() {
        flags.push("--set".to_owned());
        flags.push(format!("{field}={}", value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
    }
    flags
}

/// What an earlier call left in the cache, as inputs.
fn cached(made: &Tensors) -> Tensors {
    under(made, "present.")
        .into_iter()
        .map(|(name, tensor)| (format!("past_key_values.{name}"), tensor))
        .collect()
}

/// How the reference's models are computed: without quantizers, or with those of a
/// mode in its manifests.
const MODES: [(&str, usize); 6] = [
    ("float", 27),
    ("quant_pc", 25),
    ("quant_pt", 25),
    ("quant_dynamic", 2),
    ("quant_mixed", 1),
    ("quant_e4m3", 1),
];

/// The spec of a case in a mode, and the flags that say where ranges are. Those of
/// `quant_pc` are the bundled recipe's; the others are written for the case.
fn placed(folder: &Path, case: &Value, mode: &str) -> (tempfile::TempDir, String, Vec<String>) {
    let bundled = spec(case["model_class"].as_str().unwrap());
    let own = tempfile::tempdir().unwrap();
    let about = &case["modes"][mode];
    let flags = match about["amax_file"].as_str() {
        Some(file) => vec!["--amax".to_owned(), folder.join(file).display().to_string()],
        None if mode == "float" => vec!["--float".to_owned()],
        None => Vec::new(),
    };
    if ["float", "quant_pc"].contains(&mode) {
        return (own, bundled.to_owned(), flags);
    }
    let text = placement::placed(bundled, &about["quantizers"], about["amax_file"].is_null());
    let path = own.path().join("placed.qdq");
    std::fs::write(&path, text).unwrap();
    (own, path.display().to_string(), flags)
}

/// Every call of one case in one mode; gives how many outputs were compared.
fn model_case(folder: &Path, case: &Value, mode: &str) -> usize {
    let name = case["case"].as_str().unwrap().to_owned();
    let (_own, spec, ranges) = placed(folder, case, mode);
    let listed = if mode == "float" { "float" } else { "quant" };
    let inputs = load(&folder.join("inputs.safetensors"));
    let outputs = load(&folder.join(format!("outputs.{mode}.safetensors")));
    let tolerances = &case["modes"][mode]["tolerances"];
    let mut made: BTreeMap<String, Tensors> = BTreeMap::new();
    let mut compared = 0;
    for call in case["calls"].as_array().unwrap() {
        if !call["modes"].as_array().unwrap().contains(&listed.into()) {
            continue;
        }
        let call_name = call["name"].as_str().unwrap();
        let prefix = format!("{call_name}.");
        let mut given = under(&inputs, &prefix);
        if let Some(earlier) = call["past_from"].as_str() {
            given.extend(cached(&made[earlier]));
        }
        let expected = under(&outputs, &prefix);
        let flags = [ranges.clone(), flags(call, &expected)].concat();
        let result = run(&spec, &folder.join("checkpoint"), &given, &flags);
        // The reference measures distances without the cache's length; see
        // `relative_positions_with_a_cache_equal_the_whole_text`.
        let quirk = call_name.starts_with("quirk.") && call["past_from"].is_string();
        if quirk {
            assert!(difference(&result["logits"], &expected["logits"]) > 1e-3, "{name}: the quirk is gone");
        } else {
            let case = format!("{name} {call_name} {mode}");
            let allowed = |output: &str| atol(tolerances, &format!("{prefix}{output}"));
            compared += compare(&case, &expected, &result, allowed);
            if mode != "float" {
                // Quantized models are simulated, and run in integers where that is possible.
                let simulated = [flags.clone(), vec!["--engine".to_owned(), "candle".to_owned()]].concat();
                let simulated = run(&spec, &folder.join("checkpoint"), &given, &simulated);
                compare(&format!("{case} candle"), &expected, &simulated, allowed);
            }
        }
        made.insert(call_name.to_owned(), result);
    }
    compared
}

#[test]
fn models_give_the_reference_outputs_in_every_mode() {
    let Some(reference) = reference() else { return };
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for (folder, case) in models(&reference) {
        for mode in case["modes"].as_object().unwrap().keys() {
            assert!(model_case(&folder, &case, mode) > 0, "{} {mode}: nothing was compared", case["case"]);
            *found.entry(mode.clone()).or_default() += 1;
        }
    }
    assert_eq!(found, MODES.map(|(mode, count)| (mode.to_owned(), count)).into());
}

#[test]
fn histogram_calibrated_models_give_the_reference_outputs() {
    let Some(reference) = reference() else { return };
    let folder = reference.join("models/hist_calib");
    let case = json(&folder.join("case.json"));
    let outputs = load(&folder.join("outputs.safetensors"));
    let given = under(&load(&folder.join("inputs.safetensors")), "eval.");
    let methods = case["methods"].as_object().unwrap();
    for (method, about) in methods {
        let amax = folder.join(about["amax_file"].as_str().unwrap()).display().to_string();
        let spec = spec(case["model_class"].as_str().unwrap());
        let made = run(spec, &folder.join("checkpoint"), &given, &["--amax".to_owned(), amax]);
        let tolerance = about["tolerance"]["atol"].as_f64().unwrap();
        let expected = Tensors::from([("logits".to_owned(), outputs[&format!("{method}.logits")].clone())]);
        assert_eq!(compare(method, &expected, &made, |_| tolerance), 1);
    }
    assert_eq!(methods.len(), 5);
}

/// The graph of a call with the input and the output of every quantizer as outputs.
fn traced(text: &str, options: &Options) -> Checked {
    let (program, problems) = compile::load("traced.qdq", text, &qdqc::specs::BundledLibrary);
    assert!(problems.is_empty(), "{problems:?}");
    let (graph, problems) = compile::compile(&program, options, true);
    let mut graph = graph.unwrap_or_else(|| panic!("{problems:?}")).into_inner();
    let mut outputs = Vec::new();
    for (id, node) in graph.iter() {
        if let NodeKind::Op(Op::FakeQuantize(_)) = &node.kind {
            outputs.push(Output { name: format!("{}.input", node.name), node: node.operands[0] });
            outputs.push(Output { name: format!("{}.output", node.name), node: id });
        }
    }
    graph.outputs = outputs;
    Checked::new(graph).unwrap()
}

#[test]
fn every_quantizer_gets_and_gives_what_the_reference_traced() {
    let Some(reference) = reference() else { return };
    let mut compared = BTreeMap::new();
    for (folder, case) in models(&reference) {
        for (mode, about) in case["modes"].as_object().unwrap() {
            let Some(file) = about["trace"]["file"].as_str() else { continue };
            let expected = load(&folder.join(file));
            let call = about["trace"]["call"].as_str().unwrap();
            let inputs = under(&load(&folder.join("inputs.safetensors")), &format!("{call}."));
            let made = trace(&folder, &case, mode, inputs);
            let tolerances = about["tolerances"].as_object().unwrap().iter();
            let worst = tolerances.filter_map(|(_, about)| about["atol"].as_f64()).fold(0.0, f64::max);
            assert_eq!(made.len(), expected.len(), "{} {mode}", case["case"]);
            for (name, expected) in &expected {
                // No code may differ, and a step is far more than this.
                let apart = difference(&made[name], expected);
                assert!(apart <= worst, "{} {mode}: {name} is off by {apart:e}", case["case"]);
            }
            compared.insert(format!("{} {mode}", case["case"].as_str().unwrap()), expected.len());
        }
    }
    assert_eq!(compared.len(), 5, "{compared:?}");
    assert!(compared.values().all(|count| *count >= 80), "{compared:?}");
}

/// What each quantizer of a case gets and gives in one call.
fn trace(folder: &Path, case: &Value, mode: &str, inputs: Tensors) -> Tensors {
    let about = &case["modes"][mode];
    let class = spec(case["model_class"].as_str().unwrap());
    let text = placement::placed(class, &about["quantizers"], about["amax_file"].is_null());
    let location = folder.join("checkpoint").display().to_string();
    let mut checkpoint = Checkpoint::open(&location, &HubOptions::from_env()).unwrap();
    if let Some(file) = about["amax_file"].as_str() {
        checkpoint.overlay(&folder.join(file)).unwrap();
    }
    let element = |tensor: &Tensor| if tensor.dtype().is_int() { DType::I64 } else { DType::F32 };
    let given = |tensor: &Tensor| GivenTensor { dtype: element(tensor), shape: tensor.dims().to_vec() };
    let given = inputs.iter().map(|(name, tensor)| (name.clone(), given(tensor))).collect();
    let options =
        Options { config: checkpoint.config.clone(), inputs: Given::Exactly(given), ..Options::default() };
    let graph = traced(&text, &options);
    let wanted = graph.nodes.iter().filter_map(|node| match &node.kind {
        NodeKind::Parameter(parameter) => {
            let size = |dim: &Dim| usize::try_from(dim.as_known().unwrap()).unwrap();
            let shape = node.ty.shape.iter().map(size).collect();
            let (path, tied) = (parameter.path.clone(), parameter.tied.clone());
            Some(Wanted { path, shape, tied, ..Wanted::default() })
        }
        _ => None,
    });
    let wanted: Vec<_> = wanted.collect();
    let (weights, _) = checkpoint.load(&wanted, &Device::Cpu, candle_core::DType::F32).unwrap();
    let executor = Executor::new(graph, weights, &Device::Cpu).unwrap();
    executor.run(&inputs.into_iter().collect()).unwrap().into_iter().collect()
}

#[test]
fn relative_positions_with_a_cache_equal_the_whole_text() {
    let Some(reference) = reference() else { return };
    let folder = reference.join("models/pos_relative_key_decoder");
    let inputs = load(&folder.join("inputs.safetensors"));
    let checkpoint = folder.join("checkpoint");
    let cache = ["--float".to_owned(), "--cache".to_owned()];
    let calls = ["quirk.prefill.", "quirk.step1.", "quirk.step2."].map(|prefix| under(&inputs, prefix));
    let mut past = Tensors::new();
    let mut parts = Vec::new();
    for call in &calls {
        let given = call.iter().chain(&past).map(|(name, tensor)| (name.clone(), tensor.clone())).collect();
        let made = run("causal-lm", &checkpoint, &given, &cache);
        past = cached(&made);
        parts.push(made["logits"].clone());
    }
    let ids: Vec<&Tensor> = calls.iter().map(|call| &call["input_ids"]).collect();
    let whole = Tensors::from([
        ("input_ids".to_owned(), Tensor::cat(&ids, 1).unwrap()),
        ("attention_mask".to_owned(), calls[2]["attention_mask"].clone()),
    ]);
    let expected = run("causal-lm", &checkpoint, &whole, &cache)["logits"].clone();
    let difference = difference(&Tensor::cat(&parts, 1).unwrap(), &expected);
    assert!(difference < 1e-5, "off by {difference:e}");
}

#[test]
fn formats_give_the_reference_outputs() {
    let Some(reference) = reference() else { return };
    let folder = reference.join("formats");
    let case = json(&folder.join("case.json"));
    let inputs = load(&folder.join("inputs.safetensors"));
    let outputs = load(&folder.join("outputs.safetensors"));
    let mut compared = 0;
    for (format, about) in case["formats"].as_object().unwrap() {
        let classes = match &about["load_as"] {
            Value::String(class) => vec![class.as_str()],
            list => list.as_array().unwrap().iter().map(|class| class.as_str().unwrap()).collect(),
        };
        for class in classes {
            let prefix = format!("{format}.{class}.");
            let expected = under(&outputs, &prefix);
            let quantized = about["expect"] == "quantized";
            let mut flags = if quantized { vec![] } else { vec!["--float".to_owned()] };
            if expected.keys().any(|name| name.starts_with("hidden_states.")) {
                flags.push("--hidden-states".to_owned());
            }
            // A head that the file does not have is random in the reference, and an error here.
            let missing =
                case["loading_info"][format!("{format}/{class}")]["missing_keys"].as_array().unwrap();
            if !missing.is_empty() {
                let mut command = Command::new(env!("CARGO_BIN_EXE_qdqc"));
                command.args(["run", spec(class), "--float", "--text", "x", "-c"]).arg(folder.join(format));
                let output = command.output().unwrap();
                let stderr = String::from_utf8_lossy(&output.stderr);
                assert_eq!(output.status.code(), Some(1), "{stderr}");
                assert!(stderr.contains("classifier"), "{stderr}");
                continue;
            }
            let made = run(spec(class), &folder.join(format), &inputs, &flags);
            let tolerance = |name: &str| atol(&case["tolerances"], &format!("{prefix}{name}"));
            compared += compare(&format!("{format} {class}"), &expected, &made, tolerance);
        }
    }
    eprintln!("{compared} outputs compared");
    assert!(compared >= 40, "{compared} outputs");
}

#[test]
fn activations_give_the_reference_values() {
    let Some(reference) = reference() else { return };
    let folder = reference.join("activations");
    let case = json(&folder.join("case.json"));
    let tensors = load(&folder.join("activations.safetensors"));
    let checkpoint = tempfile::tempdir().unwrap();
    std::fs::write(checkpoint.path().join("config.json"), "{}").unwrap();
    let spec = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/specs/activation.qdq");
    let inputs = Tensors::from([("x".to_owned(), tensors["x"].clone())]);
    let mut compared = 0;
    for (name, tolerance) in case["tolerances"].as_object().unwrap() {
        let flags = ["--float".to_owned(), "--set".to_owned(), format!("hidden_act={name}")];
        let made = run(spec, checkpoint.path(), &inputs, &flags);
        let difference = difference(&made["y"], &tensors[&format!("{name}.y")]);
        let allowed = atol(tolerance, "y");
        assert!(difference <= allowed, "{name} is off by {difference:e}, allowed are {allowed:e}");
        compared += 1;
    }
    assert!(compared >= 17, "{compared} activations");
}
