//! The runtime that exports are compared with, on exports by the original software: it
//! computes what ONNX Runtime computed of them.

#![cfg(test)]

#[path = "support/onnx_runtime.rs"]
mod onnx_runtime;

use candle_core::{DType, Device, Tensor, safetensors};
use onnx_runtime::{Tensors, run};
use serde_json::Value;
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

/// The reference set, or a line that it is absent.
fn reference() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/reference");
    if path.is_dir() {
        return Some(path);
    }
    let _ = writeln!(std::io::stderr(), "SKIPPED: the reference set {} is not here", path.display());
    None
}

/// The tensors of a file whose name begins with `prefix`, without it.
fn tensors(path: &Path, prefix: &str) -> Tensors {
    let tensors = safetensors::load(path, &Device::Cpu).unwrap();
    let strip = |(name, tensor): (String, Tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor));
    tensors.into_iter().filter_map(strip).collect()
}

#[test]
fn the_reference_exports_give_their_outputs() {
    let Some(reference) = reference() else { return };
    let mut seen = 0;
    for head in ["qa", "seqcls"] {
        let inputs = tensors(&reference.join("models").join(head).join("inputs.safetensors"), "eval.");
        for entry in fs::read_dir(reference.join("onnx").join(head)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "onnx") {
                continue;
            }
            let manifest = fs::read_to_string(path.with_extension("json")).unwrap();
            let manifest: Value = serde_json::from_str(&manifest).unwrap();
            let tolerance = manifest["suggested_atol_to_torch_legacy"]["ort_disable_all"].as_f64().unwrap();
            let given = manifest["inputs"].as_array().unwrap().iter().map(|input| {
                let name = input["name"].as_str().unwrap();
                (name.to_owned(), inputs[name].clone())
            });
            let made = run(&fs::read(&path).unwrap(), &given.collect()).unwrap();
            let expected = tensors(&path.with_extension("outputs.safetensors"), "ort_disable_all.");
            assert!(made.keys().eq(expected.keys()), "{}", path.display());
            for (name, expected) in expected {
                let difference = difference(&made[&name], &expected);
                assert!(difference <= tolerance, "{}: {name} differs by {difference}", path.display());
                seen += 1;
            }
        }
    }
    assert!(seen >= 15, "{seen} outputs");
}

/// The largest difference of two tensors of one shape.
fn difference(left: &Tensor, right: &Tensor) -> f64 {
    assert_eq!(left.dims(), right.dims());
    let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    flat(left).iter().zip(flat(right)).map(|(a, b)| f64::from((a - b).abs())).fold(0.0, f64::max)
}

#[test]
fn what_cannot_be_run_says_why() {
    assert!(run(b"no model", &Tensors::new()).unwrap_err().starts_with("the model cannot be loaded: "));
    let Some(reference) = reference() else { return };
    let model = fs::read(reference.join("onnx/seqcls/v221_pc_opset17.onnx")).unwrap();
    let ids = Tensor::zeros((2, 8), DType::I64, &Device::Cpu).unwrap();
    let given =
        |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), ids.clone())).collect::<Tensors>();
    let error = run(&model, &given(&["input_ids"])).unwrap_err();
    assert_eq!(error, "input `attention_mask` is not given");
    let error = run(&model, &given(&["ids"])).unwrap_err();
    assert_eq!(error, "the model has no input `ids`, but: input_ids, attention_mask, token_type_ids");
}
