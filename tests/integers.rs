//! The engine in integers makes what the simulation in float makes, to the bit: every code of
//! every quantizer, and every output.

#![cfg(test)]

#[path = "support/calls.rs"]
mod calls;
#[path = "support/cases.rs"]
mod cases;
#[path = "support/made_up.rs"]
mod made_up;
#[path = "support/snapshot.rs"]
mod snapshot;
#[path = "support/weights.rs"]
mod weights;

use calls::{CALLS, Call, USUAL, models};
use candle_core::{DType, Device, Tensor};
use made_up::{EMPTY, LEAST, ODD, inputs};
use qdqc::{
    backends::{
        candle::{Executor, Inspected},
        integer::{self, Packed},
    },
    compile::{self, Checked},
    graph::Graph,
    specs::{self, BundledLibrary},
};
use std::{collections::BTreeMap, fs};
use weights::weights;

/// What was compared.
#[derive(Debug, Default)]
struct Found {
    quantizers: usize,
    codes: usize,
    /// Products in integers, of all with quantized sides.
    products: (usize, usize),
}

/// Holds that both engines make the same of these inputs.
fn agrees(case: &str, graph: &Graph, sizes: &[&[(&str, i64)]]) -> Found {
    let graph = Checked::new(graph.clone()).unwrap();
    let weights = weights(&graph);
    let inspected = Executor::inspecting(graph.clone(), weights.clone(), &Device::Cpu).unwrap();
    let simulation = Executor::new(graph.clone(), weights.clone(), &Device::Cpu).unwrap();
    let engine = integer::Executor::new(graph, weights, &mut Packed::default()).unwrap();
    let mut found = Found { products: engine.products(), ..Found::default() };
    for sizes in sizes {
        let case = format!("{case}, {sizes:?}");
        let inputs = inputs(simulation.graph(), sizes);
        same(&case, [&simulation, &inspected], &engine, &inputs, &mut found);
    }
    found
}

fn same(
    case: &str,
    [simulation, inspected]: [&Executor; 2],
    engine: &integer::Executor,
    inputs: &BTreeMap<String, Tensor>,
    found: &mut Found,
) {
    let traced = engine.trace(inputs).unwrap_or_else(|failure| panic!("{case}: {failure:?}"));
    let mut compared = 0;
    let mut inspector = |seen: &Inspected<'_>| {
        if let Some(theirs) = seen.names.iter().find_map(|name| traced.quantized.get(*name)) {
            compared += 1;
            found.codes += theirs.elem_count();
            identical(&format!("{case}: {}", seen.names[0]), seen.output, theirs);
        }
        Ok(None)
    };
    let expected = inspected.inspect(inputs, &mut inspector).unwrap();
    assert_eq!(compared, traced.quantized.len(), "{case}: every quantizer is compared");
    found.quantizers += compared;
    let (simulated, again) = (simulation.run(inputs).unwrap(), engine.run(inputs).unwrap());
    for (name, expected) in &expected {
        for made in [&traced.outputs[name], &again[name], &simulated[name]] {
            identical(&format!("{case}: `{name}`"), expected, made);
        }
    }
}

/// Numbers are the same to the bit, but for the sign of 0.
fn identical(case: &str, expected: &Tensor, made: &Tensor) {
    assert_eq!(expected.dims(), made.dims(), "{case}");
    let same = |a: f32, b: f32| a == b || a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
    for (at, (expected, made)) in flat(expected).into_iter().zip(flat(made)).enumerate() {
        assert!(same(expected, made), "{case}: {at} is {made}, not {expected}");
    }
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn graph(call: &Call, spec: &specs::Bundled) -> Graph {
    call.stages(spec).pop().unwrap().graph
}

#[test]
fn every_spec_makes_the_same_codes() {
    for (case, spec) in models() {
        let found = agrees(&case, &graph(&USUAL, spec), &[ODD, LEAST, EMPTY]);
        assert_eq!(found.products, (8, 8), "{case}: every product runs in integers");
        assert!(found.quantizers > 0 && found.codes > 0, "{case}: {found:?}");
    }
}

#[test]
fn every_way_of_calling_a_spec() {
    for call in CALLS.iter().filter(|call| call.quantize) {
        let found = agrees(call.case, &graph(call, specs::find(call.spec).unwrap()), &[ODD, LEAST]);
        assert!(found.products.0 >= 6, "{}: linear layers run in integers: {found:?}", call.case);
    }
}

/// What runs in integers, what does not, and why.
#[test]
fn plans_are_as_reviewed() {
    let plan = |case: &str, graph: Graph| {
        let graph = Checked::new(graph).unwrap();
        let weights = weights(&graph);
        let engine = integer::Executor::new(graph, weights, &mut Packed::default()).unwrap();
        snapshot::check("plan", case, &engine.describe());
    };
    for (case, spec) in models() {
        plan(&case, graph(&USUAL, spec));
    }
    for case in ["base-model-relative-key-query", "causal-lm-cached", "base-model-states-and-attentions"] {
        let call = CALLS.iter().find(|call| call.case == case).unwrap();
        plan(case, graph(call, specs::find(call.spec).unwrap()));
    }
}

/// Larger sizes than tiles and blocks of rows, and not multiples of them.
#[test]
fn sizes_beyond_a_tile() {
    let config = &[
        ("hidden_size", "84"),
        ("num_attention_heads", "3"),
        ("intermediate_size", "150"),
        ("max_position_embeddings", "80"),
        ("num_hidden_layers", "2"),
    ];
    let call = Call { config, ..USUAL };
    let sizes: &[&[(&str, i64)]] =
        &[&[("batch", 3), ("seq", 67)], &[("batch", 1), ("seq", 33)], &[("batch", 5), ("seq", 8)]];
    for spec in ["base-model", "sentence-embedding"] {
        let found = agrees(spec, &graph(&call, specs::find(spec).unwrap()), sizes);
        assert_eq!(found.products, (16, 16));
    }
}

/// Whatever a spec says: what no pattern knows is computed in float.
#[test]
fn every_part_of_the_language() {
    for (case, path) in cases::cases("tests/language") {
        let (program, _) = compile::load(&case, &fs::read_to_string(&path).unwrap(), &BundledLibrary);
        if program.model().is_some() {
            let (graph, _) = compile::compile(&program, &compile::Options::default(), true);
            agrees(&case, &graph.unwrap(), &[ODD]);
        }
    }
}

/// Rows of tokens that are left out may be anything; all else is the same to the bit.
fn unpadded_is_the_same(case: &str, engine: &integer::Executor, inputs: &BTreeMap<String, Tensor>) {
    let whole = engine.run(inputs).unwrap();
    let unpadded = engine.run_unpadded(inputs).unwrap_or_else(|failure| panic!("{case}: {failure:?}"));
    assert!(whole.keys().eq(unpadded.keys()));
    let mask = &inputs["attention_mask"];
    let (tokens, read) = (mask.dims().to_vec(), flat(mask));
    for (name, whole) in &whole {
        let each = whole.elem_count() / read.len().max(1);
        let of_tokens = whole.dims().starts_with(&tokens);
        let pairs = flat(whole).into_iter().zip(flat(&unpadded[name])).enumerate();
        for (at, (whole, unpadded)) in pairs {
            let is_read = !of_tokens || read[at / each.max(1)] != 0.0;
            assert!(!is_read || whole.to_bits() == unpadded.to_bits(), "{case}: `{name}` {at}");
        }
    }
}

#[test]
fn padding_is_not_computed_and_changes_nothing() {
    const SIZES: &[(&str, i64)] = &[("batch", 4), ("seq", 9), ("choices", 3)];
    for (case, spec) in models() {
        let graph = Checked::new(graph(&USUAL, spec)).unwrap();
        let weights = weights(&graph);
        let engine = integer::Executor::new(graph, weights, &mut Packed::default()).unwrap();
        let leaves_out = engine.describe().contains("are not computed");
        assert_eq!(leaves_out, case != "causal-lm", "{case}\n{}", engine.describe());
        let mut inputs = inputs(engine.graph(), SIZES);
        unpadded_is_the_same(&case, &engine, &inputs);
        let tokens = inputs["attention_mask"].dims().to_vec();
        let count = tokens.iter().product::<usize>();
        // To the right, more of it, all of a text, and none.
        let masks: [fn(usize) -> bool; 4] =
            [|at| at % 41 < 37, |at| at % 41 < at / 41 + 2, |at| at / 41 != 1, |_| true];
        for mask in masks {
            let mask = (0..count).map(|at| i64::from(mask(at))).collect();
            let mask = Tensor::from_vec(mask, tokens.as_slice(), &Device::Cpu).unwrap();
            inputs.insert("attention_mask".to_owned(), mask);
            unpadded_is_the_same(&case, &engine, &inputs);
        }
    }
}

/// A mean over all tokens, those left out included, is not what it is without them.
#[test]
fn rows_that_are_mixed_are_all_computed() {
    let text = specs::find("sentence-embedding").unwrap().text;
    let text = text.replace("out.last_hidden_state * attended", "out.last_hidden_state");
    let (program, problems) = compile::load("mean.qdq", &text, &BundledLibrary);
    assert!(problems.is_empty(), "{problems:?}");
    let (graph, _) = compile::compile(&program, &USUAL.options(), true);
    let graph = graph.unwrap();
    let weights = weights(&graph);
    let engine = integer::Executor::new(graph, weights, &mut Packed::default()).unwrap();
    assert!(!engine.describe().contains("are not computed"));
    let inputs = inputs(engine.graph(), ODD);
    unpadded_is_the_same("mean", &engine, &inputs);
}

/// So is what a product brings together, whatever it is joined with.
#[test]
fn rows_that_a_product_mixes_are_all_computed() {
    let text = specs::find("sentence-embedding").unwrap().text;
    let text = text
        .replace("sentence_embedding: f32[batch, hidden_size]", "sentence_embedding: f32[batch, seq]")
        .replace(
            "    let total = sum(out.last_hidden_state * attended, axis: 1)\n",
            "    let states = out.last_hidden_state
    let pairs = states @ transpose(states, axes: [0, 2, 1])
    let total = sum(gelu(pairs) * attended, axis: 1)\n",
        );
    let rules = "quantize all {
    quantizer int = int8(amax: 4.0)
    attach int to lhs of pairs in BertForSentenceEmbedding
    attach int to rhs of pairs in BertForSentenceEmbedding
}\n";
    let (program, problems) = compile::load("pairs.qdq", &(text + rules), &BundledLibrary);
    assert!(problems.is_empty(), "{problems:?}");
    let (graph, problems) = compile::compile(&program, &USUAL.options(), true);
    let graph = graph.unwrap_or_else(|| panic!("{problems:?}"));
    let weights = weights(&graph);
    let engine = integer::Executor::new(graph, weights, &mut Packed::default()).unwrap();
    assert!(engine.describe().contains("matmul of codes, gelu"), "{}", engine.describe());
    assert!(!engine.describe().contains("are not computed"), "{}", engine.describe());
}

/// Where holes are left out, sums are added in another order: what differs is rounding.
#[test]
fn padding_anywhere_is_left_out() {
    let graph = Checked::new(graph(&USUAL, specs::find("sentence-embedding").unwrap())).unwrap();
    let weights = weights(&graph);
    let engine = integer::Executor::new(graph, weights, &mut Packed::default()).unwrap();
    let mut inputs = inputs(engine.graph(), &[("batch", 3), ("seq", 16)]);
    let masks: [fn(usize) -> bool; 2] = [|at| at % 16 > 4, |at| at % 3 != 1];
    for mask in masks {
        let mask = (0..48).map(|at| i64::from(mask(at))).collect();
        inputs.insert("attention_mask".to_owned(), Tensor::from_vec(mask, (3, 16), &Device::Cpu).unwrap());
        let (whole, unpadded) = (engine.run(&inputs).unwrap(), engine.run_unpadded(&inputs).unwrap());
        for (name, whole) in &whole {
            for (whole, unpadded) in flat(whole).iter().zip(flat(&unpadded[name])) {
                assert!((whole - unpadded).abs() < 1e-6, "{name}: {whole} {unpadded}");
            }
        }
    }
}

/// A model in the language, with made-up weights and ranges, in both engines.
fn both(case: &str, text: &str, sizes: &[&[(&str, i64)]]) -> Found {
    let (program, problems) = compile::load(case, text, &BundledLibrary);
    assert!(problems.is_empty(), "{case}: {problems:?}");
    let (graph, problems) = compile::compile(&program, &compile::Options::default(), true);
    agrees(case, &graph.unwrap_or_else(|| panic!("{case}: {problems:?}")), sizes)
}

const ATTENTION: &str = "dim batch, queries, keys
model M(
    q: f32[QB, QH, queries, QD],
    k: f32[KB, KH, keys, QD],
    v: f32[VB, VH, keys, VD],
) -> (y: f32[batch, queries, WIDTH]) {
    let scores = q @ transpose(k, axes: [0, 1, 3, 2])
    let context = softmax(scores / 2) @ v
    return (y: reshape(transpose(context, axes: [0, 2, 1, 3]), shape: [batch, queries, WIDTH]))
}
quantize all {
    quantizer int = int8(amax: 4.0)
    attach int to lhs of scores in M
    attach int to rhs of scores in M
    attach int to lhs of context in M
    attach int to rhs of context in M
}
";

/// Products bring together what has size 1; attention on codes leaves that to candle.
#[test]
fn attention_whose_sides_have_other_sizes() {
    let plain = [("QB", "batch"), ("KB", "batch"), ("VB", "batch")];
    let rest = [("QH", "2"), ("KH", "2"), ("VH", "2"), ("QD", "4"), ("VD", "4"), ("WIDTH", "8")];
    for (case, changed, in_integers) in [
        ("plain", &[][..], 2),
        ("one query for all", &[("QB", "1")][..], 0),
        ("one key and value for all texts", &[("KB", "1"), ("VB", "1")], 0),
        ("one key and value for all heads", &[("KH", "1"), ("VH", "1")], 0),
        ("larger values", &[("VD", "6"), ("WIDTH", "12")], 0),
    ] {
        let mut text = ATTENTION.to_owned();
        for (name, value) in changed.iter().chain(&plain).chain(&rest) {
            text = text.replace(name, value);
        }
        let found = both(case, &text, &[&[("batch", 3), ("queries", 5), ("keys", 7)]]);
        assert_eq!(found.products, (in_integers, 2), "{case}");
        // Nothing to attend to.
        both(case, &text, &[&[("batch", 3), ("queries", 5), ("keys", 0)]]);
    }
}

/// One parameter, quantized in two ways, and two that are called alike in different calls.
#[test]
fn weights_are_told_apart() {
    let text = "dim batch
module Two on (x: f32[batch, 8]) -> f32[batch, 8] {
    first: f32[8, 8]
    second: f32[8, 8]
    let a = x @ transpose(first, axes: [1, 0])
    let b = x @ transpose(first, axes: [1, 0])
    let c = x @ second
    return a + b + c
}
model M(x: f32[batch, 8]) -> (y: f32[batch, 8]) {
    two: Two
    return (y: two(x))
}
quantize all {
    quantizer int = int8(amax: 4.0)
    quantizer fine = int8(amax: 0.5)
    quantizer coarse = int8(amax: 0.25)
    attach int to lhs of a in Two
    attach int to lhs of b in Two
    attach int to lhs of c in Two
    attach fine to rhs of a in Two
    attach coarse to rhs of b in Two
    attach fine to rhs of c in Two
}
";
    assert_eq!(both("two", text, &[&[("batch", 5)]]).products, (3, 3));
}

/// Products of quantized values that are unlike those of a BERT.
#[test]
fn other_products_of_codes() {
    let text = "dim batch
model M(x: f32[batch, 6, 8]) -> (y: f32[batch, 6, 8], z: f32[batch, 6, 8], of: f32[batch, 6, 8]) {
    square: f32[8, 8]
    bias: f32[8]
    mix: f32[6, 6]
    let product = x @ square
    let bent = gelu(gelu(product + bias))
    let kept = x @ transpose(square, axes: [0, 1])
    let mixed = mix @ x
    let again = mix @ bent
    return (y: bent + kept, z: gelu(mixed) + (again + bias), of: product + bias)
}
quantize all {
    quantizer int = int8(amax: 4.0)
    quantizer weights = int8(WHICHamax: 0.5)
    attach int to lhs of product in M
    attach weights to rhs of product in M
    attach int to lhs of kept in M
    attach weights to rhs of kept in M
    attach int to lhs of mixed in M
    attach int to rhs of mixed in M
    attach int to lhs of again in M
    attach int to rhs of again in M
}
";
    for (which, products) in [("", 2), ("axis: 1, ", 2), ("axis: 0, ", 0)] {
        let found = both(which, &text.replace("WHICH", which), &[&[("batch", 3)], &[("batch", 0)]]);
        assert_eq!(found.products, (products, 4), "{which}");
    }
}
