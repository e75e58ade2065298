//! A model made of one function, and one run of it.

use candle_core::{Device, Tensor};
use qdqc::answer::{Answer, AnswerKind};
use qdqc::config::Config;
use qdqc::failure::Failure;
use qdqc::tasks::{
    Columns, Format, Options, Problem, Records, Reply, Runner, Summary, Tokenizer, run_records,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Cursor;

const VOCABULARY: [&str; 16] = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "##s", "sat", ".", "on", "mat", "a", "dog",
    "in", "paris",
];

pub type Tensors = BTreeMap<String, Tensor>;

/// A model made of one function.
pub struct Fake<F>(pub F);

impl<F: FnMut(&Tensors, &[&str]) -> Result<Tensors, Failure>> Runner for Fake<F> {
    fn run(&mut self, inputs: &Tensors, request: &[&str]) -> Result<Tensors, Failure> {
        (self.0)(inputs, request)
    }
}

pub fn ids(inputs: &Tensors) -> Vec<Vec<i64>> {
    inputs["input_ids"].to_vec2().unwrap()
}

/// An output `[batch, n]`.
pub fn lists(rows: Vec<Vec<f32>>) -> Tensor {
    let shape = (rows.len(), rows[0].len());
    Tensor::from_vec(rows.concat(), shape, &Device::Cpu).unwrap()
}

/// An output `[batch, seq, n]` from what it is at each token id and position.
pub fn at_tokens(inputs: &Tensors, n: usize, score: impl Fn(i64, usize) -> Vec<f32>) -> Tensor {
    let ids = ids(inputs);
    let values: Vec<f32> =
        ids.iter().flat_map(|row| row.iter().enumerate().flat_map(|(at, id)| score(*id, at))).collect();
    Tensor::from_vec(values, (ids.len(), ids[0].len(), n), &Device::Cpu).unwrap()
}

pub fn named<const N: usize>(outputs: [(&str, Tensor); N]) -> Result<Tensors, Failure> {
    Ok(outputs.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect())
}

/// One run of a model over records, and what came out.
pub struct Case {
    pub config: Value,
    pub answers: Vec<Answer>,
    pub options: Options,
    pub records: Vec<Value>,
}

pub fn case(kind: AnswerKind, outputs: &[&str], records: Vec<Value>) -> Case {
    let answers = vec![answer(kind, outputs)];
    Case { config: json!({}), answers, options: Options::default(), records }
}

pub fn answer(kind: AnswerKind, outputs: &[&str]) -> Answer {
    Answer { kind, outputs: outputs.iter().map(|name| (*name).to_owned()).collect() }
}

pub fn tokenizer(config: &Config) -> Tokenizer {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("vocab.txt"), VOCABULARY.join("\n")).unwrap();
    Tokenizer::load(folder.path(), config).unwrap()
}

impl Case {
    fn config(&self) -> Config {
        let Value::Object(fields) = self.config.clone() else { panic!("an object") };
        Config::new(fields, "config.json")
    }

    pub fn try_run(
        &self,
        model: impl FnMut(&Tensors, &[&str]) -> Result<Tensors, Failure>,
    ) -> Result<(Vec<Result<Reply, Problem>>, Summary), Failure> {
        let lines: Vec<String> = self.records.iter().map(Value::to_string).collect();
        let file = Box::new(Cursor::new(lines.join("\n").into_bytes()));
        let records = Records::read(file, "in", Some(Format::Jsonl), Columns::default())?;
        let config = self.config();
        let mut replies = Vec::new();
        let mut sink = |reply| {
            replies.push(reply);
            Ok(())
        };
        let (tokenizer, mut model) = (tokenizer(&config), Fake(model));
        let summary =
            run_records(records, &tokenizer, &config, &self.answers, &self.options, &mut model, &mut sink)?;
        Ok((replies, summary))
    }

    pub fn run(&self, model: impl FnMut(&Tensors, &[&str]) -> Result<Tensors, Failure>) -> Vec<Reply> {
        self.try_run(model).unwrap().0.into_iter().map(Result::unwrap).collect()
    }

    /// The JSON of every reply, with scores of four digits.
    pub fn json(&self, model: impl FnMut(&Tensors, &[&str]) -> Result<Tensors, Failure>) -> Vec<Value> {
        self.run(model).iter().map(|reply| rounded(serde_json::to_value(reply).unwrap())).collect()
    }
}

pub fn rounded(value: Value) -> Value {
    match value {
        Value::Number(number) if number.is_f64() => json!((number.as_f64().unwrap() * 1e4).round() / 1e4),
        Value::Array(values) => values.into_iter().map(rounded).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, rounded(value))).collect(),
        value => value,
    }
}
