//! Records to batches of sequences of one length, which are those of an evaluation.

use crate::model::{answer, ids, tokenizer};
use qdqc::answer::{Answer, AnswerKind};
use qdqc::config::Config;
use qdqc::tasks::{Columns, Evaluator, EvenBatch, EvenBatches, Format, Options, Problem, Records};
use serde_json::{Map, Value, json};
use std::io::Cursor;

const TEXT: &str = "the cat sat on a mat in paris dog .";

fn stream(lines: &[Value]) -> Records {
    let text: Vec<String> = lines.iter().map(Value::to_string).collect();
    let file = Box::new(Cursor::new(text.join("\n").into_bytes()));
    Records::read(file, "in", Some(Format::Jsonl), Columns::default()).unwrap()
}

fn options(max_length: Option<usize>) -> Options {
    Options { batch: 2, max_length, doc_stride: 2, ..Options::default() }
}

fn batches(answers: &[Answer], lines: &[Value], options: &Options) -> Result<Vec<EvenBatch>, Problem> {
    let config = Config::new(Map::new(), "config.json");
    let tokenizer = tokenizer(&config);
    EvenBatches::new(stream(lines), None, &tokenizer, &config, answers, options).unwrap().collect()
}

/// Every sequence, in order of its tokens. None is padded.
fn sequences(batches: &[EvenBatch]) -> Vec<Vec<i64>> {
    let mut rows: Vec<Vec<i64>> = batches.iter().flat_map(|batch| ids(&batch.inputs)).collect();
    assert!(rows.iter().flatten().all(|id| *id != 0), "{rows:?}");
    rows.sort();
    rows
}

/// The sequences that the records are evaluated on, without what fills batches up.
fn evaluated(answers: &[Answer], lines: &[Value], options: &Options) -> Vec<Vec<i64>> {
    let config = Config::new(Map::new(), "config.json");
    let tokenizer = tokenizer(&config);
    let evaluator = Evaluator::new(&tokenizer, &config, answers, options).unwrap();
    let batch = evaluator.batch(stream(lines).map(Result::unwrap).collect()).unwrap();
    let mut rows: Vec<Vec<i64>> = batch.inputs().flat_map(ids).collect();
    rows.iter_mut().for_each(|row| row.retain(|id| *id != 0));
    rows.sort();
    rows
}

/// Samples and records, over all batches.
fn counts(batches: &[EvenBatch]) -> (u64, u64) {
    batches
        .iter()
        .fold((0, 0), |(samples, records), batch| (samples + batch.samples, records + batch.records))
}

#[test]
fn words_of_a_plain_text_are_masked_as_in_an_evaluation() {
    let pre_training =
        vec![answer(AnswerKind::FillMask, &["logits"]), answer(AnswerKind::NextSentence, &["next"])];
    let lines =
        [json!({"text": TEXT}), json!({"text": "cat", "label": 1}), json!({"text": "the cat", "pair": TEXT})];
    for answers in [pre_training[..1].to_vec(), pre_training] {
        let options = options(Some(8));
        let found = batches(&answers, &lines, &options).unwrap();
        let rows = sequences(&found);
        assert!(rows.iter().all(|row| row.len() <= 8 && row.contains(&4)), "{rows:?}");
        assert_eq!(rows, evaluated(&answers, &lines, &options));
        // Ten words in pieces of six, and one sequence each of the others.
        assert_eq!(counts(&found), (4, 3));
        assert_eq!(rows, sequences(&batches(&answers, &lines, &options).unwrap()));
    }
}

/// Masks that are there are left alone, with or without a word for them.
#[test]
fn masks_that_are_given_stay() {
    let answers = [answer(AnswerKind::FillMask, &["logits"])];
    let lines = [json!({"text": "the [MASK] sat"}), json!({"text": "[MASK] sat on", "label": 7})];
    let found = batches(&answers, &lines, &options(None)).unwrap();
    assert_eq!(sequences(&found), [[2, 4, 8, 10, 3], [2, 5, 4, 8, 3]]);
}

#[test]
fn texts_of_a_pair_are_embedded_each_alone() {
    let answers = [answer(AnswerKind::Embedding, &["vector"])];
    let lines = [json!({"text": "cat", "pair": "dog", "score": 1}), json!({"text": "cat", "pair": "paris"})];
    let found = batches(&answers, &lines, &options(None)).unwrap();
    assert_eq!(counts(&found), (4, 2));
    assert_eq!(sequences(&found), evaluated(&answers, &lines, &options(None)));
    assert!(sequences(&found).iter().all(|row| row.len() == 3));
}

#[test]
fn long_texts_of_a_language_model_are_cut_in_pieces() {
    let answers = [answer(AnswerKind::Continuation, &["logits"])];
    let found = batches(&answers, &[json!({"text": "the cat sat on the mat"})], &options(Some(4))).unwrap();
    assert_eq!(sequences(&found), [[2, 5, 6], [2, 5, 11], [2, 8, 10]]);
    assert_eq!(counts(&found), (3, 1));
}

/// Windows of a context, with and without right answers; a question without one is refused with its line.
#[test]
fn questions_have_the_windows_of_their_contexts() {
    let answers = [answer(AnswerKind::Span, &["start", "end"])];
    let context = json!({"question": "the cat", "context": TEXT});
    let lines = [context.clone(), json!({"question": "cat", "context": TEXT, "answers": ["mat"]})];
    let options = options(Some(10));
    let found = batches(&answers, &lines, &options).unwrap();
    let rows = sequences(&found);
    assert!(rows.len() > 2 && rows.iter().all(|row| row.len() <= 10), "{rows:?}");
    assert_eq!(rows, evaluated(&answers, &lines, &options));
    assert_eq!(counts(&found), (rows.len() as u64, 2));
    let problem = batches(&answers, &[context, json!({"text": "cat"})], &options).unwrap_err();
    assert_eq!(problem.to_string(), "line 2: the record has a question and no context");
}

#[test]
fn choices_of_a_record_stay_together() {
    let answers = [answer(AnswerKind::Choice, &["logits"])];
    let lines = [
        json!({"text": "cat", "choices": ["sat", "the mat"]}),
        json!({"text": "dog", "choices": ["sat on", "sat"], "label": 0}),
        json!({"text": "dog", "choices": ["a", "a", "a"]}),
    ];
    let found = batches(&answers, &lines, &options(None)).unwrap();
    let shapes: Vec<&[usize]> = found.iter().map(|batch| batch.inputs["input_ids"].dims()).collect();
    assert_eq!(shapes, [[2, 2, 6], [1, 3, 5]]);
    assert_eq!(counts(&found), (3, 3));
}
