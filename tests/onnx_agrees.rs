//! Models that say what the graph says: an ONNX runtime computes from each the numbers
//! that candle computes from its graph.

#![cfg(test)]

#[path = "support/calls.rs"]
mod calls;
#[path = "support/cases.rs"]
mod cases;
#[path = "support/made_up.rs"]
mod made_up;
#[path = "support/onnx_runtime.rs"]
mod onnx_runtime;
#[path = "support/weights.rs"]
mod weights;

use calls::{CALLS, Call, USUAL, models};
use candle_core::{DType, Device, Tensor};
use made_up::{EMPTY, LEAST, ODD, inputs};
use qdqc::{
    backends::candle::Executor,
    compile::{self, Checked, Given},
    graph::Graph,
    onnx::{self, Layout, opset},
    ops::form::Dialect,
    source::Sources,
    specs::{self, BundledLibrary},
};
use std::fs;
use weights::weights;

/// The share of an output's largest magnitude that sums in another order may differ by.
const TOLERANCE: f32 = 1e-4;

const PLAIN: Dialect = Dialect { opset: 17, folded: false, shifted: false };

/// What ONNX Runtime wants: codes 128 higher, biases of three axes, layer norms apart.
const FUSED: (Dialect, Layout) = (
    Dialect { opset: opset::NEWEST, folded: true, shifted: true },
    Layout { wide_biases: true, separate_norms: true },
);

/// Holds that the model of the graph gives the graph's outputs for these sizes.
fn agrees(case: &str, graph: &Graph, (dialect, layout): (&Dialect, Layout), sizes: &[&[(&str, i64)]]) {
    let graph = Checked::new(graph.clone()).unwrap();
    let weights = weights(&graph);
    let options = onnx::Options {
        dialect: dialect.clone(),
        layout,
        sources: Sources::default(),
        description: String::new(),
        metadata: Vec::new(),
    };
    let model =
        onnx::emit(&graph, &weights, &options).unwrap_or_else(|failure| panic!("{case}: {failure:?}"));
    let mut bytes = Vec::new();
    model.write(&mut bytes).unwrap();
    let executor = Executor::new(graph, weights, &Device::Cpu).unwrap();
    for sizes in sizes {
        let case = format!("{case}, {dialect:?}, {sizes:?}");
        let inputs = inputs(executor.graph(), sizes);
        let expected = executor.run(&inputs).unwrap_or_else(|failure| panic!("{case}: {failure:?}"));
        let made = onnx_runtime::run(&bytes, &inputs).unwrap_or_else(|error| panic!("{case}: {error}"));
        assert!(made.keys().eq(expected.keys()), "{case}: {:?}", made.keys());
        for (name, expected) in &expected {
            let (apart, scale) = difference(&made[name], expected);
            assert!(apart <= TOLERANCE * scale, "{case}: `{name}` is off by {apart:e} of {scale:e}");
        }
    }
}

/// The largest difference of two tensors of one shape, and the largest magnitude.
fn difference(made: &Tensor, expected: &Tensor) -> (f32, f32) {
    assert_eq!(made.dims(), expected.dims());
    let flat = |tensor: &Tensor| {
        tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    let (made, expected) = (flat(made), flat(expected));
    let apart = made.iter().zip(&expected).map(|(made, expected)| match (made.is_nan(), expected.is_nan()) {
        (true, true) => 0.0,
        (false, false) if made == expected => 0.0,
        (false, false) => (made - expected).abs(),
        _ => f32::INFINITY,
    });
    let scale = expected.iter().fold(0.0_f32, |scale, x| scale.max(x.abs()));
    (apart.fold(0.0, f32::max), scale)
}

fn graph(call: &Call, spec: &specs::Bundled) -> Graph {
    call.stages(spec).pop().unwrap().graph
}

/// The graph for a choice of inputs.
fn given(spec: &specs::Bundled, given: Given, outputs: &[&str]) -> Graph {
    let options = compile::Options {
        inputs: given,
        outputs: outputs.iter().map(|name| (*name).to_owned()).collect(),
        ..USUAL.options()
    };
    let (graph, problems) = compile::compile(&calls::program(spec), &options, true);
    graph.unwrap_or_else(|| panic!("{}: {problems:?}", spec.name)).into_inner()
}

#[test]
fn every_spec_in_every_form() {
    for (case, spec) in models() {
        for quantize in [false, true] {
            let graph = graph(&Call { quantize, ..USUAL }, spec);
            for opset in [opset::OLDEST, 17, 21, opset::NEWEST] {
                for folded in [false, true] {
                    let dialect = Dialect { opset, folded, shifted: false };
                    let case = format!("{case}, quantized: {quantize}");
                    agrees(&case, &graph, (&dialect, Layout::default()), &[ODD]);
                }
            }
        }
    }
}

#[test]
fn every_spec_as_onnx_runtime_wants_it() {
    for (case, spec) in models() {
        let (dialect, layout) = FUSED;
        agrees(&case, &graph(&USUAL, spec), (&dialect, layout), &[ODD, LEAST]);
    }
}

#[test]
fn every_way_of_calling_a_spec() {
    for call in CALLS {
        let graph = graph(call, specs::find(call.spec).unwrap());
        let oldest = (Dialect { opset: opset::OLDEST, ..PLAIN }, Layout::default());
        for (dialect, layout) in [oldest, FUSED] {
            agrees(call.case, &graph, (&dialect, layout), &[ODD, LEAST]);
        }
    }
}

#[test]
fn every_spec_with_the_least_inputs() {
    for (case, spec) in models() {
        let graph = given(spec, Given::Only(["input_ids".to_owned()].into()), &[]);
        assert_eq!(graph.inputs.len(), 1);
        agrees(&case, &graph, (&PLAIN, Layout::default()), &[ODD, LEAST, EMPTY]);
    }
}

/// A decoder as it is exported: with a cache that may be empty.
#[test]
fn a_decoder_with_a_cache() {
    let cache = ["past_key_values".to_owned()].into();
    let graph = given(specs::find("causal-lm").unwrap(), Given::With(cache), &["present"]);
    let first = &[("batch", 3), ("seq", 7), ("past", 0)];
    for (dialect, layout) in [(PLAIN, Layout::default()), FUSED] {
        agrees("a cache", &graph, (&dialect, layout), &[ODD, LEAST, first]);
    }
}

/// Every part of the language, but for codes that the runtime has not.
#[test]
fn every_part_of_the_language() {
    for (case, path) in cases::cases("tests/language") {
        let (program, _) = compile::load(&case, &fs::read_to_string(&path).unwrap(), &BundledLibrary);
        if program.model().is_none() {
            continue;
        }
        let (graph, _) = compile::compile(&program, &compile::Options::default(), case != "quantizers");
        let graph = graph.unwrap().into_inner();
        for folded in [false, true] {
            agrees(&case, &graph, (&Dialect { folded, ..PLAIN }, Layout::default()), &[ODD]);
        }
    }
}
