//! Every bundled spec, at every stage, for a small config; and the ways of
//! calling them that make another graph.

#![cfg(test)]

#[path = "support/cases.rs"]
mod cases;
#[path = "support/snapshot.rs"]
mod snapshot;

use qdqc::{
    compile::{self, Given, GivenTensor, Options, Program},
    config::Config,
    graph::{Graph, print, verify},
    report,
    specs::{self, Bundled, BundledLibrary},
    syntax,
    types::DType,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

/// One layer of the smallest sizes that differ from each other.
const CONFIG: &[(&str, &str)] = &[
    ("num_hidden_layers", "1"),
    ("hidden_size", "8"),
    ("num_attention_heads", "2"),
    ("intermediate_size", "16"),
    ("vocab_size", "11"),
    ("max_position_embeddings", "16"),
    ("num_labels", "3"),
];

/// A way of calling a bundled spec that makes a graph of its own.
struct Call {
    case: &'static str,
    spec: &'static str,
    config: &'static [(&'static str, &'static str)],
    /// Name, element type and shape; for batch 2, seq 5, past 3, source 4, choices 3.
    inputs: &'static [(&'static str, DType, &'static [usize])],
    outputs: &'static [&'static str],
    quantize: bool,
}

/// The call that gives no more than it must.
const USUAL: Call = Call { case: "", spec: "", config: &[], inputs: &[], outputs: &[], quantize: true };

const IDS: (&str, DType, &[usize]) = ("input_ids", DType::I64, &[2, 5]);
const KEY: (&str, DType, &[usize]) = ("past_key_values.0.key", DType::F32, &[2, 2, 3, 4]);
const VALUE: (&str, DType, &[usize]) = ("past_key_values.0.value", DType::F32, &[2, 2, 3, 4]);
const SOURCE_KEY: (&str, DType, &[usize]) = ("past_key_values.0.encoder.key", DType::F32, &[2, 2, 4, 4]);
const SOURCE_VALUE: (&str, DType, &[usize]) = ("past_key_values.0.encoder.value", DType::F32, &[2, 2, 4, 4]);
const STATES: (&str, DType, &[usize]) = ("encoder_hidden_states", DType::F32, &[2, 4, 8]);
const CLASSES: (&str, DType, &[usize]) = ("labels", DType::I64, &[2]);
const WORDS: (&str, DType, &[usize]) = ("labels", DType::I64, &[2, 5]);
const DECODER: (&str, &str) = ("is_decoder", "true");
const CROSS: (&str, &str) = ("add_cross_attention", "true");

const CALLS: &[Call] = &[
    Call { case: "base-model-float", spec: "base-model", quantize: false, ..USUAL },
    Call {
        case: "base-model-relative-key",
        spec: "base-model",
        config: &[("position_embedding_type", "relative_key")],
        ..USUAL
    },
    Call {
        case: "base-model-relative-key-query",
        spec: "base-model",
        config: &[("position_embedding_type", "relative_key_query")],
        ..USUAL
    },
    Call { case: "base-model-decoder", spec: "base-model", config: &[DECODER], ..USUAL },
    Call {
        case: "base-model-mask-for-each-query",
        spec: "base-model",
        inputs: &[IDS, ("attention_mask", DType::F32, &[2, 5, 5])],
        ..USUAL
    },
    Call {
        case: "base-model-embeddings-given",
        spec: "base-model",
        inputs: &[
            ("inputs_embeds", DType::F32, &[2, 5, 8]),
            ("position_ids", DType::I64, &[1, 5]),
            ("token_type_ids", DType::I64, &[2, 5]),
        ],
        ..USUAL
    },
    Call {
        case: "base-model-heads-silenced",
        spec: "base-model",
        inputs: &[IDS, ("head_mask", DType::F32, &[1, 2])],
        ..USUAL
    },
    Call {
        case: "base-model-states-and-attentions",
        spec: "base-model",
        config: &[("num_hidden_layers", "2")],
        outputs: &["hidden_states", "attentions"],
        ..USUAL
    },
    Call {
        case: "causal-lm-cached",
        spec: "causal-lm",
        inputs: &[IDS, KEY, VALUE, ("attention_mask", DType::I64, &[2, 8])],
        outputs: &["present"],
        ..USUAL
    },
    Call {
        case: "causal-lm-cached-relative-key-query",
        spec: "causal-lm",
        config: &[("position_embedding_type", "relative_key_query")],
        inputs: &[IDS, KEY, VALUE],
        ..USUAL
    },
    Call {
        case: "causal-lm-cross-attention",
        spec: "causal-lm",
        config: &[DECODER, CROSS],
        inputs: &[IDS, STATES, ("encoder_attention_mask", DType::I64, &[2, 4])],
        outputs: &["cross_attentions", "present"],
        ..USUAL
    },
    Call {
        case: "causal-lm-cross-attention-cached",
        spec: "causal-lm",
        config: &[DECODER, CROSS],
        inputs: &[IDS, STATES, KEY, VALUE, SOURCE_KEY, SOURCE_VALUE],
        outputs: &["present"],
        ..USUAL
    },
    Call { case: "causal-lm-loss", spec: "causal-lm", inputs: &[IDS, WORDS], ..USUAL },
    Call { case: "masked-lm-loss", spec: "masked-lm", inputs: &[IDS, WORDS], ..USUAL },
    Call {
        case: "masked-lm-untied",
        spec: "masked-lm",
        config: &[("tie_word_embeddings", "false")],
        ..USUAL
    },
    Call {
        case: "multiple-choice-loss",
        spec: "multiple-choice",
        inputs: &[("input_ids", DType::I64, &[2, 3, 5]), CLASSES],
        ..USUAL
    },
    Call {
        case: "next-sentence-prediction-loss",
        spec: "next-sentence-prediction",
        inputs: &[IDS, ("labels", DType::I64, &[2, 1])],
        ..USUAL
    },
    Call {
        case: "pre-training-loss",
        spec: "pre-training",
        inputs: &[IDS, WORDS, ("next_sentence_label", DType::I64, &[2])],
        ..USUAL
    },
    Call {
        case: "question-answering-loss",
        spec: "question-answering",
        inputs: &[IDS, ("start_positions", DType::I64, &[2]), ("end_positions", DType::I64, &[2, 1])],
        ..USUAL
    },
    Call {
        case: "sequence-classification-inferred-classes",
        spec: "sequence-classification",
        inputs: &[IDS, CLASSES],
        ..USUAL
    },
    Call {
        case: "sequence-classification-inferred-labels",
        spec: "sequence-classification",
        inputs: &[IDS, ("labels", DType::F32, &[2, 3])],
        ..USUAL
    },
    Call {
        case: "sequence-classification-one-number",
        spec: "sequence-classification",
        config: &[("num_labels", "1")],
        inputs: &[IDS, ("labels", DType::F32, &[2])],
        ..USUAL
    },
    Call {
        case: "sequence-classification-regression",
        spec: "sequence-classification",
        config: &[("problem_type", "regression")],
        inputs: &[IDS, ("labels", DType::F32, &[2, 3])],
        ..USUAL
    },
    Call {
        case: "sequence-classification-single-label",
        spec: "sequence-classification",
        config: &[("problem_type", "single_label_classification")],
        inputs: &[IDS, CLASSES],
        ..USUAL
    },
    Call {
        case: "sequence-classification-multi-label",
        spec: "sequence-classification",
        config: &[("problem_type", "multi_label_classification")],
        inputs: &[IDS, ("labels", DType::I64, &[2, 3])],
        ..USUAL
    },
    Call { case: "token-classification-loss", spec: "token-classification", inputs: &[IDS, WORDS], ..USUAL },
];

impl Call {
    fn options(&self) -> Options {
        let mut config = Config::default();
        for (name, value) in CONFIG.iter().chain(self.config) {
            config.set_text(&format!("{name}={value}")).unwrap();
        }
        let given: BTreeMap<String, GivenTensor> = self
            .inputs
            .iter()
            .map(|(name, dtype, shape)| {
                ((*name).to_owned(), GivenTensor { dtype: *dtype, shape: shape.to_vec() })
            })
            .collect();
        let inputs = if given.is_empty() { Given::Default } else { Given::Exactly(given) };
        Options { config, inputs, outputs: self.outputs.iter().map(|name| (*name).to_owned()).collect() }
    }

    /// The graph after every step; each holds together, and a second run makes the same.
    fn stages(&self, spec: &Bundled) -> Vec<compile::Stage> {
        let program = program(spec);
        let (stages, problems) = compile::stages(&program, &self.options(), self.quantize);
        let drawn = report::render(&problems, &program.sources, false);
        assert!(problems.is_empty(), "{} {}:\n{drawn}", spec.name, self.case);
        let (again, _) = compile::stages(&program, &self.options(), self.quantize);
        for (stage, again) in stages.iter().zip(&again) {
            if stage.name != "resolve" {
                verify(&stage.graph)
                    .unwrap_or_else(|fault| panic!("{} after {}: {fault:?}", spec.name, stage.name));
            }
            assert_eq!(print::text(&stage.graph), print::text(&again.graph), "{}", spec.name);
            assert_eq!(print::dot(&stage.graph), print::dot(&again.graph), "{}", spec.name);
            assert_eq!(print::ron(&stage.graph), print::ron(&again.graph), "{}", spec.name);
        }
        stages
    }

    fn graph(&self) -> Graph {
        self.stages(specs::find(self.spec).unwrap()).pop().unwrap().graph
    }
}

fn program(spec: &Bundled) -> Program {
    let (program, problems) = compile::load(&spec.source_name(), spec.text, &BundledLibrary);
    assert!(problems.is_empty(), "{}: {problems:?}", spec.name);
    program
}

/// The bundled specs that describe a model, by case.
fn models() -> Vec<(String, &'static Bundled)> {
    let models: Vec<_> = cases::cases("specs")
        .into_iter()
        .filter_map(|(case, _)| Some((case.clone(), specs::find(&case).filter(|spec| spec.is_model())?)))
        .collect();
    assert!(models.len() >= 10, "{models:?}");
    models
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
        snapshot::check("calls", call.case, &print::text(&call.graph()));
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
        let graph = call.graph();
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
