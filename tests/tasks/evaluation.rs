//! Records to metrics, with a model that gives the outputs that each test sets.

use crate::model::{Fake, Tensors, answer, at_tokens, ids, lists, named, tokenizer};
use candle_core::{Device, Tensor};
use qdqc::answer::{Answer, AnswerKind};
use qdqc::config::Config;
use qdqc::failure::Failure;
use qdqc::tasks::{
    Columns, Evaluator, Format, Options, Record, Records, Runner, evaluate, evaluation::is_unanswerable,
    metrics::Metric,
};
use serde_json::{Value, json};
use std::io::Cursor;
use std::ops::ControlFlow;

/// An evaluation of records.
struct Case {
    config: Config,
    answers: Vec<Answer>,
    options: Options,
    records: Vec<Record>,
}

/// What came of one, each as `name (part) value`.
#[derive(Debug, PartialEq)]
struct Found {
    metrics: Vec<Vec<String>>,
    fidelity: Vec<String>,
}

fn records(text: &str, format: Format) -> Vec<Record> {
    let file = Box::new(Cursor::new(text.as_bytes().to_vec()));
    Records::read(file, "in", Some(format), Columns::default()).unwrap().map(Result::unwrap).collect()
}

fn case(kind: AnswerKind, outputs: &[&str], config: Value, lines: &[Value]) -> Case {
    let text: Vec<String> = lines.iter().map(Value::to_string).collect();
    let Value::Object(fields) = config else { panic!("an object") };
    Case {
        config: Config::new(fields, "config.json"),
        answers: vec![answer(kind, outputs)],
        options: Options { batch: 2, ..Options::default() },
        records: records(&text.join("\n"), Format::Jsonl),
    }
}

impl Case {
    fn try_evaluate(&self, models: &mut [&mut dyn Runner]) -> Result<Found, String> {
        let tokenizer = tokenizer(&self.config);
        let evaluator = Evaluator::new(&tokenizer, &self.config, &self.answers, &self.options).unwrap();
        evaluator.is_labelled(&self.records).map_err(|problem| problem.to_string())?;
        let mut counted = 0;
        let mut done = |count| {
            counted += count;
            ControlFlow::Continue(())
        };
        let evaluation = evaluate(&evaluator, self.records.clone(), models, &mut done)
            .map_err(|problem| problem.to_string())?;
        assert_eq!((evaluation.records, counted), (self.records.len(), self.records.len()));
        let shown = |metrics: Vec<Metric>| metrics.iter().map(Metric::to_string).collect::<Vec<_>>();
        Ok(Found {
            metrics: evaluation.scores.iter().map(|scores| shown(scores.metrics())).collect(),
            fidelity: evaluation.fidelity.iter().flat_map(|near| shown(near.metrics())).collect(),
        })
    }

    fn evaluate(&self, model: impl FnMut(&Tensors, &[&str]) -> Result<Tensors, Failure>) -> Vec<String> {
        self.try_evaluate(&mut [&mut Fake(model)]).unwrap().metrics.remove(0)
    }

    fn compare(
        &self,
        one: impl FnMut(&Tensors, &[&str]) -> Result<Tensors, Failure>,
        other: impl FnMut(&Tensors, &[&str]) -> Result<Tensors, Failure>,
    ) -> Found {
        self.try_evaluate(&mut [&mut Fake(one), &mut Fake(other)]).unwrap()
    }

    fn refused(&self) -> String {
        let model = |_: &Tensors, _: &[&str]| panic!("no record is run before all are checked");
        self.try_evaluate(&mut [&mut Fake(model)]).unwrap_err()
    }
}

/// A model that gives each sequence a list by the token after `[CLS]`.
fn by_word(list: impl Fn(i64) -> Vec<f32>) -> impl FnMut(&Tensors, &[&str]) -> Result<Tensors, Failure> {
    move |inputs, _| named([("logits", lists(ids(inputs).iter().map(|row| list(row[1])).collect()))])
}

/// Gold YES NO YES YES, answers YES YES NO YES: F1 of YES (label 1) is 2·2 / (2·2 + 1 + 1); Matthews is
/// (2·4 - (3·3 + 1·1)) / √((16 - 10)(16 - 10)) = -1/3. Lengths differ, so order and padding do not matter.
#[test]
fn one_label() {
    let lines = [
        json!({"text": "cat sat on the mat", "label": "YES"}),
        json!({"text": "cat", "label": 0}),
        json!({"text": "dog on", "label": "1"}),
        json!({"text": "cat on the", "label": 1.0}),
    ];
    let mut case =
        case(AnswerKind::Labels, &["logits"], json!({"id2label": {"0": "NO", "1": "YES"}}), &lines);
    let model = || by_word(|id| if id == 6 { vec![0.0, 3f32.ln()] } else { vec![1.0, 0.0] });
    let expected = ["accuracy 50.00", "f1 (YES) 66.67", "matthews -33.33"];
    assert_eq!(case.evaluate(model()), expected);
    case.options.batch = 1;
    assert_eq!(case.evaluate(model()), expected);

    // The other model takes "dog" for YES with 1/2 in place of 1/(1 + e), and agrees on "cat" exactly.
    let other = by_word(|id| if id == 6 { vec![0.0, 3f32.ln()] } else { vec![0.0, 0.01] });
    let found = case.compare(model(), other);
    assert_eq!(found.metrics[0], expected);
    assert_eq!(found.metrics[1][0], "accuracy 75.00");
    let p = [1f64.exp() / (1.0 + 1f64.exp()), 1.0 / (1.0 + 1f64.exp())];
    let q = [1.0 / (1.0 + 0.01f64.exp()), 0.01f64.exp() / (1.0 + 0.01f64.exp())];
    let kl = (p[0] * (p[0] / q[0]).ln() + p[1] * (p[1] / q[1]).ln()) / 4.0;
    assert_eq!(found.fidelity, ["agreement 75.00".to_owned(), format!("kl {kl:.4}")]);
}

#[test]
fn labels_that_cannot_be() {
    let refused = |lines: &[Value]| {
        case(AnswerKind::Labels, &["logits"], json!({"id2label": {"0": "NO", "1": "YES"}}), lines).refused()
    };
    let good = json!({"text": "a", "label": "NO"});
    let message = "line 2: `YSE` is not one of the model's 2 labels: `NO` and `YES`; did you mean `YES`?";
    assert_eq!(refused(&[good.clone(), json!({"text": "a", "label": "YSE"})]), message);
    assert!(refused(&[json!({"text": "a", "label": 2})]).starts_with("line 1: `2` is not one of"));
    assert!(refused(&[json!({"text": "a", "label": -1})]).starts_with("line 1: `-1` is not one of"));
    let message = "line 2: the record has no label, only `id`";
    assert_eq!(refused(&[good.clone(), json!({"text": "a", "id": 1})]), message);
    let message = "line 2: the record says what is right, unlike those before it";
    assert_eq!(refused(&[json!({"text": "a"}), good]), message);
}

/// A number is the label that is called so, and an id only where none is: in a table nothing tells it from text.
#[test]
fn labels_by_label2id_come_before_ids() {
    let config = json!({"num_labels": 3, "label2id": {"2": 0, "x": 1}});
    let lines = [
        json!({"text": "a", "label": "2"}),
        json!({"text": "a", "label": "x"}),
        json!({"text": "a", "label": 2}),
        json!({"text": "a", "label": 1}),
    ];
    let case = case(AnswerKind::Labels, &["logits"], config, &lines);
    assert_eq!(case.evaluate(by_word(|_| vec![1.0, 0.0, 0.0]))[0], "accuracy 50.00");
}

/// Records {a, b}, {b}, {}; predicted {a}, {b, c}, {}, as in the unit test of the metric.
#[test]
fn several_labels() {
    let config =
        json!({"problem_type": "multi_label_classification", "id2label": {"0": "a", "1": "b", "2": "c"}});
    let lines = [
        json!({"text": "cat", "labels": ["a", 1]}),
        json!({"text": "dog", "labels": [0.0, 1.0, 0.0]}),
        json!({"text": "paris", "labels": ""}),
    ];
    let case = case(AnswerKind::Labels, &["logits"], config, &lines);
    let model = || {
        by_word(|id| match id {
            6 => vec![1.0, -1.0, -1.0],
            13 => vec![-1.0, 1.0, 0.0],
            _ => vec![-1.0; 3],
        })
    };
    assert_eq!(case.evaluate(model()), ["f1_micro 66.67", "f1_macro 55.56", "exact_match 33.33"]);
    assert_eq!(case.compare(model(), model()).fidelity, ["agreement 100.00", "kl 0.0000"]);
}

/// Predicted 1 2 3 of gold 1 3 2: both correlations are 1/2.
#[test]
fn numbers() {
    let lines = [
        json!({"text": "cat", "score": 1}),
        json!({"text": "##s", "score": "3.0"}),
        json!({"text": "dog", "score": 2}),
    ];
    let mut case = case(AnswerKind::Labels, &["logits"], json!({"num_labels": 1}), &lines);
    let at = |id: i64| {
        if id == 6 {
            1.0
        } else if id == 13 {
            3.0
        } else {
            2.0
        }
    };
    let found = case.compare(by_word(move |id| vec![at(id)]), by_word(move |id| vec![at(id) + 0.5]));
    assert_eq!(found.metrics[0], ["pearson 50.00", "spearman 50.00"]);
    assert_eq!(found.fidelity, ["difference 0.5000"]);
    case.records[1].gold = Some(json!("nan"));
    assert_eq!(case.refused(), "line 2: `nan` is not a number");
}

/// Two sentences: LOC found, the second LOC taken for O; the word cut into pieces counts once.
#[test]
fn entities_from_conll() {
    let config = json!({"id2label": {"0": "O", "1": "B-LOC", "2": "I-LOC"}});
    let mut case = case(AnswerKind::Entities, &["logits"], config, &[json!({"text": "a"})]);
    case.records = records("cats O\nin O\nparis B-LOC\n\ndog B-LOC\n", Format::Conll);
    let model = |inputs: &Tensors, _: &[&str]| {
        let scores = |id, _| if id == 15 { vec![0.0, 1.0, 0.0] } else { vec![1.0, 0.0, 0.0] };
        named([("logits", at_tokens(inputs, 3, scores))])
    };
    let all = ["f1 66.67", "precision 100.00", "recall 50.00", "accuracy 75.00"];
    let found = case.compare(model, model);
    assert_eq!(found.metrics[0][..4], all);
    assert_eq!(found.metrics[0][4], "f1 (LOC) 66.67");
    assert_eq!(found.fidelity, ["agreement 100.00", "kl 0.0000"]);
    case.records = records("cats X\n", Format::Conll);
    assert!(case.refused().starts_with("line 1: `X` is not one of the model's 3 labels"));
    case.records = records("cats\n", Format::Conll);
    assert!(
        !Evaluator::new(&tokenizer(&case.config), &case.config, &case.answers, &case.options)
            .unwrap()
            .is_labelled(&case.records)
            .unwrap()
    );
}

/// The model answers the word after "the", or nothing where there is none.
#[test]
fn spans_with_and_without_answers() {
    let question = |id: &str, context: &str, answers: Value| json!({"id": id, "question": "in", "context": context, "answers": answers});
    let lines = [
        question("x", "a cat sat on the mat.", json!([{"text": "mat"}, {"text": "the mat"}])),
        question("y", "a dog in the paris mat", json!({"text": ["Paris mat"], "answer_start": [13]})),
        question("z", "a dog sat", json!([])),
    ];
    let mut case = case(AnswerKind::Span, &["start", "end"], json!({}), &lines);
    case.options.no_answer = case.records.iter().any(is_unanswerable);
    let model = |inputs: &Tensors, _: &[&str]| {
        let row = |row: &Vec<i64>| -> Vec<f32> {
            let found = row.iter().position(|id| *id == 5).map_or(0, |the| the + 1);
            (0..row.len()).map(|at| if at == found { 9.0 } else { 0.0 }).collect()
        };
        let rows: Vec<Vec<f32>> = ids(inputs).iter().map(row).collect();
        named([("start", lists(rows.clone())), ("end", lists(rows))])
    };
    let found = case.compare(model, model);
    let expected = [
        "exact_match 66.67",
        "f1 88.89",
        "exact_match (has answer) 50.00",
        "f1 (has answer) 83.33",
        "exact_match (no answer) 100.00",
        "f1 (no answer) 100.00",
    ];
    assert_eq!(found.metrics[0], expected);
    assert_eq!(found.fidelity, ["agreement 100.00", "kl 0.0000"]);
    case.records.truncate(2);
    assert_eq!(case.evaluate(model), ["exact_match 50.00", "f1 83.33"]);
    case.records[1].gold = Some(json!(3));
    assert_eq!(case.refused(), "line 2: `3` is no list of right answers");
}

#[test]
fn following_and_choosing() {
    let lines = [
        json!({"text": "cat", "pair": "sat", "label": 0}),
        json!({"text": "dog", "pair": "sat", "is_next": false}),
        json!({"text": "paris", "pair": "sat", "label": "1"}),
    ];
    let next = case(AnswerKind::NextSentence, &["logits"], json!({}), &lines);
    let model = by_word(|id| if id == 13 { vec![0.0, 1.0] } else { vec![1.0, 0.0] });
    assert_eq!(next.evaluate(model), ["accuracy 66.67", "f1 (follows) 66.67"]);

    let lines = [
        json!({"text": "a", "choices": ["cat", "dog"], "label": 1}),
        json!({"text": "a", "choices": ["cat", "dog", "mat"], "label": "mat"}),
    ];
    let mut choice = case(AnswerKind::Choice, &["logits"], json!({}), &lines);
    let model = |inputs: &Tensors, _: &[&str]| {
        let (batch, choices, _) = inputs["input_ids"].dims3().unwrap();
        named([("logits", lists(vec![(0..choices).map(|at| f32::from(at == 1)).collect(); batch]))])
    };
    assert_eq!(choice.evaluate(model), ["accuracy 50.00"]);
    choice.records[1].gold = Some(json!(3));
    assert_eq!(choice.refused(), "line 2: `3` is none of the 3 choices");
    choice.records[1].choices.clear();
    assert_eq!(choice.refused(), "line 2: the record has no choices");
}

/// Each text is embedded alone: cat (1, 0), dog (0, 1), all else (3, 4). Cosines 0, 0.6, 0.8 of likeness
/// 0, 1, 2: rank correlation 1.
#[test]
fn embeddings_of_pairs() {
    let lines = [
        json!({"text": "cat", "pair": "dog", "score": 0}),
        json!({"text": "cat", "pair": "paris", "score": 1}),
        json!({"text": "paris", "pair": "dog", "score": 2.0}),
    ];
    let mut case = case(AnswerKind::Embedding, &["vector"], json!({}), &lines);
    let model = |inputs: &Tensors, _: &[&str]| {
        let vector = |row: &Vec<i64>| {
            assert_eq!((row.len(), row[2]), (3, 3), "one word between [CLS] and [SEP]");
            match row[1] {
                6 => vec![1.0, 0.0],
                13 => vec![0.0, 1.0],
                _ => vec![3.0, 4.0],
            }
        };
        named([("vector", lists(ids(inputs).iter().map(vector).collect()))])
    };
    let turned = move |inputs: &Tensors, request: &[&str]| {
        let vectors: Vec<Vec<f32>> = model(inputs, request)?["vector"].to_vec2().unwrap();
        let turn = |v: Vec<f32>| if v == [1.0, 0.0] { vec![0.0, 2.0] } else { v };
        named([("vector", lists(vectors.into_iter().map(turn).collect()))])
    };
    let found = case.compare(model, turned);
    // Σxy = 0.8, Σxx = 2, Σyy = 26/75 of the cosines 0, 0.6, 0.8.
    let pearson = 80.0 / (2.0f64 * 26.0 / 75.0).sqrt();
    assert_eq!(found.metrics[0], [format!("pearson {pearson:.2}"), "spearman 100.00".into()]);
    // Of the three distinct texts one is turned by a right angle.
    assert_eq!(found.fidelity, ["cosine 0.6667"]);
    case.records[2].pair = None;
    assert!(case.refused().starts_with("line 3: the record has one text, and embeddings are scored by"));
}

/// The model is sure of "cat" at every place.
fn sure_of_cat(inputs: &Tensors, _: &[&str]) -> Result<Tensors, Failure> {
    let odds = |_: i64, _: usize| (0..16).map(|id| if id == 6 { 15f32.ln() } else { 0.0 }).collect();
    named([("logits", at_tokens(inputs, 16, odds))])
}

/// "cat" has 15 of 30 parts, every other word 1 of 30.
#[test]
fn words_for_given_masks() {
    let lines = [
        json!({"text": "the [MASK] sat", "label": "cat"}),
        json!({"text": "[MASK] [MASK]", "label": ["Dog", "cat"]}),
    ];
    let mut case = case(AnswerKind::FillMask, &["logits"], json!({}), &lines);
    let loss = (2.0 * 2f64.ln() + 30f64.ln()) / 3.0;
    let expected = [
        format!("loss {loss:.4}"),
        format!("perplexity {:.4}", loss.exp()),
        "token_accuracy 66.67".to_owned(),
    ];
    assert_eq!(case.evaluate(sure_of_cat), expected);
    for (gold, message) in [
        (json!("cat"), "line 2: there are 1 words for 2 masks"),
        (json!(["cats", "a"]), "line 2: `cats` is 2 tokens, and a mask stands for one"),
        (json!(1), "line 2: `1` is no word for a mask"),
        (Value::Null, "line 2: the text has [MASK] and does not say for which word"),
    ] {
        case.records[1].gold = Some(gold).filter(|gold| !gold.is_null());
        assert_eq!(case.try_evaluate(&mut [&mut Fake(sure_of_cat)]).unwrap_err(), message);
    }
}

/// Where nothing is masked yet the text itself is what is right, whatever else the record says.
#[test]
fn labels_of_texts_without_masks_play_no_part() {
    let with = case(AnswerKind::FillMask, &["logits"], json!({}), &[json!({"text": "the cat", "label": 1})]);
    let without = case(AnswerKind::FillMask, &["logits"], json!({}), &[json!({"text": "the cat"})]);
    assert_eq!(with.evaluate(sure_of_cat), without.evaluate(sure_of_cat));
}

/// 20 words: 3 of them are masked, the same ones whatever the batch.
#[test]
fn words_are_masked_by_the_seed() {
    let text = ["the cat sat on a mat in paris dog ."; 2].join(" ");
    let lines = vec![json!({"text": text}), json!({"text": "cat"}), json!({"text": text})];
    let mut case = case(AnswerKind::FillMask, &["logits"], json!({}), &lines);
    let masked = |case: &Case| {
        let mut rows = Vec::new();
        case.evaluate(|inputs, request| {
            rows.extend(ids(inputs).into_iter().map(|mut row| {
                row.truncate(row.iter().position(|id| *id == 3).unwrap());
                row
            }));
            sure_of_cat(inputs, request)
        });
        rows.sort();
        rows
    };
    let rows = masked(&case);
    let masks = |row: &Vec<i64>| row.iter().filter(|id| **id == 4).count();
    assert_eq!(rows.iter().map(masks).collect::<Vec<_>>(), [1, 3, 3]);
    assert_ne!(rows[1], rows[2], "every line has masks of its own");
    case.options.batch = 1;
    assert_eq!(masked(&case), rows);
    case.options.seed = 1;
    assert_ne!(masked(&case), rows);
}

/// "the cat sat on the mat" in pieces of two words: each word is predicted, the first of a piece by [CLS].
/// The model says "cat" with 1/2 and all else with 1/30.
#[test]
fn tokens_of_a_long_text() {
    let mut case =
        case(AnswerKind::Continuation, &["logits"], json!({}), &[json!({"text": "the cat sat on the mat"})]);
    case.options.max_length = Some(4);
    let mut shapes = Vec::new();
    let metrics = case.evaluate(|inputs, request| {
        shapes.extend(ids(inputs));
        sure_of_cat(inputs, request)
    });
    assert_eq!(shapes, [[2, 5, 6], [2, 8, 10], [2, 5, 11]]);
    let loss = (2f64.ln() + 5.0 * 30f64.ln()) / 6.0;
    let expected = [
        format!("loss {loss:.4}"),
        format!("perplexity {:.4}", loss.exp()),
        "token_accuracy 16.67".to_owned(),
    ];
    assert_eq!(metrics, expected);
    assert_eq!(case.compare(sure_of_cat, sure_of_cat).fidelity, ["agreement 100.00", "kl 0.0000"]);
}

/// Masked words and following at once: the label says what follows.
#[test]
fn two_answers() {
    let lines = [
        json!({"text": "cat", "pair": "sat", "label": 0}),
        json!({"text": "dog", "pair": "sat", "label": 1}),
    ];
    let mut case = case(AnswerKind::FillMask, &["logits"], json!({}), &lines);
    case.answers.push(answer(AnswerKind::NextSentence, &["next"]));
    let metrics = case.evaluate(|inputs, request| {
        let mut outputs = sure_of_cat(inputs, request)?;
        outputs.insert("next".into(), lists(vec![vec![1.0, 0.0]; ids(inputs).len()]));
        Ok(outputs)
    });
    let names: Vec<&str> = metrics.iter().map(|metric| metric.rsplit_once(' ').unwrap().0).collect();
    assert_eq!(names[0], "loss (fill_mask)");
    assert_eq!(metrics[3..], ["accuracy (next_sentence) 50.00", "f1 (next_sentence, follows) 66.67"]);
}

#[test]
fn outputs_that_do_not_fit_are_told() {
    let case =
        case(AnswerKind::Labels, &["logits"], json!({"num_labels": 2}), &[json!({"text": "a", "label": 0})]);
    let told = |outputs: fn() -> Result<Tensors, Failure>| {
        case.try_evaluate(&mut [&mut Fake(|_: &Tensors, _: &[&str]| outputs())]).unwrap_err()
    };
    assert_eq!(told(|| named([])), "line 1: the model gave no `logits`");
    assert_eq!(
        told(|| named([("logits", lists(vec![vec![0.0; 3]]))])),
        "line 1: `logits` has 3 scores where 2 belong"
    );
    assert!(
        told(|| named([("logits", Tensor::new(&[[f32::NAN, 0.0]], &Device::Cpu).unwrap())])).contains("NaN")
    );
}

/// Shorter records come first in a batch; the line is still that of the record whose outputs are at fault.
#[test]
fn outputs_at_fault_are_told_by_their_record() {
    let lines = [json!({"text": "cat sat on"}), json!({"text": "dog"}), json!({"text": "a mat"})];
    let mut unlabelled = case(AnswerKind::Labels, &["logits"], json!({"num_labels": 2}), &lines);
    let mut labelled = case(AnswerKind::Labels, &["logits"], json!({"num_labels": 2}), &lines);
    labelled.records.iter_mut().for_each(|record| record.gold = Some(json!(0)));
    for (word, line) in [(6, 1), (13, 2), (12, 3)] {
        for batch in [1, 3] {
            let faulty = || by_word(move |id| vec![if id == word { f32::NAN } else { 1.0 }, 0.0]);
            let told = |case: &mut Case, models: &mut [&mut dyn Runner]| {
                case.options.batch = batch;
                let told = case.try_evaluate(models).unwrap_err();
                assert!(told.starts_with(&format!("line {line}: ")) && told.contains("NaN"), "{told}");
            };
            told(&mut labelled, &mut [&mut Fake(faulty())]);
            told(&mut unlabelled, &mut [&mut Fake(by_word(|_| vec![1.0, 0.0])), &mut Fake(faulty())]);
        }
    }
}

#[test]
fn an_evaluation_can_end_early() {
    let lines = vec![json!({"text": "cat", "label": 1}); 9];
    let case = case(AnswerKind::Labels, &["logits"], json!({"num_labels": 2}), &lines);
    let tokenizer = tokenizer(&case.config);
    let evaluator = Evaluator::new(&tokenizer, &case.config, &case.answers, &case.options).unwrap();
    let mut model = Fake(by_word(|_| vec![0.0, 1.0]));
    let mut done = |_| ControlFlow::Break(());
    let evaluation = evaluate(&evaluator, case.records, &mut [&mut model], &mut done).unwrap();
    assert_eq!((evaluation.records, evaluation.scores[0].metrics()[0].value), (2, 100.0));
}
