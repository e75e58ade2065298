//! Graphs as ONNX models: their text for every bundled spec, and that every way of
//! calling one has a model.

#![cfg(test)]

#[path = "support/calls.rs"]
mod calls;
#[path = "support/cases.rs"]
mod cases;
#[path = "support/snapshot.rs"]
mod snapshot;
#[path = "support/weights.rs"]
mod weights;

use calls::{CALLS, Call, USUAL, models};
use qdqc::{
    compile::Checked,
    onnx::{self, Layout, Model, Options, opset},
    ops::form::Dialect,
    source::Sources,
    specs,
};
use weights::weights;

fn options(opset: i64, folded: bool, sources: Sources) -> Options {
    Options {
        dialect: Dialect { opset, folded, shifted: false },
        layout: Layout::default(),
        sources,
        description: String::new(),
        metadata: Vec::new(),
    }
}

fn model(call: &Call, spec: &specs::Bundled, options: &Options) -> Model {
    let graph = call.stages(spec).pop().unwrap().graph;
    let weights = weights(&graph);
    let made = onnx::emit(&Checked::new(graph).unwrap(), &weights, options);
    made.unwrap_or_else(|failure| panic!("{} {}: {failure:?}", spec.name, call.case))
}

#[test]
fn every_spec_as_text() {
    for (case, spec) in models() {
        let sources = calls::program(spec).sources;
        let text = model(&USUAL, spec, &options(opset::USUAL, false, sources)).text().unwrap();
        snapshot::check("onnx", &case, &text);
    }
}

/// What ONNX Runtime wants: codes 128 higher, biases of three axes, layer norms apart.
#[test]
fn a_spec_as_onnx_runtime_wants_it() {
    let spec = specs::find("sequence-classification").unwrap();
    let plain = options(opset::USUAL, true, calls::program(spec).sources);
    let fused = Options {
        dialect: Dialect { shifted: true, ..plain.dialect.clone() },
        layout: Layout { wide_biases: true, separate_norms: true },
        ..plain
    };
    snapshot::check("onnx", "sequence-classification-fused", &model(&USUAL, spec, &fused).text().unwrap());
}

/// Every way of calling a spec has a model in the oldest and the newest opset, and the
/// same one each time.
#[test]
fn every_way_of_calling_a_spec_has_a_model() {
    for call in CALLS {
        let spec = specs::find(call.spec).unwrap();
        for opset in [opset::OLDEST, opset::NEWEST] {
            let options = options(opset, opset == opset::NEWEST, Sources::default());
            let bytes = || {
                let mut bytes = Vec::new();
                model(call, spec, &options).write(&mut bytes).unwrap();
                bytes
            };
            assert_eq!(bytes(), bytes(), "{}", call.case);
        }
    }
}
