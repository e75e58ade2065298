//! Operators against numbers that other software computed, where that reference
//! is at hand.

use crate::ops::{Attribute, Attributes, Op};
use crate::types::Bindings;
use candle_core::{Device, Tensor};
use serde_json::Value;
use std::io::Write;
use std::{collections::HashMap, path::PathBuf};

/// A folder of the reference; `None`, and a line that says so, where there is none.
pub(super) fn reference(folder: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/reference").join(folder);
    if !path.is_dir() {
        // Straight to the terminal: the test harness keeps what `eprintln!` says of a passing test.
        let _ = writeln!(std::io::stderr(), "SKIPPED: there is no ../shared/reference/{folder}");
        return None;
    }
    Some(path)
}

pub(super) fn json(path: PathBuf) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn evaluate(
    operator: &str,
    operands: &[Tensor],
    attributes: Vec<(&str, Attribute)>,
) -> candle_core::Result<Tensor> {
    let given = attributes.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let op = Op::build(operator, Attributes::new(given)).unwrap().unwrap();
    op.semantics().eval(operands, &Bindings::new())
}

pub(super) fn bits(x: &Tensor) -> Vec<u32> {
    let canonical = |x: f32| if x.is_nan() { f32::NAN } else { x }.to_bits();
    x.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(canonical).collect()
}

#[test]
fn activations_are_those_of_transformers() {
    let Some(folder) = reference("activations") else { return };
    let tensors: HashMap<String, Tensor> =
        candle_core::safetensors::load(folder.join("activations.safetensors"), &Device::Cpu).unwrap();
    let case = json(folder.join("case.json"));
    let mut checked = Vec::new();
    for (name, operator) in [("gelu", "gelu"), ("relu", "relu"), ("tanh", "tanh"), ("sigmoid", "sigmoid")] {
        let tolerance = case["tolerances"][name]["y"]["atol"].as_f64();
        let Some((expected, tolerance)) = tensors.get(&format!("{name}.y")).zip(tolerance) else { continue };
        let result = evaluate(operator, &[tensors["x"].clone()], Vec::new()).unwrap();
        let apart = (result - expected).unwrap().abs().unwrap().max_all().unwrap();
        let apart = f64::from(apart.to_scalar::<f32>().unwrap());
        assert!(apart <= tolerance, "{name}: {apart}");
        checked.push(name);
    }
    assert_eq!(checked, ["gelu", "relu", "tanh", "sigmoid"]);
}
