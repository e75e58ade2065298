//! Optimizers against PyTorch's: the reference's gradients give the reference's
//! parameters. Where the set is absent (`../shared/reference/gradients`), the test says
//! so and checks nothing.

#![cfg(test)]

use candle_core::{Device, Tensor, safetensors};
use qdqc::{
    session::Gradients,
    training::{AdamW, AdamWOptions},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::Write,
    path::Path,
};

type Tensors = HashMap<String, Tensor>;

fn load(path: &Path) -> Tensors {
    safetensors::load(path, &Device::Cpu).unwrap()
}

/// Parameters of a case by state-dict path, as a new run finds them. A weight is turned
/// in memory, as an engine turns it whose matrix products are faster so.
fn parameters(folder: &Path) -> BTreeMap<String, Tensor> {
    let turned = |(path, tensor): (String, Tensor)| {
        let turned = if tensor.rank() == 2 && !path.contains("embeddings") {
            tensor.t().unwrap().contiguous().unwrap().t().unwrap()
        } else {
            tensor
        };
        (path, turned)
    };
    load(&folder.join("checkpoint/model.safetensors")).into_iter().map(turned).collect()
}

/// The gradients of a file but those of `frozen` parameters.
fn gradients(file: &Path, frozen: &BTreeSet<&str>) -> Gradients {
    let mut gradients = Gradients::default();
    for (path, gradient) in load(file) {
        if path != "loss" && !frozen.contains(path.as_str()) {
            gradients.insert(path, gradient);
        }
    }
    gradients
}

/// Every parameter is within the manifest's tolerance of the stored one.
fn compare(made: &BTreeMap<String, Tensor>, stored: &Tensors, tolerances: &Value, place: &str) {
    assert!(stored.len() > 20, "{place}");
    for (path, stored) in stored {
        let difference = (&made[path] - stored).unwrap().abs().unwrap().flatten_all().unwrap();
        let difference = difference.max(0).unwrap().to_scalar::<f32>().unwrap();
        let tolerance = tolerances[path]["atol"].as_f64().unwrap();
        assert!(f64::from(difference) <= tolerance, "{place} {path}: {difference} beyond {tolerance}");
    }
}

fn names(list: &Value) -> BTreeSet<&str> {
    list.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

#[test]
fn optimizer_steps_on_stored_gradients_give_the_stored_parameters() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/reference/gradients");
    if !root.is_dir() {
        // Straight to the terminal: the test harness keeps what `eprintln!` says of a passing test.
        let _ = writeln!(std::io::stderr(), "SKIPPED: the reference set {} is not here", root.display());
        return;
    }
    for case in ["qa", "seqcls"] {
        let folder = root.join(case);
        let manifest = std::fs::read_to_string(folder.join("case.json")).unwrap();
        let manifest: Value = serde_json::from_str(&manifest).unwrap();
        for mode in ["float", "quant"] {
            let files = &manifest["modes"][mode]["adamw"]["files"];
            let file = |name: &str| folder.join(files[name].as_str().unwrap());
            for optimizer in ["adamw", "adamw_stable"] {
                let settings = &manifest["optimizers"][optimizer];
                let frozen = names(&settings["frozen"]);
                let results = &manifest["modes"][mode][optimizer];
                let parameters = parameters(&folder);
                let mut adamw = AdamW::new(AdamWOptions {
                    beta1: number(&settings["betas"][0]),
                    beta2: number(&settings["betas"][1]),
                    epsilon: number(&settings["eps"]),
                    weight_decay: number(&settings["weight_decay"]),
                    decayed: |_, _| true,
                });
                // Gradients are stored of `adamw`. What it changes besides has no effect in float.
                let steps = if optimizer == "adamw" || mode == "float" { 3 } else { 1 };
                for step in 1..=steps {
                    let gradients = gradients(&file(&format!("grads_step{step}")), &frozen);
                    adamw.step(&parameters, &gradients, number(&settings["lr"]), 1.0).unwrap();
                    let stored = folder.join(results["files"][format!("step{step}")].as_str().unwrap());
                    let tolerances = &results["tolerances"][format!("step{step}")];
                    compare(
                        &parameters,
                        &load(&stored),
                        tolerances,
                        &format!("{case} {mode} {optimizer} {step}"),
                    );
                }
            }
        }
    }
}
