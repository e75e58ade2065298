//! Operators against numbers that other software computed, where that reference
//! is at hand.

use crate::ops::{Attribute, Attributes, Op};
use crate::types::Bindings;
use candle_core::{Device, Tensor};
use serde_json::Value;
use std::{collections::HashMap, path::PathBuf};

/// A folder of the reference; `None`, and a line that says so, where there is none.
fn reference(folder: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/reference").join(folder);
    if !path.is_dir() {
        eprintln!("skipped: there is no ../shared/reference/{folder}");
        return None;
    }
    Some(path)
}

fn json(path: PathBuf) -> Value {
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

fn bits(x: &Tensor) -> Vec<u32> {
    let canonical = |x: f32| if x.is_nan() { f32::NAN } else { x }.to_bits();
    x.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(canonical).collect()
}

/// The attributes of the reference's quantizer; `None` where it is no fake
/// quantizer with a fixed range per tensor or along one axis.
fn quantizer(case: &Value) -> Option<Vec<(&'static str, Attribute)>> {
    let desc = case["desc"].as_object()?;
    let outside = ["learn_amax", "scale_amax"].iter().any(|key| desc.contains_key(*key));
    let group = case["group"].as_str().unwrap_or_default();
    if outside || !case["amax"].is_string() || ["pre_quant_scale", "stage", "dtype"].contains(&group) {
        return None;
    }
    let flag = |key: &str| desc.get(key).and_then(Value::as_bool).unwrap_or(false);
    let mut attributes = vec![
        ("mode", "nv".to_owned().into()),
        ("signed", (!flag("unsigned")).into()),
        ("narrow", flag("narrow_range").into()),
    ];
    match &desc["num_bits"] {
        Value::Array(_) => attributes.push(("format", "e4m3".to_owned().into())),
        bits if bits.as_i64()? < 2 => return None,
        bits => attributes.push(("bits", bits.as_i64()?.into())),
    }
    Some(attributes)
}

#[test]
fn fake_quantize_gives_the_bits_of_pytorch_quantization() {
    let Some(folder) = reference("quantizers") else { return };
    let tensors = candle_core::safetensors::load(folder.join("tensors.safetensors"), &Device::Cpu).unwrap();
    let tensor = |name: &Value| tensors[name.as_str().unwrap()].clone();
    let mut checked = 0;
    for case in json(folder.join("cases.json"))["cases"].as_array().unwrap() {
        let Some(attributes) = quantizer(case) else { continue };
        let id = &case["id"];
        let result = evaluate("fake_quantize", &[tensor(&case["input"]), tensor(&case["amax"])], attributes);
        checked += 1;
        if case["error"].is_null() {
            let expected = tensor(&case["output"]);
            assert!(bits(&result.unwrap()) == bits(&expected), "{id}");
        } else {
            assert!(result.is_err(), "{id}");
        }
    }
    assert_eq!(checked, 322);
}

#[test]
fn fake_quantize_gives_the_bits_of_torchs_own_operator() {
    let Some(folder) = reference("quantizers") else { return };
    let tensors =
        candle_core::safetensors::load(folder.join("fb_tensors.safetensors"), &Device::Cpu).unwrap();
    let tensor = |name: &Value| tensors[name.as_str().unwrap()].clone();
    let mut checked = 0;
    for case in json(folder.join("fb_cases.json"))["cases"].as_array().unwrap() {
        let unspecified = case["note"].as_str().is_some_and(|note| note.contains("unspecified"));
        // Torch multiplies by the inverse of the step, ONNX divides by the step: at a
        // tie they may give neighbouring codes, which one case is made to show. Its
        // results for ranges near 0 are those of overflow.
        let id = case["id"].as_str().unwrap();
        let differs = id.starts_with("fb/near_ties") || id.starts_with("fb/amax_");
        let works = case["fb"]["output"].is_string() && !unspecified && !differs;
        let Some(mut attributes) = quantizer(case).filter(|_| works) else { continue };
        attributes.push(("mode", "onnx".to_owned().into()));
        attributes.push(("narrow", false.into()));
        let operands = [tensor(&case["input"]), tensor(&case["amax"])];
        let result = evaluate("fake_quantize", &operands, attributes).unwrap();
        let expected = tensor(&case["fb"]["output"]);
        let apart = (result - expected).unwrap().abs().unwrap();
        let beyond = apart.broadcast_sub(&(&operands[1] * 1e-6).unwrap()).unwrap().max_all().unwrap();
        assert!(beyond.to_scalar::<f32>().unwrap() <= 0.0, "{id}");
        checked += 1;
    }
    assert_eq!(checked, 80);
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
