//! The reference set, through the binary: every float case, and every case whose
//! quantizers are QDQBERT's own (per-channel weights, max calibration).
//!
//! The set was computed by HuggingFace's QDQBERT and lies beside the repository
//! (`../shared/reference`); where it is absent the tests say so and check
//! nothing. Cases, calls and tolerances come from its manifests, and none is
//! passed over silently: an output that cannot be compared fails the test.

#![cfg(test)]

use candle_core::{Device, Tensor, safetensors};
use serde_json::Value;
use std::io::Write;
use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    process::Command,
};

type Tensors = HashMap<String, Tensor>;

/// The reference set, or a line that it is absent.
fn reference() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/reference");
    if path.is_dir() {
        return Some(path);
    }
    // Straight to the terminal: the test harness keeps what `eprintln!` says of a passing test.
    let _ = writeln!(std::io::stderr(), "SKIPPED: the reference set {} is not here", path.display());
    None
}

/// The bundled spec of a reference class.
fn spec(class: &str) -> &'static str {
    match class {
        "QDQBertModel" => "base-model",
        "QDQBertLMHeadModel" => "causal-lm",
        "QDQBertForMaskedLM" => "masked-lm",
        "QDQBertForNextSentencePrediction" => "next-sentence-prediction",
        "QDQBertForSequenceClassification" => "sequence-classification",
        "QDQBertForMultipleChoice" => "multiple-choice",
        "QDQBertForTokenClassification" => "token-classification",
        "QDQBertForQuestionAnswering" => "question-answering",
        other => panic!("no spec for {other}"),
    }
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn load(path: &Path) -> Tensors {
    safetensors::load(path, &Device::Cpu).unwrap()
}

/// Tensors whose name begins with `prefix`, without it.
fn under(tensors: &Tensors, prefix: &str) -> Tensors {
    let strip =
        |(name, tensor): (&String, &Tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone()));
    tensors.iter().filter_map(strip).collect()
}

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

/// A column of the reference: which calls it has, and how we run them.
#[derive(Clone, Copy)]
struct Mode {
    /// Its name in the manifests.
    name: &'static str,
    /// What the calls that have it list among their modes.
    listed: &'static str,
}

const FLOAT: Mode = Mode { name: "float", listed: "float" };
const QUANTIZED: Mode = Mode { name: "quant_pc", listed: "quant" };

impl Mode {
    /// Without quantizers, or with the ranges that the reference calibrated.
    fn flags(self, folder: &Path) -> Vec<String> {
        match self.name {
            "float" => vec!["--float".to_owned()],
            name => vec![
                "--amax".to_owned(),
                folder.join(format!("amax.{name}.safetensors")).display().to_string(),
            ],
        }
    }
}

/// Every call of one case in one mode; gives how many outputs were compared.
fn model_case(folder: &Path, mode: Mode) -> usize {
    let case = json(&folder.join("case.json"));
    let name = case["case"].as_str().unwrap().to_owned();
    if case["modes"][mode.name].is_null() {
        // Only the cases with settings of their own lack this mode.
        assert!(["mixed", "e4m3"].contains(&name.as_str()), "{name} has no mode {}", mode.name);
        return 0;
    }
    let spec = spec(case["model_class"].as_str().unwrap());
    let inputs = load(&folder.join("inputs.safetensors"));
    let outputs = load(&folder.join(format!("outputs.{}.safetensors", mode.name)));
    let tolerances = &case["modes"][mode.name]["tolerances"];
    let mut made: BTreeMap<String, Tensors> = BTreeMap::new();
    let mut compared = 0;
    for call in case["calls"].as_array().unwrap() {
        if !call["modes"].as_array().unwrap().contains(&mode.listed.into()) {
            continue;
        }
        let call_name = call["name"].as_str().unwrap();
        let prefix = format!("{call_name}.");
        let mut given = under(&inputs, &prefix);
        if let Some(earlier) = call["past_from"].as_str() {
            given.extend(cached(&made[earlier]));
        }
        let expected = under(&outputs, &prefix);
        let flags = [mode.flags(folder), flags(call, &expected)].concat();
        let result = run(spec, &folder.join("checkpoint"), &given, &flags);
        // The reference measures distances without the cache's length; see
        // `relative_positions_with_a_cache_equal_the_whole_text`.
        let quirk = call_name.starts_with("quirk.") && call["past_from"].is_string();
        if quirk {
            assert!(difference(&result["logits"], &expected["logits"]) > 1e-3, "{name}: the quirk is gone");
        } else {
            let case = format!("{name} {call_name} {}", mode.name);
            compared +=
                compare(&case, &expected, &result, |output| atol(tolerances, &format!("{prefix}{output}")));
        }
        made.insert(call_name.to_owned(), result);
    }
    compared
}

/// Every case in one mode; gives how many outputs of how many cases were compared.
fn models(mode: Mode) -> Option<(usize, usize)> {
    let reference = reference()?;
    let (mut compared, mut cases) = (0, 0);
    for entry in std::fs::read_dir(reference.join("models")).unwrap() {
        let folder = entry.unwrap().path();
        // This one is about calibration: it has no calls.
        if folder.file_name().unwrap() == "hist_calib" {
            continue;
        }
        let outputs = model_case(&folder, mode);
        compared += outputs;
        cases += usize::from(outputs > 0);
    }
    eprintln!("{compared} outputs of {cases} cases compared");
    Some((compared, cases))
}

#[test]
fn models_give_the_reference_outputs() {
    let Some((compared, cases)) = models(FLOAT) else { return };
    assert!(cases >= 27 && compared >= 300, "{cases} cases, {compared} outputs");
}

#[test]
fn quantized_models_give_the_reference_outputs() {
    let Some((compared, cases)) = models(QUANTIZED) else { return };
    assert!(cases >= 25 && compared >= 300, "{cases} cases, {compared} outputs");
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
