//! Every reading that takes one run of the model for a record.

use crate::model::{Tensors, answer, at_tokens, case, ids, lists, named, rounded};
use candle_core::IndexOp;
use qdqc::answer::AnswerKind;
use qdqc::tasks::Reading;
use serde_json::json;

#[test]
fn labels_are_a_softmax_with_names() {
    let mut case = case(
        AnswerKind::Labels,
        &["logits"],
        vec![json!({"id": 7, "text": "a cat", "label": "gold"}), json!({"text": "the cats sat on the mat"})],
    );
    case.config = json!({"id2label": {"0": "BAD", "1": "GOOD"}});
    let model = |inputs: &Tensors, _: &[&str]| {
        assert_eq!(ids(inputs)[0], [2, 12, 6, 3, 0, 0, 0, 0, 0]);
        named([("logits", lists(vec![vec![0.0, 3f32.ln()], vec![4f32.ln(), 0.0]]))])
    };
    let expected = json!({
        "line": 1, "id": 7, "label": "gold",
        "labels": {"label": "GOOD", "score": 0.75, "scores": [
            {"label": "GOOD", "score": 0.75}, {"label": "BAD", "score": 0.25}]},
    });
    assert_eq!(case.json(model)[0], expected);
    assert_eq!(case.run(model)[1].to_string(), "BAD 0.8000");
}

#[test]
fn several_labels_are_sigmoids_and_regression_is_as_it_is() {
    let mut case = case(AnswerKind::Labels, &["logits"], vec![json!({"text": "a cat"})]);
    let two = |_: &Tensors, _: &[&str]| named([("logits", lists(vec![vec![-3f32.ln(), 3f32.ln()]]))]);
    case.config = json!({"problem_type": "multi_label_classification"});
    let expected = json!({"labels": ["LABEL_1"], "scores": [
        {"label": "LABEL_1", "score": 0.75}, {"label": "LABEL_0", "score": 0.25}]});
    assert_eq!(case.json(two)[0]["labels"], expected);
    case.config = json!({"problem_type": "regression"});
    assert_eq!(case.run(two)[0].to_string(), "LABEL_0 -1.0986  LABEL_1 1.0986");
    case.config = json!({});
    let one = |_: &Tensors, _: &[&str]| named([("logits", lists(vec![vec![3.5]]))]);
    assert_eq!(case.json(one)[0]["labels"], json!({"score": 3.5}));
}

#[test]
fn entities_are_merged_from_first_pieces() {
    let records = vec![
        json!({"text": "The  cats sat in Paris."}),
        json!({"tokens": ["cats", "paris", "dog", "\u{0}"]}),
    ];
    let mut case = case(AnswerKind::Entities, &["logits"], records);
    case.config = json!({"id2label": {"0": "O", "1": "B-ANIMAL", "2": "I-ANIMAL", "3": "B-LOC"}});
    case.options.max_length = Some(9);
    let label = |id: i64| match id {
        5 => 1,
        6 => 2,
        7 => 3,
        15 => 3,
        _ => 0,
    };
    let model = |inputs: &Tensors, _: &[&str]| {
        let scores = |id, _| (0..4).map(|at| if at == label(id) { 3f32.ln() } else { 0.0 }).collect();
        named([("logits", at_tokens(inputs, 4, scores))])
    };
    let expected = json!([
        {"label": "ANIMAL", "text": "The  cats", "start": 0, "end": 9, "score": 0.5},
        {"label": "LOC", "text": "Paris", "start": 17, "end": 22, "score": 0.5},
    ]);
    assert_eq!(case.json(model)[0]["entities"]["entities"], expected);
    let replies = case.run(model);
    assert_eq!(replies[0].to_string(), "The B-ANIMAL\ncats I-ANIMAL\nsat O\nin O\nParis B-LOC\n. O\n");
    assert_eq!(replies[1].to_string(), "cats I-ANIMAL\nparis B-LOC\ndog O\n\u{0} O\n");
    let expected = json!({"label": "LOC", "text": "paris", "start": 5, "end": 10, "score": 0.5});
    assert_eq!(case.json(model)[1]["entities"]["entities"][1], expected);
    assert_eq!(
        case.json(model)[1]["entities"]["words"][3],
        json!({"word": "\u{0}", "tag": "O", "score": null})
    );
}

#[test]
fn masks_are_filled() {
    let records = vec![json!({"text": "The [MASK] sat.", "pair": "a dog[MASK]"}), json!({"text": "no mask"})];
    let mut case = case(AnswerKind::FillMask, &["logits"], records);
    case.options.top_k = Some(2);
    let model = |inputs: &Tensors, _: &[&str]| {
        let odds = |_: i64, at: usize| {
            let mut odds = vec![f32::NEG_INFINITY; 16];
            (odds[if at == 2 { 6 } else { 7 }], odds[13]) = (3f32.ln(), 0.0);
            odds
        };
        named([("logits", at_tokens(inputs, 16, odds))])
    };
    let (replies, _) = case.try_run(model).unwrap();
    assert_eq!(replies[1].as_ref().unwrap_err().to_string(), "line 2: the text has no [MASK]");
    let reply = replies[0].as_ref().unwrap();
    assert_eq!(reply.to_string(), "The cat sat. a dogs\n  cat 0.7500  dog 0.2500\n  ##s 0.7500  dog 0.2500");
}

#[test]
fn two_answers_are_read_where_the_record_allows() {
    let records =
        vec![json!({"text": "a [MASK]"}), json!({"text": "a", "pair": "dog"}), json!({"text": "a"})];
    let mut case = case(AnswerKind::FillMask, &["prediction_logits"], records);
    case.answers.push(answer(AnswerKind::NextSentence, &["seq_relationship_logits"]));
    let model = |inputs: &Tensors, _: &[&str]| {
        let words =
            at_tokens(inputs, 16, |id, _| (0..16).map(|at| if at == id + 2 { 9.0 } else { 0.0 }).collect());
        let next = vec![vec![0.0, 3f32.ln()]; ids(inputs).len()];
        named([("prediction_logits", words), ("seq_relationship_logits", lists(next))])
    };
    let (replies, _) = case.try_run(model).unwrap();
    let names = |at: usize| -> Vec<&str> {
        replies[at].as_ref().unwrap().readings.iter().map(Reading::name).collect()
    };
    assert_eq!((names(0), names(1)), (vec!["fill_mask"], vec!["next_sentence"]));
    assert_eq!(replies[1].as_ref().unwrap().to_string(), "not next 0.7500");
    assert_eq!(replies[2].as_ref().unwrap_err().line, 3);
    let next = serde_json::to_value(&replies[1].as_ref().unwrap().readings[0]).unwrap();
    assert_eq!(rounded(next), json!({"is_next": false, "probability": 0.25}));
}

#[test]
fn choices_run_side_by_side() {
    let records = vec![
        json!({"prompt": "a dog", "choices": ["sat", "sat on the mat", "in paris"]}),
        json!({"sent1": "a dog", "sent2": "the", "ending0": "cat", "ending1": "mat"}),
        json!({"prompt": "a cat", "choices": ["sat", "on"]}),
        json!({"prompt": "no choices"}),
    ];
    let case = case(AnswerKind::Choice, &["logits"], records);
    let mut shapes = Vec::new();
    let (replies, _) = case
        .try_run(|inputs, _| {
            let (batch, choices, seq) = inputs["input_ids"].dims3().unwrap();
            shapes.push((batch, choices, seq));
            if choices == 2 {
                let first: Vec<i64> = inputs["input_ids"].i((0, 1)).unwrap().to_vec1().unwrap();
                assert_eq!(first, [2, 12, 13, 3, 5, 11, 3]);
            }
            named([("logits", lists(vec![(0..choices).map(|at| (at as f32 + 1.0).ln()).collect(); batch]))])
        })
        .unwrap();
    assert_eq!(shapes, [(1, 3, 9), (2, 2, 7)]);
    let shown: Vec<_> = replies[..3].iter().map(|reply| reply.as_ref().unwrap().to_string()).collect();
    assert_eq!(shown, ["2 0.5000 in paris", "1 0.6667 mat", "1 0.6667 on"]);
    assert_eq!(replies[3].as_ref().unwrap_err().to_string(), "line 4: the record has no choices");
}

#[test]
fn embeddings_are_vectors() {
    let case = case(AnswerKind::Embedding, &["embedding"], vec![json!({"text": "a"})]);
    let model = |_: &Tensors, _: &[&str]| named([("embedding", lists(vec![vec![0.5, -0.25]]))]);
    assert_eq!(case.json(model)[0]["embedding"], json!([0.5, -0.25]));
    assert_eq!(case.run(model)[0].to_string(), "0.5 -0.25");
}
