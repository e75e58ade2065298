//! Every bundled spec for a small config, and the ways of calling them that make
//! another graph.

use crate::cases;
use qdqc::{
    compile::{self, Given, GivenTensor, Options, Program},
    config::Config,
    graph::{print, verify},
    report,
    specs::{self, Bundled, BundledLibrary},
    types::DType,
};
use std::collections::BTreeMap;

/// One layer of the smallest sizes that differ from each other.
pub const CONFIG: &[(&str, &str)] = &[
    ("num_hidden_layers", "1"),
    ("hidden_size", "8"),
    ("num_attention_heads", "2"),
    ("intermediate_size", "16"),
    ("vocab_size", "11"),
    ("max_position_embeddings", "16"),
    ("num_labels", "3"),
];

/// A way of calling a bundled spec that makes a graph of its own.
pub struct Call {
    pub case: &'static str,
    pub spec: &'static str,
    pub config: &'static [(&'static str, &'static str)],
    /// Name, element type and shape; for batch 2, seq 5, past 3, source 4, choices 3.
    pub inputs: &'static [(&'static str, DType, &'static [usize])],
    pub outputs: &'static [&'static str],
    pub quantize: bool,
}

/// The call that gives no more than it must.
pub const USUAL: Call = Call { case: "", spec: "", config: &[], inputs: &[], outputs: &[], quantize: true };

const IDS: (&str, DType, &[usize]) = ("input_ids", DType::I64, &[2, 5]);
const KEY: (&str, DType, &[usize]) = ("past_key_values.0.key", DType::F32, &[2, 2, 3, 4]);
const VALUE: (&str, DType, &[usize]) = ("past_key_values.0.value", DType::F32, &[2, 2, 3, 4]);
pub const SOURCE_KEY: (&str, DType, &[usize]) = ("past_key_values.0.encoder.key", DType::F32, &[2, 2, 4, 4]);
const SOURCE_VALUE: (&str, DType, &[usize]) = ("past_key_values.0.encoder.value", DType::F32, &[2, 2, 4, 4]);
pub const STATES: (&str, DType, &[usize]) = ("encoder_hidden_states", DType::F32, &[2, 4, 8]);
const CLASSES: (&str, DType, &[usize]) = ("labels", DType::I64, &[2]);
const WORDS: (&str, DType, &[usize]) = ("labels", DType::I64, &[2, 5]);
const DECODER: (&str, &str) = ("is_decoder", "true");
const CROSS: (&str, &str) = ("add_cross_attention", "true");

pub const CALLS: &[Call] = &[
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
    /// For which config it is compiled, and how it calls.
    pub fn options(&self) -> Options {
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
    pub fn stages(&self, spec: &Bundled) -> Vec<compile::Stage> {
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
}

/// The spec with what it uses.
pub fn program(spec: &Bundled) -> Program {
    let (program, problems) = compile::load(&spec.source_name(), spec.text, &BundledLibrary);
    assert!(problems.is_empty(), "{}: {problems:?}", spec.name);
    program
}

/// The bundled specs that describe a model, by case.
pub fn models() -> Vec<(String, &'static Bundled)> {
    let models: Vec<_> = cases::cases("specs")
        .into_iter()
        .filter_map(|(case, _)| Some((case.clone(), specs::find(&case).filter(|spec| spec.is_model())?)))
        .collect();
    assert!(models.len() >= 10, "{models:?}");
    models
}
