//! Losses, gradients and the steps of optimizers against the reference set, float and
//! quantized. Where the set is absent (`../shared/reference`), the tests say so and check
//! nothing.

#![cfg(test)]

#[path = "support/reference.rs"]
mod reference;

use candle_core::{DType, Device, Tensor};
use qdqc::{
    checkpoint::{Checkpoint, Fresh, HubOptions},
    compile::load as load_spec,
    session::{Engine, Gradients, Integers, Session},
    specs::{BundledLibrary, find},
    training::{AdamW, AdamWOptions, Sgd},
    types,
};
use reference::{Tensors, json, load, spec};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// One case in one mode.
struct Case {
    folder: PathBuf,
    manifest: Value,
    mode: &'static str,
    inputs: BTreeMap<String, Tensor>,
}

/// Every case in every mode; none where the set is absent.
fn cases() -> Vec<Case> {
    let Some(reference) = reference::reference() else { return Vec::new() };
    let mut cases = Vec::new();
    for name in ["qa", "seqcls"] {
        for mode in ["float", "quant"] {
            let folder = reference.join("gradients").join(name);
            let manifest = json(&folder.join("case.json"));
            let inputs = load(&folder.join("inputs.safetensors")).into_iter().collect();
            cases.push(Case { folder, manifest, mode, inputs });
        }
    }
    cases
}

impl Case {
    fn session(&self) -> Session {
        let spec = find(spec(self.manifest["model_class"].as_str().unwrap())).unwrap();
        let (program, problems) = load_spec(&spec.source_name(), spec.text, &BundledLibrary);
        assert!(problems.is_empty(), "{problems:?}");
        let folder = self.folder.join("checkpoint");
        let mut checkpoint =
            Checkpoint::open(&folder.display().to_string(), &HubOptions::from_env()).unwrap();
        checkpoint.overlay(&self.folder.join("amax.quant.safetensors")).unwrap();
        let quantize = self.mode == "quant";
        let engine =
            Engine { device: Device::Cpu, dtype: types::DType::F32, quantize, integers: Integers::Never };
        let mut session = Session::new(program, checkpoint, engine);
        let inputs = self.inputs.keys().cloned().collect();
        let drawn = session.start_training(&inputs, &BTreeSet::new(), &Fresh::default()).unwrap();
        assert!(drawn.is_empty(), "{drawn:?}");
        session
    }

    /// The loss, and the gradients of all parameters but those frozen.
    fn pass(&self, session: &mut Session, frozen: &Value) -> (f64, Gradients) {
        let pass = session.forward(&self.inputs, &BTreeSet::new(), None).unwrap();
        let loss = pass.outputs()["loss"].clone();
        let mut gradients = Gradients::default();
        let frozen = frozen.as_array().into_iter().flatten();
        gradients.freeze(frozen.map(|path| path.as_str().unwrap().to_owned()).collect());
        let one = Tensor::ones((), DType::F32, &Device::Cpu).unwrap();
        pass.backward(&BTreeMap::from([("loss".to_owned(), one)]), &mut gradients).unwrap();
        (f64::from(loss.to_scalar::<f32>().unwrap()), gradients)
    }

    fn results(&self) -> &Value {
        &self.manifest["modes"][self.mode]
    }

    fn place(&self) -> String {
        format!("{} {}", self.manifest["case"].as_str().unwrap(), self.mode)
    }

    fn stored(&self, file: &Value) -> Tensors {
        load(&self.folder.join(Path::new(file.as_str().unwrap())))
    }
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

/// Puts the stored values of parameters in place whose exact gradient is 0: AdamW makes steps
/// as large as any out of what rounding leaves of it, which is each program's own.
fn replace_noise(session: &Session, noise: &Value, stored: &Tensors) {
    let mut apart = Gradients::default();
    for path in noise.as_array().unwrap().iter().map(|path| path.as_str().unwrap()) {
        apart.insert(path.to_owned(), (&session.parameters()[path] - &stored[path]).unwrap());
    }
    Sgd::new(0.0).step(session.parameters(), &apart, 1.0, 1.0).unwrap();
}

/// The largest difference of two numbers of one place.
fn apart(one: &Tensor, other: &Tensor) -> f64 {
    let difference = (one - other).unwrap().abs().unwrap().max_all().unwrap();
    f64::from(difference.to_scalar::<f32>().unwrap())
}

/// Every stored tensor is within its tolerance of the one found.
fn compare<'a>(
    place: &str,
    stored: &Tensors,
    tolerances: &Value,
    found: impl Fn(&str) -> Option<&'a Tensor>,
) {
    assert!(stored.len() > 20, "{place}");
    for (path, stored) in stored.iter().filter(|(path, _)| *path != "loss") {
        let found = found(path).unwrap_or_else(|| panic!("{place}: there is no `{path}`"));
        let difference = apart(found, stored);
        let tolerance = number(&tolerances[path]["atol"]);
        assert!(
            difference <= tolerance,
            "{place}: `{path}` is off by {difference:e}, allowed are {tolerance:e}"
        );
    }
}

#[test]
fn losses_and_gradients_are_the_references() {
    for case in cases() {
        let (loss, gradients) = case.pass(&mut case.session(), &Value::Null);
        let results = case.results();
        let off = (loss - number(&results["loss"])).abs();
        assert!(
            off <= number(&results["loss_tolerance"]["atol"]),
            "{}: the loss is off by {off:e}",
            case.place()
        );
        let stored = case.stored(&results["grads"]);
        assert_eq!(gradients.iter().count() + 1, stored.len(), "{}", case.place());
        compare(&case.place(), &stored, &results["tolerances"], |path| gradients.get(path));
    }
}

#[test]
fn three_steps_give_the_references_parameters() {
    for case in cases() {
        for (optimizer, settings) in case.manifest["optimizers"].as_object().unwrap() {
            let results = &case.results()[optimizer];
            let mut session = case.session();
            let mut adamw = (optimizer != "sgd").then(|| {
                AdamW::new(AdamWOptions {
                    beta1: number(&settings["betas"][0]),
                    beta2: number(&settings["betas"][1]),
                    epsilon: number(&settings["eps"]),
                    weight_decay: number(&settings["weight_decay"]),
                    decayed: |_, _| true,
                })
            });
            let mut sgd = Sgd::new(settings["momentum"].as_f64().unwrap_or_default());
            for step in 1..=3 {
                let (_, gradients) = case.pass(&mut session, &settings["frozen"]);
                let (parameters, rate) = (session.parameters(), number(&settings["lr"]));
                match &mut adamw {
                    Some(adamw) => adamw.step(parameters, &gradients, rate, 1.0).unwrap(),
                    None => sgd.step(parameters, &gradients, rate, 1.0).unwrap(),
                }
                let name = format!("step{step}");
                let Some(file) = results["files"].get(&name) else { continue };
                let stored = case.stored(file);
                if optimizer == "adamw" {
                    replace_noise(&session, &case.manifest["noise_gradient_parameters"], &stored);
                }
                let place = format!("{} {optimizer} {name}", case.place());
                compare(&place, &stored, &results["tolerances"][&name], |path| {
                    session.parameters().get(path)
                });
            }
        }
    }
}

/// The slopes of an activation at points, as the gradient of their sum.
fn slopes(name: &str, x: &Tensor) -> Tensor {
    let spec = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/specs/activation-gradient.qdq");
    let text = std::fs::read_to_string(&spec).unwrap();
    let (program, problems) = load_spec("activation-gradient.qdq", &text, &BundledLibrary);
    assert!(problems.is_empty(), "{problems:?}");
    let folder = tempfile::tempdir().unwrap();
    let weights = Tensors::from([("at.x".to_owned(), x.clone())]);
    candle_core::safetensors::save(&weights, folder.path().join("model.safetensors")).unwrap();
    let config = format!(r#"{{"hidden_act": "{name}", "points": {}}}"#, x.elem_count());
    std::fs::write(folder.path().join("config.json"), config).unwrap();
    let checkpoint = Checkpoint::open(&folder.path().display().to_string(), &HubOptions::from_env()).unwrap();
    let engine =
        Engine { device: Device::Cpu, dtype: types::DType::F32, quantize: false, integers: Integers::Never };
    let mut session = Session::new(program, checkpoint, engine);
    let one = Tensor::new(1f32, &Device::Cpu).unwrap();
    let named = |name: &str| BTreeMap::from([(name.to_owned(), one.clone())]);
    let inputs = BTreeSet::from(["one".to_owned()]);
    session.start_training(&inputs, &BTreeSet::new(), &Fresh::default()).unwrap();
    let mut gradients = Gradients::default();
    let pass = session.forward(&named("one"), &BTreeSet::new(), None).unwrap();
    pass.backward(&named("loss"), &mut gradients).unwrap();
    gradients.get("at.x").unwrap().clone()
}

/// At 0 too, but not at 6 in `relu6`: there the reference's slope is 0, and that of its `clamp`, as ours, is 1.
#[test]
fn activations_have_the_references_slopes() {
    let Some(reference) = reference::reference() else { return };
    let folder = reference.join("activations");
    let manifest = json(&folder.join("case.json"));
    let tensors = load(&folder.join("activations.safetensors"));
    let activations = manifest["tolerances"].as_object().unwrap();
    assert!(activations.len() >= 17);
    for (name, tolerance) in activations {
        let x = &tensors["x"];
        let compared = x.ne(if name == "relu6" { 6.0 } else { f64::NAN }).unwrap();
        let compared = compared.to_dtype(DType::F32).unwrap();
        let slopes = (slopes(name, x) * &compared).unwrap();
        let off = apart(&slopes, &(&tensors[&format!("{name}.grad")] * compared).unwrap());
        let allowed = number(&tolerance["grad"]["atol"]);
        assert!(off <= allowed, "the slope of {name} is off by {off:e}, allowed are {allowed:e}");
    }
}
