//! The reference set, computed by HuggingFace's QDQBERT and pytorch-quantization. It
//! lies beside the repository (`../shared/reference`); where it is absent tests say so
//! and check nothing.

use candle_core::{Device, Tensor, safetensors};
use serde_json::Value;
use std::{
    collections::HashMap,
    io::Write,
    path::{Path, PathBuf},
};

/// Tensors by name.
pub type Tensors = HashMap<String, Tensor>;

/// A folder beside the repository, or a line that it is absent.
pub fn beside(folder: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(folder);
    if path.is_dir() {
        return Some(path);
    }
    // Straight to the terminal: the test harness keeps what `eprintln!` says of a passing test.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {} is not here", path.display());
    None
}

/// The reference set, or a line that it is absent.
pub fn reference() -> Option<PathBuf> {
    beside("reference")
}

/// The bundled spec of a reference class.
pub fn spec(class: &str) -> &'static str {
    match class {
        "QDQBertModel" => "base-model",
        "QDQBertLMHeadModel" => "causal-lm",
        "QDQBertForMaskedLM" => "masked-lm",
        "QDQBertForNextSentencePrediction" => "next-sentence-prediction",
        "QDQBertForSequenceClassification" => "sequence-classification",
        "QDQBertForMultipleChoice" => "multiple-choice",
        "QDQBertForTokenClassification" => "token-classification",
        "QDQBertForQuestionAnswering" => "question-answering",
        other => panic!("no spec for {other}"),
    }
}

/// A manifest.
pub fn json(path: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The tensors of a file.
pub fn load(path: &Path) -> Tensors {
    safetensors::load(path, &Device::Cpu).unwrap()
}
