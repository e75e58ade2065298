//! `fake_quantize` against what pytorch-quantization and torch computed: every
//! case of the reference, none passed over. Where qdqc differs on purpose, the
//! case says what holds instead.

use super::reference::{bits, json, reference};
use crate::{
    ops::{Attribute, Attributes, Op},
    types::Bindings,
};
use candle_core::{DType, Device, Result, Tensor, Var};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};

/// Cases of a manifest with their tensors.
struct Cases {
    list: Vec<Value>,
    tensors: HashMap<String, Tensor>,
}

impl Cases {
    fn read(manifest: &str, tensors: &str) -> Option<Cases> {
        let folder = reference("quantizers")?;
        let tensors = candle_core::safetensors::load(folder.join(tensors), &Device::Cpu).unwrap();
        let manifest = json(folder.join(manifest));
        Some(Cases { list: manifest["cases"].as_array().unwrap().clone(), tensors })
    }

    fn tensor(&self, name: &Value) -> Option<Tensor> {
        name.as_str().map(|name| self.tensors[name].clone())
    }
}

type Options = Vec<(&'static str, Attribute)>;

/// What a descriptor asks of the operator, in this mode.
fn options(desc: &Value, mode: &str) -> Options {
    let flag = |key: &str| desc[key].as_bool().unwrap_or(false);
    let mut options = vec![
        ("mode", mode.to_owned().into()),
        ("signed", (!flag("unsigned")).into()),
        ("narrow", flag("narrow_range").into()),
    ];
    match &desc["num_bits"] {
        Value::Array(_) => options.push(("format", "e4m3".to_owned().into())),
        Value::Null => {}
        bits => options.push(("bits", bits.as_i64().unwrap().into())),
    }
    if let Some(factor) = desc["scale_amax"].as_f64() {
        options.push(("scale_amax", factor.into()));
    }
    options
}

/// The axes that have ranges of their own.
fn axes(desc: &Value) -> Vec<i64> {
    match &desc["axis"] {
        Value::Array(axes) => axes.iter().map(|axis| axis.as_i64().unwrap()).collect(),
        axis => axis.as_i64().into_iter().collect(),
    }
}

fn quantize(x: &Tensor, amax: &Tensor, options: Options) -> Result<Tensor> {
    let given = options.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let op = Op::build("fake_quantize", Attributes::new(given)).unwrap().unwrap();
    op.semantics().eval(&[x.clone(), amax.clone()], &Bindings::new())
}

/// What came of a case: its numbers, and the gradients of `x` and of `amax`.
struct Outcome {
    output: Tensor,
    of_x: Option<Tensor>,
    of_amax: Option<Tensor>,
}

fn outcome(x: &Tensor, amax: &Tensor, upstream: Option<&Tensor>, options: Options) -> Result<Outcome> {
    let Some(upstream) = upstream else {
        return Ok(Outcome { output: quantize(x, amax, options)?, of_x: None, of_amax: None });
    };
    let (x, amax) = (Var::from_tensor(x)?, Var::from_tensor(amax)?);
    let output = quantize(&x, &amax, options)?;
    // Where NaN times 0 would be NaN, the sum's gradient is `upstream` all the same.
    let gradients = (&output * upstream)?.sum_all()?.backward()?;
    let (of_x, of_amax) = (gradients.get(&x).cloned(), gradients.get(&amax).cloned());
    Ok(Outcome { output, of_x, of_amax })
}

/// The input of a dynamic case with the axes brought together that share no range.
fn with_one_axis(x: &Tensor, axes: &[i64]) -> (Tensor, Option<i64>) {
    match axes {
        [] => (x.clone(), None),
        [axis] => (x.clone(), Some(*axis)),
        axes => {
            let size = |axis: i64| x.dims()[usize::try_from(axis).unwrap()];
            let kept: usize = axes.iter().map(|axis| size(*axis)).product();
            let before: usize = (0..axes[0]).map(size).product();
            (x.reshape((before, kept, x.elem_count() / kept / before)).unwrap(), Some(1))
        }
    }
}

fn same(case: &Value, what: &str, made: &Tensor, expected: &Tensor) {
    assert_eq!(made.elem_count(), expected.elem_count(), "{}: {what}", case["id"]);
    assert!(bits(made) == bits(expected), "{}: {what}", case["id"]);
}

/// Gradients are summed from 0 on, which takes the sign of those that are -0.
fn same_gradient(case: &Value, made: &Tensor, expected: &Tensor) {
    same(case, "gradient", &(made + 0.0).unwrap(), &(expected + 0.0).unwrap());
}

/// Output and gradients of a case that the operator does as the reference does.
fn fake(cases: &Cases, case: &Value, x: &Tensor) {
    let desc = &case["desc"];
    let mut options = options(desc, "nv");
    let mut x = x.clone();
    let amax = cases.tensor(&case["amax"]).unwrap_or_else(|| {
        let (turned, mut axis) = with_one_axis(&x, &axes(desc));
        x = turned;
        // A negative axis has no effect there; here it counts from the end.
        axis = axis.filter(|axis| *axis >= 0);
        options.push(("dynamic", true.into()));
        options.push(("axis", axis.into()));
        Tensor::new(0.0_f32, &Device::Cpu).unwrap()
    });
    let upstream = cases.tensor(&case["upstream"]).map(|upstream| upstream.reshape(x.shape()).unwrap());
    let made = outcome(&x, &amax, upstream.as_ref(), options);
    // There, a NaN hides negative numbers from the check.
    if !case["error"].is_null() || case["id"] == "special/unsigned_nan_hides_negative" {
        assert!(made.is_err(), "{}", case["id"]);
        return;
    }
    let made = made.unwrap();
    same(case, "output", &made.output, &cases.tensor(&case["output"]).unwrap());
    if let Some(expected) = cases.tensor(&case["grad_input"]) {
        same_gradient(case, &made.of_x.unwrap(), &expected);
        assert!(made.of_amax.is_none(), "{}: a range that is not learned has a gradient", case["id"]);
    }
}

/// A learned range: the bounds get gradients too.
fn learned(cases: &Cases, case: &Value, x: &Tensor) {
    let mut options = options(&case["desc"], "nv");
    options.push(("learn", true.into()));
    // One case starts from `amax`, as a calibrated checkpoint does.
    let bounds = match cases.tensor(&case["amax"]) {
        Some(amax) => [amax.neg().unwrap(), amax].map(|bound| bound.to_scalar::<f32>().unwrap()),
        None => ["clip_min", "clip_max"].map(|bound| case[bound].as_f64().unwrap_or(1.0) as f32),
    };
    let bounds = Tensor::new(&bounds, &Device::Cpu).unwrap();
    let made = outcome(x, &bounds, cases.tensor(&case["upstream"]).as_ref(), options);
    if !case["error"].is_null() {
        assert!(made.is_err(), "{}", case["id"]);
        return;
    }
    let made = made.unwrap();
    same(case, "output", &made.output, &cases.tensor(&case["output"]).unwrap());
    same_gradient(case, &made.of_x.unwrap(), &cases.tensor(&case["grad_input"]).unwrap());
    let sums = made.of_amax.unwrap().to_vec1::<f32>().unwrap();
    for (sum, name) in sums.iter().zip(["grad_clip_min", "grad_clip_max"]) {
        let expected = cases.tensor(&case[name]).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()[0];
        assert!((sum - expected).abs() <= 1e-5, "{}: {name} is {sum}, not {expected}", case["id"]);
    }
}

/// Other element types: the reference rounds several times in them, qdqc once.
fn other_type(cases: &Cases, case: &Value, x: &Tensor) {
    let expected = cases.tensor(&case["output"]).unwrap();
    let amax = cases.tensor(&case["amax"]).unwrap();
    let narrow = x.to_dtype(expected.dtype()).unwrap();
    let made = quantize(&narrow, &amax, options(&case["desc"], "nv")).unwrap();
    let once = quantize(&narrow.to_dtype(DType::F32).unwrap(), &amax, options(&case["desc"], "nv")).unwrap();
    assert_eq!(made.dtype(), expected.dtype());
    let wide = |x: &Tensor| x.to_dtype(DType::F32).unwrap();
    same(case, "rounded once", &wide(&made), &wide(&once.to_dtype(expected.dtype()).unwrap()));
    // Its own roundings: two of the result in bf16 (8 bits of precision) and f16 (11),
    // none in f64. In bf16 the code is rounded before it is made whole: it may be the next.
    let bits = case["desc"]["num_bits"].as_i64().unwrap();
    let share = match expected.dtype() {
        DType::BF16 => 2.0 / 256.0 + 1.0 / ((1 << (bits - 1)) - 1) as f64,
        DType::F16 => 2.0 / 2048.0,
        _ => 1e-6,
    };
    let allowed = (wide(&amax) * (share * 1.01)).unwrap();
    let apart = (wide(&made) - wide(&expected)).unwrap().abs().unwrap();
    let beyond = apart.broadcast_sub(&allowed).unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
    assert!(beyond <= 0.0, "{}: off by {beyond} more than {allowed}", case["id"]);
}

/// Codes and scale, kept apart: together they are what the operator gives.
fn real(cases: &Cases, case: &Value, x: &Tensor) {
    let codes = cases.tensor(&case["output"]).unwrap();
    let scale = cases.tensor(&case["scale"]).unwrap();
    let expected = codes.broadcast_div(&scale).unwrap();
    let made = quantize(x, &cases.tensor(&case["amax"]).unwrap(), options(case, "nv")).unwrap();
    same(case, "output", &made, &expected);
}

#[test]
fn every_case_of_pytorch_quantization() {
    let Some(cases) = Cases::read("cases.json", "tensors.safetensors") else { return };
    let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
    for case in &cases.list {
        let x = cases.tensor(&case["input"]).unwrap();
        let (group, id) = (case["group"].as_str().unwrap(), case["id"].as_str().unwrap());
        *groups.entry(group).or_default() += 1;
        match group {
            // Not among 2 to 16 bits: no type has it.
            "one_bit" => {
                let refused =
                    quantize(&x, &cases.tensor(&case["amax"]).unwrap(), options(&case["desc"], "nv"));
                assert!(refused.is_err(), "{id}");
            }
            "learn_amax" => learned(&cases, case, &x),
            "dtype" => other_type(&cases, case, &x),
            "real" => real(&cases, case, &x),
            // A spec has no place for it; multiplying first is the same.
            "pre_quant_scale" => prescaled(&cases, case, &x),
            // A quantizer that is off is not attached: its site keeps its value.
            "stage" if id != "stage/calib_and_quant" => {
                same(case, "output", &x, &cases.tensor(&case["output"]).unwrap());
            }
            // Without a range: that of the codes themselves.
            "e4m3" if id.starts_with("e4m3/none_") => {
                let options = vec![("format", "e4m3".to_owned().into()), ("mode", "nv".to_owned().into())];
                let amax = Tensor::new(448.0_f32, &Device::Cpu).unwrap();
                same(
                    case,
                    "output",
                    &quantize(&x, &amax, options).unwrap(),
                    &cases.tensor(&case["output"]).unwrap(),
                );
            }
            // Ranges about another point than 0: the language has none, nor has TensorRT.
            "affine" => assert!(case["min"].is_number() && case["max"].is_number(), "{id}"),
            // One channel: its range without axes fits a spec's `[1, 1]`, see `tests/checkpoint.rs`.
            "shape" => assert_eq!(cases.tensor(&case["output"]).unwrap().rank(), 0, "{id}"),
            "grid" | "dense" | "amax_edge" | "special" | "ties" | "dynamic" | "scale_amax" | "ste"
            | "stage" | "e4m3" => fake(&cases, case, &x),
            other => panic!("{id}: nothing is known of {other}"),
        }
    }
    assert_eq!(groups.values().sum::<usize>(), 420, "{groups:?}");
    assert_eq!([groups["affine"], groups["shape"], groups["one_bit"]], [3, 1, 2]);
}

/// The input multiplied by a number for each of its last axis, whether or not it
/// is quantized then.
fn prescaled(cases: &Cases, case: &Value, x: &Tensor) {
    let scale = &cases.tensors["pre_quant_scale"];
    let scaled = x.broadcast_mul(scale).unwrap();
    let upstream = cases.tensor(&case["upstream"]).unwrap();
    let (output, gradient) = if case["id"] == "pre_quant_scale/disabled_quantizer" {
        (scaled, upstream)
    } else {
        let amax = cases.tensor(&case["amax"]).unwrap();
        let made = outcome(&scaled, &amax, Some(&upstream), options(&case["desc"], "nv")).unwrap();
        (made.output, made.of_x.unwrap())
    };
    same(case, "output", &output, &cases.tensor(&case["output"]).unwrap());
    let gradient = gradient.broadcast_mul(scale).unwrap();
    same_gradient(case, &gradient, &cases.tensor(&case["grad_input"]).unwrap());
}

#[test]
fn every_case_of_torchs_own_operator() {
    let Some(cases) = Cases::read("fb_cases.json", "fb_tensors.safetensors") else { return };
    let mut undefined = Vec::new();
    for case in &cases.list {
        let id = case["id"].as_str().unwrap();
        let desc = &case["desc"];
        let x = cases.tensor(&case["input"]).unwrap();
        let upstream = cases.tensor(&case["upstream"]);
        let mut options = options(desc, "onnx");
        options.push(("narrow", false.into()));
        let amax = cases.tensor(&case["amax"]).unwrap_or_else(|| {
            if desc["learn_amax"] == true {
                options.push(("learn", true.into()));
                return bounds_of(case);
            }
            options.push(("dynamic", true.into()));
            options.push(("axis", axes(desc).first().copied().into()));
            Tensor::new(0.0_f32, &Device::Cpu).unwrap()
        });
        let made = outcome(&x, &amax, upstream.as_ref(), options).unwrap();
        // What a CPU makes of integers that are too large; ranges near 0 among them.
        let unspecified = case["note"].as_str().is_some_and(|note| note.contains("unspecified"));
        if unspecified || ["fb/amax_zero", "fb/amax_2^-24", "fb/amax_1e-30", "fb/amax_1e30"].contains(&id) {
            undefined.push(id);
            continue;
        }
        // It has no ranges along several axes; the legacy path does.
        let source = if id == "fb/b8_ax_tuple" { "legacy" } else { "fb" };
        let expected = cases.tensor(&case[source]["output"]).unwrap();
        let step = step(case, &x, &amax);
        let apart = (&made.output - &expected).unwrap().abs().unwrap();
        // Torch multiplies by the inverse of the step, ONNX divides by the step: at a
        // tie, which `near_ties` is made of, they may give neighbouring codes.
        let (codes, rest) = if id.starts_with("fb/near_ties") { (1.0, 1e-3) } else { (0.0, 1e-3) };
        let beyond = apart.broadcast_sub(&(step.clone() * (codes + rest)).unwrap()).unwrap();
        assert!(beyond.max_all().unwrap().to_scalar::<f32>().unwrap() <= 0.0, "{id}");
        // The gradient is the legacy one in every mode; its range is the symmetric one.
        match cases.tensor(&case["legacy"]["grad_input"]) {
            Some(expected) => same_gradient(case, &made.of_x.unwrap(), &expected),
            None => {
                assert_eq!(id, "fb/unsigned_negative");
                let negative = x.lt(&x.zeros_like().unwrap()).unwrap().to_dtype(DType::F32).unwrap();
                let passed = (made.of_x.unwrap() * negative).unwrap().abs().unwrap().sum_all().unwrap();
                assert_eq!(passed.to_scalar::<f32>().unwrap(), 0.0, "numbers that became 0 pass no gradient");
            }
        }
    }
    assert_eq!(cases.list.len(), 93);
    assert_eq!(undefined.len(), 6, "{undefined:?}");
}

/// The bounds that the reference's learned ranges begin with.
fn bounds_of(case: &Value) -> Tensor {
    let bound = |name: &str, other: f64| case[name].as_f64().unwrap_or(other) as f32;
    Tensor::new(&[bound("clip_min", -1.0), bound("clip_max", 1.0)], &Device::Cpu).unwrap()
}

/// The step between codes, as a tensor that fits the case's input.
fn step(case: &Value, x: &Tensor, amax: &Tensor) -> Tensor {
    let bits = case["desc"]["num_bits"].as_i64().unwrap_or(8);
    let unsigned = i64::from(case["desc"]["unsigned"] == true);
    let codes = (1_i64 << (bits - 1 + unsigned)) - 1;
    let factor = case["desc"]["scale_amax"].as_f64().unwrap_or(1.0);
    let amax = match (case["amax"].is_string(), case["desc"]["learn_amax"] == true) {
        (true, _) => amax.clone(),
        (_, true) => amax.max_all().unwrap(),
        _ => x.abs().unwrap().max_all().unwrap(),
    };
    (amax * (factor / codes as f64)).unwrap()
}
