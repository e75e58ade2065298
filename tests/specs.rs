//! Every bundled spec, at every stage, for a small config; and the ways of
//! calling them that make another graph.

#![cfg(test)]

#[path = "support/calls.rs"]
mod calls;
#[path = "support/cases.rs"]
mod cases;
#[path = "support/snapshot.rs"]
mod snapshot;

use calls::{CALLS, CONFIG, Call, SOURCE_KEY, STATES, USUAL, models};
use qdqc::{
    graph::{Graph, print},
    specs, syntax,
    types::DType,
};
use std::{collections::BTreeSet, process::Command};

fn graph(call: &Call) -> Graph {
    call.stages(specs::find(call.spec).unwrap()).pop().unwrap().graph
}

#[test]
fn every_spec_at_every_stage() {
    for (case, path) in cases::cases("specs") {
        let text = std::fs::read_to_string(path).unwrap();
        let tree = syntax::parse(qdqc::span::FileId(0), &text).unwrap();
        snapshot::check("syntax", &case, &syntax::print(&tree, &text));
    }
    for (case, spec) in models() {
        let stages = USUAL.stages(spec);
        for stage in &stages {
            snapshot::check(stage.name, &case, &print::text(&stage.graph));
        }
        let graph = &stages.last().unwrap().graph;
        snapshot::check("ron", &case, &print::ron(graph).unwrap());
        snapshot::check("dot", &case, &print::dot(graph));
    }
}

#[test]
fn every_other_way_of_calling_them() {
    for call in CALLS {
        snapshot::check("calls", call.case, &print::text(&graph(call)));
    }
}

/// `qdqc show --sites`: every site, its quantizer and the rule that put it there.
#[test]
fn every_site_of_every_spec() {
    for (case, _) in models() {
        let mut command = Command::new(env!("CARGO_BIN_EXE_qdqc"));
        command.args(["show", &case, "--sites"]);
        for (name, value) in CONFIG {
            command.args(["--set", &format!("{name}={value}")]);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        snapshot::check("sites", &case, &String::from_utf8(output.stdout).unwrap());
    }
}

/// The quantizers of HuggingFace's QDQBERT, letter for letter: 20 in a layer and
/// 14 more with cross-attention.
fn qdqbert(prefix: &str, layers: usize, cross: bool) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for layer in 0..layers {
        let layer = format!("{prefix}encoder.layer.{layer}");
        let mut add = |name: String| assert!(names.insert(format!("{layer}.{name}")));
        for block in ["attention", "crossattention"].into_iter().take(1 + usize::from(cross)) {
            for side in ["q", "k", "v", "a"] {
                add(format!("{block}.self.matmul_{side}_input_quantizer"));
            }
            for linear in ["self.query", "self.key", "self.value", "output.dense"] {
                add(format!("{block}.{linear}._input_quantizer"));
                add(format!("{block}.{linear}._weight_quantizer"));
            }
            add(format!("{block}.output.add_local_input_quantizer"));
            add(format!("{block}.output.add_residual_input_quantizer"));
        }
        for linear in ["intermediate.dense", "output.dense"] {
            add(format!("{linear}._input_quantizer"));
            add(format!("{linear}._weight_quantizer"));
        }
        add("output.add_local_input_quantizer".into());
        add("output.add_residual_input_quantizer".into());
    }
    names
}

#[test]
fn quantizers_have_the_names_of_qdqbert() {
    assert_eq!(qdqbert("", 1, false).len(), 20);
    assert_eq!(qdqbert("", 1, true).len(), 34);
    assert_eq!(qdqbert("bert.", 12, false).len(), 240);
    let names = |graph: &Graph| -> BTreeSet<String> {
        let names: BTreeSet<String> =
            graph.quantizers.iter().map(|quantizer| quantizer.name.clone()).collect();
        assert_eq!(names.len(), graph.quantizers.len());
        names
    };
    for (case, spec) in models() {
        let bare = ["base-model", "sentence-embedding"].contains(&case.as_str());
        let prefix = if bare { "" } else { "bert." };
        let two = Call { config: &[("num_hidden_layers", "2")], ..USUAL };
        let graph = two.stages(spec).pop().unwrap().graph;
        assert_eq!(names(&graph), qdqbert(prefix, 2, false), "{case}");
    }
    for call in CALLS {
        let cross = call.inputs.contains(&STATES) && !call.inputs.contains(&SOURCE_KEY);
        let layers = if call.config.contains(&("num_hidden_layers", "2")) { 2 } else { 1 };
        let prefix = if call.spec == "base-model" { "" } else { "bert." };
        let mut expected = qdqbert(prefix, layers, cross);
        if call.inputs.contains(&SOURCE_KEY) {
            // The other model's keys and values come from the cache: nothing projects them.
            let unused = ["self.key", "self.value"];
            expected = qdqbert(prefix, layers, true);
            expected.retain(|name| {
                !unused.iter().any(|linear| name.contains(&format!("crossattention.{linear}.")))
            });
        }
        let graph = graph(call);
        assert_eq!(names(&graph), if call.quantize { expected } else { BTreeSet::new() }, "{}", call.case);
    }
}

/// Every quantizer's range is a parameter called `<quantizer>._amax`: one number,
/// or one for each row of a weight.
#[test]
fn ranges_are_stored_as_pytorch_quantization_stores_them() {
    for (case, spec) in models() {
        let graph = USUAL.stages(spec).pop().unwrap().graph;
        for quantizer in &graph.quantizers {
            let name = format!("{}._amax", quantizer.name);
            let range = graph.nodes.iter().find(|node| node.name == name);
            let range = range.unwrap_or_else(|| panic!("{case}: no {name}"));
            let rows = quantizer.name.ends_with("_weight_quantizer");
            let shape: Vec<i64> = range.ty.shape.iter().map(|dim| dim.as_known().unwrap()).collect();
            assert_eq!(range.ty.dtype, DType::F32);
            assert!(
                if rows { shape.len() == 2 && shape[1] == 1 } else { shape.is_empty() },
                "{name}: {shape:?}"
            );
        }
    }
}
