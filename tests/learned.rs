//! Learned ranges: where they come from, and what they do.

#![cfg(test)]

use candle_core::{Device, Tensor, safetensors};
use qdqc::{
    checkpoint::{Checkpoint, HubOptions},
    compile,
    failure::Failure,
    ops::candle_dtype,
    session::{Engine, Integers, Session},
    specs::BundledLibrary,
    types::DType,
};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// `x` itself, by a learned quantizer whose codes are a whole number apart where its
/// magnitude is 7.
const SPEC: &str = "dim batch\n\
    module Same on (input: f32[batch, 3]) -> f32[batch, 3] {\n    return input\n}\n\
    model M(x: f32[batch, 3]) -> (y: f32[batch, 3]) {\n    same: Same\n    return (y: same(x))\n}\n\
    quantize q {\n    quantizer learned = int4(learn: true OPTIONS)\n    attach learned to input of Same\n}\n";

/// What becomes of some numbers under the ranges of a checkpoint.
fn quantized(options: &str, dtype: DType, ranges: &[(&str, Tensor)]) -> Vec<Vec<f32>> {
    called(options, dtype, ranges).unwrap()
}

fn called(options: &str, dtype: DType, ranges: &[(&str, Tensor)]) -> Result<Vec<Vec<f32>>, Failure> {
    let folder = tempfile::tempdir().unwrap();
    let ranges: HashMap<String, Tensor> =
        ranges.iter().map(|(name, range)| (format!("same._input_quantizer.{name}"), range.clone())).collect();
    safetensors::save(&ranges, folder.path().join("model.safetensors")).unwrap();
    std::fs::write(folder.path().join("config.json"), "{}").unwrap();
    let (program, problems) = compile::load("m.qdq", &SPEC.replace("OPTIONS", options), &BundledLibrary);
    assert!(problems.is_empty(), "{problems:?}");
    let checkpoint = Checkpoint::open(folder.path().to_str().unwrap(), &HubOptions::from_env()).unwrap();
    let engine = Engine { device: Device::Cpu, dtype, quantize: true, integers: Integers::Never };
    let x = Tensor::new(&[[-9.0_f32, 2.4, 9.0], [1.5, 2.5, -3.4]], &Device::Cpu).unwrap();
    let x = x.to_dtype(candle_dtype(dtype)).unwrap();
    let inputs = BTreeMap::from([("x".to_owned(), x)]);
    let outputs = Session::new(program, checkpoint, engine).call(&inputs, &BTreeSet::new())?;
    Ok(outputs["y"].to_dtype(candle_core::DType::F32).unwrap().to_vec2().unwrap())
}

fn range(numbers: &[f32], shape: &[usize]) -> Tensor {
    Tensor::from_vec(numbers.to_vec(), shape, &Device::Cpu).unwrap()
}

#[test]
fn they_start_from_the_calibrated_range() {
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        let made = quantized("", dtype, &[("_amax", range(&[7.0], &[]))]);
        // Not -8, which int4 has: numbers are brought between the bounds first.
        assert_eq!(made, [[-7.0, 2.0, 7.0], [2.0, 2.0, -3.0]], "{dtype}");
    }
}

#[test]
fn learned_bounds_come_before_the_calibrated_range() {
    let bounds = [
        ("_amax", range(&[1.0], &[])),
        ("clip.clip_value_min", range(&[-3.0], &[1])),
        ("clip.clip_value_max", range(&[7.0], &[1])),
    ];
    assert_eq!(quantized("", DType::F32, &bounds), [[-3.0, 2.0, 7.0], [2.0, 2.0, -3.0]]);
}

#[test]
fn an_axis_has_bounds_for_each_index() {
    let bounds = [
        ("clip.clip_value_min", range(&[-7.0, -7.0, -1.0], &[1, 3])),
        ("clip.clip_value_max", range(&[1.0, 14.0, 7.0], &[1, 3])),
    ];
    assert_eq!(quantized(", axis: 1", DType::F32, &bounds), [[-7.0, 2.0, 7.0], [1.0, 2.0, -1.0]]);
}

#[test]
fn a_range_that_is_not_finite_is_refused_by_name() {
    let bound =
        |least| [("clip.clip_value_min", range(&[least], &[])), ("clip.clip_value_max", range(&[7.0], &[]))];
    assert!(called("", DType::F32, &bound(-7.0)).is_ok());
    for wrong in [f32::NAN, f32::NEG_INFINITY] {
        let message = called("", DType::F32, &bound(wrong)).unwrap_err().to_string();
        assert!(
            message.contains("_input_quantizer.clip.clip_value_min` in model.safetensors holds"),
            "{message}"
        );
        let message = called("", DType::F32, &[("_amax", range(&[wrong], &[]))]).unwrap_err().to_string();
        assert!(message.contains("_input_quantizer._amax` in model.safetensors holds"), "{message}");
    }
}
