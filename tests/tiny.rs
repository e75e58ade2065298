//! The checkpoint in `tests/tiny`: a BERT of 2 layers with every head, for tests
//! and for trying things out. Its weights are random and its quantizers' ranges
//! made up, so its answers mean nothing.
//!
//! `INSTA_UPDATE=always cargo test --test tiny` writes it anew, as it does snapshots.

#![cfg(test)]

use safetensors::{Dtype, tensor::TensorView};
use serde_json::json;
use std::{collections::HashMap, fs, path::PathBuf};

const HIDDEN: usize = 32;
const INTERMEDIATE: usize = 64;
const LAYERS: usize = 2;
const POSITIONS: usize = 128;
const LABELS: [&str; 3] = ["negative", "neutral", "positive"];

/// What activations are taken to reach; layer norms keep them there.
const ACTIVATION_RANGE: f32 = 4.0;

const WORDS: &str = "the a an of to and in is was are be it he she they we you i who what where when why how \
    not no yes this that with for on at by from as or but if then all one two three new old good bad great \
    small big long short first last man woman child people day year time world city country house water \
    book film story word name work life hand eye part place case week company number point group problem \
    fact paris france london england berlin germany rome italy capital river food music red green blue \
    black white dog cat horse bird fish tree sun moon star king queen love war peace makes made make goes \
    went go sees saw see says said say wrote write reads read lives lived live likes liked like has had \
    have can could will would may do does did very more most much many some any only also well";

#[test]
fn the_files_are_what_this_program_makes() {
    let write = std::env::var_os("INSTA_UPDATE").is_some_and(|value| value == "always");
    for (name, bytes) in files() {
        let path = folder().join(name);
        if write {
            fs::create_dir_all(folder()).unwrap();
            fs::write(&path, &bytes).unwrap();
        }
        let found = fs::read(&path).unwrap_or_default();
        assert!(
            found == bytes,
            "tests/tiny/{name} differs: run `INSTA_UPDATE=always cargo test --test tiny`"
        );
    }
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/tiny")
}

fn files() -> [(&'static str, Vec<u8>); 4] {
    let vocabulary = vocabulary();
    let config = json!({
        "architectures": ["BertForPreTraining"],
        "model_type": "bert",
        "vocab_size": vocabulary.len(),
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "intermediate_size": INTERMEDIATE,
        "hidden_act": "gelu",
        "max_position_embeddings": POSITIONS,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "pad_token_id": 0,
        "id2label": { "0": LABELS[0], "1": LABELS[1], "2": LABELS[2] },
        "label2id": { LABELS[0]: 0, LABELS[1]: 1, LABELS[2]: 2 },
    });
    let tokenizer = json!({
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": true,
        "model_max_length": POSITIONS,
        "unk_token": "[UNK]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
    });
    let pretty = |value| format!("{value:#}\n").into_bytes();
    [
        ("config.json", pretty(config)),
        ("tokenizer_config.json", pretty(tokenizer)),
        ("vocab.txt", (vocabulary.join("\n") + "\n").into_bytes()),
        ("model.safetensors", Weights::all(vocabulary.len()).file()),
    ]
}

/// Special tokens, marks, letters and digits alone and inside words, words.
fn vocabulary() -> Vec<String> {
    let special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(str::to_owned);
    let marks = "!\"#$%&'()*+,-./:;<=>?@[]_".chars().map(String::from);
    let letters = || ('a'..='z').chain('0'..='9');
    let mut vocabulary: Vec<String> = special.into_iter().chain(marks).collect();
    vocabulary.extend(letters().map(String::from));
    vocabulary.extend(letters().map(|letter| format!("##{letter}")));
    vocabulary.extend(["##ed", "##ing", "##er", "##ly"].map(str::to_owned));
    vocabulary.extend(WORDS.split_whitespace().filter(|word| word.len() > 1).map(str::to_owned));
    vocabulary
}

/// Tensors under HuggingFace's names, filled with random numbers.
struct Weights {
    tensors: Vec<(String, Vec<usize>, Vec<f32>)>,
    random: u64,
}

impl Weights {
    fn all(words: usize) -> Weights {
        let mut weights = Weights { tensors: Vec::new(), random: 2004_09602 };
        for (name, rows) in [("word", words), ("position", POSITIONS), ("token_type", 2)] {
            weights.matrix(&format!("bert.embeddings.{name}_embeddings.weight"), rows, HIDDEN, 0.5);
        }
        weights.layer_norm("bert.embeddings.LayerNorm");
        for layer in 0..LAYERS {
            weights.layer(&format!("bert.encoder.layer.{layer}"));
        }
        weights.linear("bert.pooler.dense", HIDDEN, HIDDEN);
        weights.linear("cls.predictions.transform.dense", HIDDEN, HIDDEN);
        weights.layer_norm("cls.predictions.transform.LayerNorm");
        weights.vector("cls.predictions.bias", words, 0.0, 0.05);
        weights.linear("cls.seq_relationship", 2, HIDDEN);
        weights.linear("classifier", LABELS.len(), HIDDEN);
        weights.linear("qa_outputs", 2, HIDDEN);
        weights
    }

    fn layer(&mut self, at: &str) {
        for name in ["query", "key", "value"] {
            self.quantized_linear(&format!("{at}.attention.self.{name}"), HIDDEN, HIDDEN);
        }
        for port in ["q", "k", "v", "a"] {
            let reach = if port == "a" { 1.0 } else { ACTIVATION_RANGE };
            self.range(&format!("{at}.attention.self.matmul_{port}_input_quantizer"), reach);
        }
        self.residual(&format!("{at}.attention.output"), HIDDEN);
        self.quantized_linear(&format!("{at}.intermediate.dense"), INTERMEDIATE, HIDDEN);
        self.residual(&format!("{at}.output"), INTERMEDIATE);
    }

    fn residual(&mut self, at: &str, columns: usize) {
        self.quantized_linear(&format!("{at}.dense"), HIDDEN, columns);
        for port in ["local", "residual"] {
            self.range(&format!("{at}.add_{port}_input_quantizer"), ACTIVATION_RANGE);
        }
        self.layer_norm(&format!("{at}.LayerNorm"));
    }

    fn quantized_linear(&mut self, at: &str, rows: usize, columns: usize) {
        let weight = self.linear(at, rows, columns);
        let reach = |row: &[f32]| row.iter().fold(0.0, |reach: f32, value| reach.max(value.abs()));
        let ranges = weight.chunks(columns).map(reach).collect();
        self.tensors.push((format!("{at}._weight_quantizer._amax"), vec![rows, 1], ranges));
        self.range(&format!("{at}._input_quantizer"), ACTIVATION_RANGE);
    }

    fn linear(&mut self, at: &str, rows: usize, columns: usize) -> Vec<f32> {
        self.vector(&format!("{at}.bias"), rows, 0.0, 0.02);
        self.matrix(&format!("{at}.weight"), rows, columns, 0.18)
    }

    fn layer_norm(&mut self, at: &str) {
        self.vector(&format!("{at}.weight"), HIDDEN, 1.0, 0.1);
        self.vector(&format!("{at}.bias"), HIDDEN, 0.0, 0.05);
    }

    fn range(&mut self, quantizer: &str, reach: f32) {
        self.tensors.push((format!("{quantizer}._amax"), Vec::new(), vec![reach]));
    }

    fn matrix(&mut self, name: &str, rows: usize, columns: usize, spread: f32) -> Vec<f32> {
        let values: Vec<f32> = (0..rows * columns).map(|_| spread * self.draw()).collect();
        self.tensors.push((name.to_owned(), vec![rows, columns], values.clone()));
        values
    }

    fn vector(&mut self, name: &str, size: usize, mean: f32, spread: f32) {
        let values = (0..size).map(|_| mean + spread * self.draw()).collect();
        self.tensors.push((name.to_owned(), vec![size], values));
    }

    /// About a standard normal number: four uniform ones, summed and scaled.
    /// Exact on every machine, as no logarithm is.
    fn draw(&mut self) -> f32 {
        let sum: u32 = (0..4).map(|_| (self.next() >> 48) as u32).sum();
        (sum as f32 / 65536.0 - 2.0) * 1.732_050_8
    }

    /// SplitMix64: Steele, Lea, Flood, OOPSLA 2014.
    fn next(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn file(&self) -> Vec<u8> {
        let bytes: Vec<Vec<u8>> = self
            .tensors
            .iter()
            .map(|(_, _, values)| values.iter().flat_map(|v| v.to_le_bytes()).collect())
            .collect();
        let views = self.tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
            (name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
        });
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        safetensors::serialize(views, Some(metadata)).unwrap()
    }
}
