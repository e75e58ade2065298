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
    session::{Engine, Gradients, Session},
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
        let engine = Engine { device: Device::Cpu, dtype: types::DType::F32, quantize };
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
        let difference = (found - stored).unwrap().abs().unwrap().flatten_all().unwrap();
        let difference = f64::from(difference.max(0).unwrap().to_scalar::<f32>().unwrap());
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
