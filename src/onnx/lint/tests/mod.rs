//! Every rule finds the graph that breaks it, and nothing in one that does not.

mod broken;
mod build;

use super::*;
use crate::onnx::{profile, proto::tensor_proto::DataType};
use build::{Build, INPUTS, Linear, OUTPUTS};
use std::collections::BTreeSet;

/// What a profile takes: the layer that its own exports have.
fn good(profile: &str) -> Linear {
    match profile {
        "onnxruntime" => Linear::new((DataType::Uint8, 128.0)),
        _ => Linear::new((DataType::Int8, 0.0)),
    }
}

fn found(model: ModelProto, profile: &str) -> Vec<Finding> {
    lint(&model, Profile::find(profile).unwrap())
}

fn codes(findings: &[Finding]) -> BTreeSet<&'static str> {
    findings.iter().map(|finding| finding.rule.code).collect()
}

#[test]
fn every_profile_takes_its_own_layer() {
    for profile in profile::ALL {
        for opset in [13, 17, 20] {
            let model = Linear { opset, ..good(profile.name) }.build().model();
            let findings = lint(&model, profile);
            assert!(findings.is_empty(), "{}: {findings:?}", profile.name);
            let expected = Summary { opset, quantizers: 2, products: 1, integer_products: 1, functions: 0 };
            assert_eq!(summary(&model, &findings), expected, "{}", profile.name);
        }
    }
}

/// The codes of a graph that breaks a rule are that rule's; others only where it cannot be broken alone.
#[test]
fn every_rule_finds_the_graph_that_breaks_it_and_nothing_else() {
    for case in broken::all() {
        let findings = found(case.model, case.profile);
        let expected: BTreeSet<&str> = case.codes.iter().copied().collect();
        assert_eq!(codes(&findings), expected, "{}: {findings:#?}", case.codes[0]);
    }
}

#[test]
fn no_rule_is_without_a_graph_that_breaks_it() {
    let rules: BTreeSet<&str> =
        profile::ALL.iter().flat_map(|profile| profile.rules()).map(|rule| rule.code).collect();
    let broken: BTreeSet<&str> = broken::all().iter().map(|case| case.codes[0]).collect();
    assert_eq!(broken, rules, "left: rules with a graph; right: rules");
}

#[test]
fn rules_are_written_as_they_should_be() {
    let mut seen = BTreeSet::new();
    for profile in profile::ALL {
        for rule in profile.own_rules().iter().chain(GENERIC) {
            let known = seen.insert(rule.code);
            assert!(known || rule.code.starts_with('G'), "{} is there twice", rule.code);
            assert!(rule.code.len() == 3, "{}", rule.code);
            for phrase in [rule.title, rule.help, rule.source] {
                assert!(
                    !phrase.is_empty() && !phrase.ends_with('.') && !phrase.contains('|'),
                    "{}: {phrase}",
                    rule.code
                );
            }
            assert!(rule.text.ends_with(['.', ')']) && !rule.text.contains(['|', '\n']), "{}", rule.code);
        }
    }
}

#[test]
fn a_finding_names_the_node_and_says_what_is_wrong() {
    let model = Linear { weight_scales: vec![0.02; 3], ..good("generic") }.build().model();
    let findings = found(model, "generic");
    let said: Vec<String> =
        findings.iter().map(|f| format!("{:?} {}: {}", f.rule, f.node, f.message)).collect();
    assert_eq!(said, ["G05 wd: has 3 scales for axis 1 of size 4"]);
    assert_eq!(findings[0].level(), Level::Error);
}

/// `[out, in]` with axis 0, transposed before the product, is along the outputs; axis 1 is not.
#[test]
fn axes_are_followed_through_transposes() {
    let transposed = |axis: i64, count: i64| {
        let scales = vec![0.02; count as usize];
        Build::new(17)
            .input("x", DataType::Float, &[-1, INPUTS])
            .stored("s", DataType::Float, &[], &[0.1])
            .stored("z", DataType::Int8, &[], &[0.0])
            .node("QuantizeLinear", &["x", "s", "z"], "q")
            .node("DequantizeLinear", &["q", "s", "z"], "d")
            .stored("wq", DataType::Int8, &[OUTPUTS, INPUTS], &[1.0; 32])
            .stored("ws", DataType::Float, &[count], &scales)
            .with("DequantizeLinear", &["wq", "ws"], "wd", &[("axis", &[axis])])
            .with("Transpose", &["wd"], "wt", &[("perm", &[1, 0])])
            .node("MatMul", &["d", "wt"], "y")
            .model()
    };
    assert_eq!(codes(&found(transposed(0, OUTPUTS), "tensorrt")), [].into());
    assert_eq!(codes(&found(transposed(-1, INPUTS), "tensorrt")), ["T10"].into());
}

/// A Gemm with transB has its outputs along axis 0.
#[test]
fn a_gemm_that_transposes_has_its_outputs_first() {
    let gemm = |axis: i64, count: i64| {
        Build::new(17)
            .input("x", DataType::Float, &[-1, INPUTS])
            .stored("s", DataType::Float, &[], &[0.1])
            .stored("z", DataType::Int8, &[], &[0.0])
            .node("QuantizeLinear", &["x", "s", "z"], "q")
            .node("DequantizeLinear", &["q", "s", "z"], "d")
            .stored("w", DataType::Float, &[OUTPUTS, INPUTS], &[1.0; 32])
            .stored("ws", DataType::Float, &[count], &vec![0.02; count as usize])
            .stored("wz", DataType::Int8, &[count], &vec![0.0; count as usize])
            .with("QuantizeLinear", &["w", "ws", "wz"], "wq", &[("axis", &[axis])])
            .with("DequantizeLinear", &["wq", "ws", "wz"], "wd", &[("axis", &[axis])])
            .with("Gemm", &["d", "wd"], "y", &[("transB", &[1])])
            .model()
    };
    assert_eq!(codes(&found(gemm(0, OUTPUTS), "tensorrt")), [].into());
    assert_eq!(codes(&found(gemm(1, INPUTS), "tensorrt")), ["T10"].into());
}

/// pytorch-quantization writes `Constant(0)` and a Cast for the zero point.
#[test]
fn constants_are_seen_through_casts() {
    let zero = |number: f64| {
        Build::new(13)
            .input("x", DataType::Float, &[-1, INPUTS])
            .constant("s", DataType::Float, &[], &[0.1])
            .constant("zf", DataType::Float, &[], &[number])
            .with("Cast", &["zf"], "z", &[("to", &[DataType::Int8 as i64])])
            .node("QuantizeLinear", &["x", "s", "z"], "q")
            .node("DequantizeLinear", &["q", "s", "z"], "y")
            .model()
    };
    assert_eq!(codes(&found(zero(0.0), "tensorrt")), [].into());
    assert_eq!(codes(&found(zero(3.0), "tensorrt")), ["T01"].into());
}

#[test]
fn scales_are_read_however_they_are_stored() {
    let stored = |element: DataType, raw: Option<Vec<u8>>, numbers: &[f64]| {
        let mut build = Build::new(19)
            .input("x", element, &[-1, INPUTS])
            .stored("s", element, &[], numbers)
            .stored("z", DataType::Int8, &[], &[0.0])
            .node("QuantizeLinear", &["x", "s", "z"], "q")
            .node("DequantizeLinear", &["q", "s", "z"], "y");
        if let Some(raw) = raw {
            let scale = &mut build.graph.initializer[0];
            (scale.float_data, scale.int32_data, scale.raw_data) = (Vec::new(), Vec::new(), Some(raw));
        }
        codes(&found(build.model(), "generic"))
    };
    for (element, good, bad) in [
        (DataType::Float, 0.5_f32.to_le_bytes().to_vec(), (-0.5_f32).to_le_bytes().to_vec()),
        (DataType::Float16, half::f16::ONE.to_le_bytes().to_vec(), half::f16::NAN.to_le_bytes().to_vec()),
        (DataType::Bfloat16, half::bf16::ONE.to_le_bytes().to_vec(), half::bf16::ZERO.to_le_bytes().to_vec()),
    ] {
        assert_eq!(stored(element, Some(good), &[]), [].into());
        assert_eq!(stored(element, Some(bad), &[]), ["G10"].into());
    }
    assert_eq!(stored(DataType::Float16, None, &[0.5]), [].into());
    assert_eq!(stored(DataType::Float16, None, &[0.0]), ["G10"].into());
}

/// Numbers in other files are taken to be right; their sizes are known.
#[test]
fn weights_in_other_files_are_not_needed() {
    let mut model = good("tensorrt").build().model();
    for tensor in &mut model.graph.as_mut().unwrap().initializer {
        tensor.float_data.clear();
        tensor.int32_data.clear();
        tensor.data_location = Some(1);
    }
    assert_eq!(codes(&found(model, "tensorrt")), [].into());
}

/// A graph that goes in circles ends, and so does one whose type hangs on itself.
#[test]
fn circles_end() {
    for kind in ["Transpose", "QuantizeLinear", "DequantizeLinear", "Cast", "Clip", "Identity"] {
        let circle = Build::new(21)
            .node(kind, &["b", "b", "b"], "a")
            .node(kind, &["a", "a", "a"], "b")
            .node("MatMul", &["a", "b"], "m")
            .node("Add", &["a", "m"], "b2")
            .model();
        for profile in profile::ALL {
            lint(&circle, profile);
        }
    }
}

#[test]
fn quantizers_in_inner_graphs_are_found() {
    let inner = Linear { weight_scales: vec![-1.0; 4], ..good("tensorrt") }.build().graph;
    let mut outer = Build::new(17).input("c", DataType::Bool, &[]).node("If", &["c"], "y");
    let branch = crate::onnx::proto::AttributeProto { g: Some(inner), ..Default::default() };
    outer.graph.node[0].attribute.push(branch);
    assert_eq!(codes(&found(outer.model(), "tensorrt")), ["G10"].into());
}

/// The residual addition of a mask or a bias is none.
#[test]
fn additions_of_constants_are_no_residuals() {
    let model = Build::new(17)
        .input("x", DataType::Float, &[-1, INPUTS])
        .stored("s", DataType::Float, &[], &[0.1])
        .stored("z", DataType::Int8, &[], &[0.0])
        .node("QuantizeLinear", &["x", "s", "z"], "q")
        .node("DequantizeLinear", &["q", "s", "z"], "d")
        .stored("b", DataType::Float, &[INPUTS], &[0.1; 8])
        .node("Add", &["d", "b"], "y")
        .model();
    assert_eq!(codes(&found(model, "tensorrt")), [].into());
}

/// ONNX Runtime merges equal quantizers, but not those that have a zero point of their own.
#[test]
fn quantizers_with_zero_points_of_their_own_are_not_merged() {
    let second = |zero_point: &str| {
        Linear { activation: Some((DataType::Int8, 0.0)), ..good("onnxruntime") }
            .build()
            .stored("xs2", DataType::Float, &[], &[0.05])
            .stored("own", DataType::Int8, &[], &[0.0])
            .node("QuantizeLinear", &["x", "xs2", zero_point], "xq2")
            .node("DequantizeLinear", &["xq2", "xs2", zero_point], "xd2")
            .node("Neg", &["xd2"], "n")
            .model()
    };
    assert_eq!(codes(&found(second("xz"), "onnxruntime")), ["O03"].into());
    assert_eq!(codes(&found(second("own"), "onnxruntime")), [].into());
}
