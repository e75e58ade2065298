//! Records as training batches: every head's batches fit its spec's loss, and real files become the examples
//! that HuggingFace's scripts make of them.
//!
//! The expected sums were computed with the `tokenizers` package and the alignment of HuggingFace's
//! `run_qa.py` and `run_ner.py`. The files lie beside the repository (`../shared/data`); where they are absent
//! the tests say so and check nothing.

#![cfg(test)]

use candle_core::{Device, Tensor, safetensors};
use qdqc::{
    answer::{Answer, AnswerKind},
    checkpoint::{Checkpoint, HubOptions},
    compile,
    config::Config,
    session::{Engine, Integers, Session},
    specs::{self, BundledLibrary},
    tasks::{
        Columns, Format, Options, Record, Records, Tokenizer,
        training::{Batch, Dataset, labels},
    },
    types::DType,
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    path::{Path, PathBuf},
};

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tiny");

/// A spec, its config's settings, a file's extension and its text.
type HeadCase = (&'static str, &'static [&'static str], Format, &'static str);

const HEADS: &[HeadCase] = &[
    (
        "sequence-classification",
        &[],
        Format::Tsv,
        "sentence\tlabel\nthe good film\tpositive\na bad film of the year\t0\nthe king\tneutral\n",
    ),
    (
        "sequence-classification",
        &["num_labels=1", "id2label=null", "label2id=null"],
        Format::Csv,
        "sentence1,sentence2,score\nthe good film,a good film,4.5\na bad film,the king,0.25\n",
    ),
    (
        "sequence-classification",
        &["problem_type=regression"],
        Format::Jsonl,
        "{\"text\": \"the king\", \"label\": [1.5, 2, -3]}\n{\"text\": \"a\", \"label\": [0, 0.5, 0]}\n",
    ),
    (
        "sequence-classification",
        &["problem_type=multi_label_classification"],
        Format::Jsonl,
        "{\"text\": \"the king\", \"labels\": [\"neutral\", \"positive\"]}\n{\"text\": \"a\", \"labels\": []}\n",
    ),
    (
        "token-classification",
        &[],
        Format::Conll,
        "the negative\nking neutral\nlived positive\n\nlondon positive\n",
    ),
    (
        "question-answering",
        &[],
        Format::Squad,
        r#"{"data": [{"paragraphs": [{"context": "the king lived in paris", "qas": [
            {"id": "1", "question": "where", "answers": [{"text": "paris", "answer_start": 18}]},
            {"id": "2", "question": "who", "answers": [{"text": "the king", "answer_start": 0}]}]}]}]}"#,
    ),
    (
        "multiple-choice",
        &[],
        Format::Jsonl,
        "{\"text\": \"the king\", \"choices\": [\"lived\", \"likes a book\", \"a\"], \"label\": 1}\n\
         {\"text\": \"a dog\", \"choices\": [\"sees\", \"red\", \"one\"], \"label\": 2}\n",
    ),
    ("masked-lm", &[], Format::Txt, "the king lived in paris\na dog\n"),
    ("causal-lm", &["is_decoder=true"], Format::Txt, "the king lived in paris\na dog\n"),
    ("next-sentence-prediction", &[], Format::Txt, "the king\nlived in paris\n\na dog\nsees\na cat\n"),
    ("pre-training", &[], Format::Txt, "the king\nlived in paris\n\na dog\nsees\na cat\n"),
];

#[test]
fn batches_of_every_head_have_a_loss() {
    let one_score = with_one_score();
    let mut learned = BTreeSet::new();
    for (spec, settings, format, text) in HEADS {
        let scores_once = *spec == "multiple-choice" || settings.contains(&"num_labels=1");
        let folder = if scores_once { one_score.path() } else { Path::new(TINY) };
        let mut session = session(spec, folder, settings);
        let answers = session.prepare().unwrap();
        let tokenizer = Tokenizer::load(Path::new(TINY), session.config()).unwrap();
        let config = session.config().clone();
        let file = Box::new(std::io::Cursor::new(text.as_bytes()));
        let records = Records::read(file, "in", Some(*format), Columns::default()).unwrap();
        let records = records.map(Result::unwrap).collect();
        let data = Dataset::new(&tokenizer, &config, &answers, Options::default(), records)
            .unwrap_or_else(|problem| panic!("{spec}: {problem}"));
        for examples in data.epoch(0) {
            let batch = data.batch(&examples, 0).unwrap();
            assert_eq!(session.own_inputs(&batch.inputs).len(), batch.inputs.len(), "{spec} {settings:?}");
            let outputs = session.call(&batch.inputs, &BTreeSet::new());
            let outputs = outputs.unwrap_or_else(|failure| panic!("{spec} {settings:?}: {failure}"));
            let loss = outputs["loss"].to_scalar::<f32>().unwrap();
            assert!(loss.is_finite() && loss > 0.0, "{spec} {settings:?}: {loss}");
        }
        learned.insert(*spec);
    }
    let with_loss = specs::ALL.iter().filter(|spec| spec.text.contains("loss:")).map(|spec| spec.name);
    let with_loss: BTreeSet<&str> = with_loss.filter(|name| !name.contains('/')).collect();
    assert_eq!(learned, with_loss, "left: of HEADS; right: the bundled specs with a loss");
}

/// A bundled spec with the checkpoint of a folder, in float.
fn session(spec: &str, folder: &Path, settings: &[&str]) -> Session {
    let text = specs::find(spec).unwrap().text;
    let (program, problems) = compile::load(&format!("{spec}.qdq"), text, &BundledLibrary);
    assert!(problems.is_empty(), "{problems:?}");
    let mut checkpoint = Checkpoint::open(folder.to_str().unwrap(), &HubOptions::from_env()).unwrap();
    for setting in settings {
        checkpoint.config.set_text(setting).unwrap();
    }
    Session::new(
        program,
        checkpoint,
        Engine { device: Device::Cpu, dtype: DType::F32, quantize: false, integers: Integers::Never },
    )
}

/// The tiny checkpoint with a classifier that gives one score.
fn with_one_score() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["config.json", "tokenizer_config.json", "vocab.txt"] {
        std::fs::copy(Path::new(TINY).join(name), folder.path().join(name)).unwrap();
    }
    let mut weights = safetensors::load(Path::new(TINY).join("model.safetensors"), &Device::Cpu).unwrap();
    for name in ["classifier.weight", "classifier.bias"] {
        let one = weights[name].narrow(0, 0, 1).unwrap().contiguous().unwrap();
        weights.insert(name.to_owned(), one);
    }
    safetensors::save(&weights, folder.path().join("model.safetensors")).unwrap();
    folder
}

/// The tokenizer and the config of a real model.
struct Real {
    data: PathBuf,
    tokenizer: Tokenizer,
    config: Config,
}

fn real() -> Option<Real> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    if !data.is_dir() {
        // Straight to the terminal: the test harness keeps what `eprintln!` says of a passing test.
        let _ = writeln!(std::io::stderr(), "SKIPPED: {} is not here", data.display());
        return None;
    }
    let folder = data.join("all-MiniLM-L6-v2-f16");
    let text = std::fs::read_to_string(folder.join("config.json")).unwrap();
    let config = Config::parse(&text, "config.json").unwrap();
    Some(Real { tokenizer: Tokenizer::load(folder.as_path(), &config).unwrap(), data, config })
}

impl Real {
    fn records(&self, path: &str, format: Format, columns: &str) -> Vec<Record> {
        let columns = match columns {
            "" => Columns::default(),
            columns => columns.parse().unwrap(),
        };
        let records = Records::open(&self.data.join(path), Some(format), columns).unwrap();
        records.map(Result::unwrap).collect()
    }

    /// The records as examples, once their labels are laid over the config.
    fn dataset<'a>(
        &'a mut self,
        answers: &'a [Answer],
        options: Options,
        records: Vec<Record>,
    ) -> Dataset<'a> {
        if let Some(labels) = labels(&records, answers, &self.config).unwrap() {
            labels.lay_over(&mut self.config);
        }
        Dataset::new(&self.tokenizer, &self.config, answers, options, records).unwrap()
    }
}

fn answers(kind: AnswerKind) -> [Answer; 1] {
    [Answer { kind, outputs: vec!["logits".into()] }]
}

/// Every batch of the first epoch. Each example is in one of them.
fn batches(data: &Dataset<'_>) -> Vec<Batch> {
    let epoch = data.epoch(0);
    let mut all = epoch.concat();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..data.len()));
    epoch.iter().map(|examples| data.batch(examples, 0).unwrap()).collect()
}

fn tokens(batches: &[Batch]) -> usize {
    batches.iter().map(|batch| batch.tokens).sum()
}

/// Of a label input the numbers that are not ignored.
fn numbers(batches: &[Batch], name: &str) -> Vec<i64> {
    let all = batches.iter().flat_map(|batch| integers(&batch.inputs[name]));
    all.filter(|number| *number != -100).collect()
}

fn integers(tensor: &Tensor) -> Vec<i64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// How much of the batches is padding.
fn padding(batches: &[Batch]) -> f64 {
    let cells: usize = batches.iter().map(|batch| batch.inputs["input_ids"].elem_count()).sum();
    1.0 - tokens(batches) as f64 / cells as f64
}

#[test]
fn sentiment_of_sst_2() {
    let Some(mut real) = real() else { return };
    let answers = answers(AnswerKind::Labels);
    let records = real.records("sst-2/train.tsv", Format::Tsv, "");
    let data = real.dataset(&answers, Options { batch: 16, seed: 1, ..Options::default() }, records);
    assert_eq!((data.len(), data.truncated(), data.skipped()), (67349, 0, 0));
    let made = batches(&data);
    assert_eq!(made.len(), 67349_usize.div_ceil(16));
    assert_eq!(tokens(&made), 897_039);
    assert_eq!(numbers(&made, "labels").iter().sum::<i64>(), 37569);
    let order: Vec<usize> = (0..data.len()).step_by(10).collect();
    let unsorted: Vec<Batch> = order.chunks(16).map(|examples| data.batch(examples, 0).unwrap()).collect();
    assert!(padding(&made) < padding(&unsorted) / 10.0, "{} of {}", padding(&made), padding(&unsorted));
}

#[test]
fn similarity_of_sts_b() {
    let Some(mut real) = real() else { return };
    let answers = answers(AnswerKind::Labels);
    let records = real.records("sts-b/train.tsv", Format::Tsv, "text=6,pair=7,label=5");
    let data = real.dataset(&answers, Options::default(), records);
    assert_eq!((data.len(), data.truncated(), data.skipped()), (5749, 0, 0));
    let made = batches(&data);
    assert_eq!(tokens(&made), 159_879);
    let scores = made.iter().flat_map(|batch| batch.inputs["labels"].to_vec1::<f32>().unwrap());
    let sum: f64 = scores.map(f64::from).sum();
    assert!((sum - 15528.0434).abs() < 0.01, "{sum}");
    assert_eq!(real.config.get("problem_type"), Some(&Value::from("regression")));
}

#[test]
fn endings_of_codah() {
    let Some(mut real) = real() else { return };
    let answers = answers(AnswerKind::Choice);
    let records = real.records("codah/train.tsv", Format::Tsv, "text=2,choices=3+4+5+6,label=7");
    let data = real.dataset(&answers, Options::default(), records);
    assert_eq!((data.len(), data.truncated(), data.skipped()), (1665, 0, 0));
    let made = batches(&data);
    assert_eq!(tokens(&made), 144_668);
    assert_eq!(numbers(&made, "labels").iter().sum::<i64>(), 2509);
    assert!(made.iter().all(|batch| batch.inputs["input_ids"].dims()[1] == 4));
}

#[test]
fn entities_of_wnut17() {
    let Some(mut real) = real() else { return };
    let answers = answers(AnswerKind::Entities);
    let records = real.records("wnut17/train.conll", Format::Conll, "");
    let data = real.dataset(&answers, Options::default(), records);
    assert_eq!((data.len(), data.truncated(), data.skipped()), (3394, 0, 0));
    let made = batches(&data);
    assert_eq!(tokens(&made), 106_296);
    let tags = numbers(&made, "labels");
    assert_eq!((tags.len(), tags.iter().sum::<i64>()), (62_730, 22_861));
    assert_eq!(tags.iter().filter(|tag| **tag != 0).count(), 3160);
    assert_eq!(real.config.labels()[..3], ["O", "B-corporation", "I-corporation"]);
}

#[test]
fn answers_of_squad() {
    let Some(mut real) = real() else { return };
    let answers = answers(AnswerKind::Span);
    let records = real.records("squad/train-squadshifts-new-wiki-v1.0.json", Format::Squad, "");
    for (max_length, doc_stride, expected) in [
        (384, 128, Squad { windows: 8034, inside: 7951, starts: 634_475, ends: 668_317, tokens: 1_379_957 }),
        (256, 32, Squad { windows: 8739, inside: 7997, starts: 618_214, ends: 652_230, tokens: 1_404_269 }),
    ] {
        let options = Options { batch: 16, max_length: Some(max_length), doc_stride, ..Options::default() };
        let data = real.dataset(&answers, options, records.clone());
        assert_eq!((data.truncated(), data.skipped()), (0, 0));
        let made = batches(&data);
        let (starts, ends) = (numbers(&made, "start_positions"), numbers(&made, "end_positions"));
        let found = Squad {
            windows: data.len(),
            inside: starts.iter().filter(|start| **start != 0).count(),
            starts: starts.iter().sum(),
            ends: ends.iter().sum(),
            tokens: tokens(&made),
        };
        assert_eq!(found, expected);
    }
}

/// The windows of a file's questions.
#[derive(Debug, PartialEq)]
struct Squad {
    windows: usize,
    /// Windows with the answer.
    inside: usize,
    /// The sum of its first tokens.
    starts: i64,
    /// The sum of its last tokens.
    ends: i64,
    tokens: usize,
}

#[test]
fn words_of_wikitext_are_hidden_or_follow() {
    const PIECES: usize = 2341;
    const TOKENS: usize = 172_751;
    let Some(mut real) = real() else { return };
    let records = real.records("wikitext-2/valid.txt", Format::Txt, "");
    let hidden = answers(AnswerKind::FillMask);
    let options = Options { max_length: Some(128), batch: 16, ..Options::default() };
    let data = real.dataset(&hidden, options.clone(), records.clone());
    assert_eq!((data.len(), data.truncated(), data.skipped()), (PIECES, 0, 0));
    let made = batches(&data);
    assert_eq!(tokens(&made), TOKENS);
    let asked = numbers(&made, "labels").len();
    let share = asked as f64 / (TOKENS - 2 * PIECES) as f64;
    assert!((0.145..0.155).contains(&share), "{share}");
    let again = data.batch(&data.epoch(0)[0], 0).unwrap();
    let other = data.batch(&data.epoch(0)[0], 1).unwrap();
    assert_eq!(integers(&again.inputs["input_ids"]), integers(&made[0].inputs["input_ids"]));
    assert_ne!(integers(&again.inputs["input_ids"]), integers(&other.inputs["input_ids"]));

    let follow = answers(AnswerKind::Continuation);
    let data = real.dataset(&follow, options, records);
    assert_eq!((data.len(), data.skipped()), (PIECES, 0));
    let made = batches(&data);
    assert_eq!(numbers(&made, "labels").len(), tokens(&made));
}

#[test]
fn paragraphs_of_wikitext_follow_one_another() {
    let Some(mut real) = real() else { return };
    let records = real.records("wikitext-2/valid.txt", Format::Txt, "");
    let lines: BTreeMap<u64, String> =
        records.iter().map(|record| (record.line, record.text.joined().into_owned())).collect();
    let both = ["prediction_logits", "seq_relationship_logits"];
    let kinds = [AnswerKind::FillMask, AnswerKind::NextSentence];
    let answers: Vec<Answer> =
        kinds.into_iter().zip(both).map(|(kind, of)| Answer { kind, outputs: vec![of.into()] }).collect();
    let data = real.dataset(&answers, Options { max_length: Some(64), ..Options::default() }, records);
    let neighbours = lines.iter().filter(|(line, text)| {
        let is_title = |text: &str| text.trim().starts_with("= ") && text.trim().ends_with(" =");
        let next = lines.get(&(*line + 1));
        !is_title(text) && next.is_some_and(|next| !is_title(next))
    });
    assert_eq!(data.len(), neighbours.count());
    let made = batches(&data);
    let follows = numbers(&made, "next_sentence_label");
    let random = follows.iter().sum::<i64>() as f64 / follows.len() as f64;
    assert!((0.4..0.6).contains(&random), "{random} of {}", follows.len());
}
