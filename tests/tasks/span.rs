//! Answers to questions.

use crate::model::{Tensors, at_tokens, case, lists, named, rounded, tokenizer};
use qdqc::answer::AnswerKind;
use qdqc::config::Config;
use qdqc::failure::Failure;
use qdqc::tasks::{Options, Reading, Text};
use serde_json::json;
use std::collections::BTreeMap;

/// A score from -2 to 2 that looks random.
fn noise(id: i64, at: usize, salt: u64) -> f32 {
    let mixed = (id as u64 * 31 + at as u64 * 7 + salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    mixed as f32 / (1 << 22) as f32 - 2.0
}

const CONTEXT: &str =
    "the cats sat on the mat. a dog sat in paris. cats on a mat in the dog. paris cats sat.";

fn noisy(inputs: &Tensors, _: &[&str]) -> Result<Tensors, Failure> {
    let logits = |salt| at_tokens(inputs, 1, |id, at| vec![noise(id, at, salt)]).squeeze(2).unwrap();
    named([("start_logits", logits(1)), ("end_logits", logits(2))])
}

/// HuggingFace's question answering by its definition: every pair of context tokens of every window.
fn brute_force(longest: usize, limit: usize, stride: usize) -> Vec<(usize, usize, f64)> {
    let tokenizer = tokenizer(&Config::default());
    let windows = tokenizer.windows(&Text::Plain("a dog".into()), CONTEXT, limit, stride).unwrap();
    let mut found: BTreeMap<(usize, usize), f64> = BTreeMap::new();
    for window in windows {
        let tokens = &window.tokens;
        let open = |at: usize| at == 0 || tokens[at].sequence == Some(1);
        let odds = |salt| -> Vec<f64> {
            let exp = |at: usize| {
                if open(at) { f64::from(noise(tokens[at].id.into(), at, salt)).exp() } else { 0.0 }
            };
            let sum: f64 = (0..tokens.len()).map(exp).sum();
            (0..tokens.len()).map(|at| exp(at) / sum).collect()
        };
        let (starts, ends) = (odds(1), odds(2));
        let pairs = (1..tokens.len()).flat_map(|first| (first..tokens.len()).map(move |last| (first, last)));
        for (first, last) in pairs.filter(|(a, b)| open(*a) && open(*b) && b - a < longest) {
            let word =
                |at: usize| tokens.iter().filter(move |t| t.sequence == Some(1) && t.word == tokens[at].word);
            let start = word(first).map(|t| t.start).min().unwrap();
            let end = word(last).map(|t| t.end).max().unwrap();
            let best = found.entry((start, end)).or_default();
            *best = best.max(starts[first] * ends[last]);
        }
    }
    let mut found: Vec<_> = found.into_iter().map(|((start, end), score)| (start, end, score)).collect();
    found.sort_by(|a, b| b.2.total_cmp(&a.2));
    found
}

#[test]
fn spans_are_those_of_a_brute_force_search() {
    for (limit, stride, longest, batch) in [(64, 128, 30, 8), (16, 4, 30, 2), (12, 3, 2, 1), (16, 0, 1, 3)] {
        let mut case = case(
            AnswerKind::Span,
            &["start_logits", "end_logits"],
            vec![json!({"question": "a dog", "context": CONTEXT, "id": "q1"})],
        );
        case.options = Options {
            batch,
            n_best: 7,
            max_length: Some(limit),
            doc_stride: stride,
            max_answer_length: longest,
            ..Options::default()
        };
        let replies = case.run(noisy);
        let Reading::Span(span) = &replies[0].readings[0] else { panic!("a span") };
        let expected = brute_force(longest, limit, stride);
        assert_eq!(span.n_best.len(), 7);
        for (candidate, (start, end, score)) in span.n_best.iter().zip(expected) {
            assert_eq!((candidate.start, candidate.end), (start, end), "{limit} {stride} {longest}");
            assert!((f64::from(candidate.score) - score).abs() < 1e-6);
            assert_eq!(candidate.text, CONTEXT[start..end]);
        }
        assert_eq!(span.answer, span.n_best[0]);
    }
}

#[test]
fn a_question_may_have_no_answer() {
    let records =
        vec![json!({"question": "dog", "context": "the cats sat"}), json!({"question": "no context"})];
    let mut case = case(AnswerKind::Span, &["start_logits", "end_logits"], records);
    // [CLS] dog [SEP] the cat ##s sat [SEP]
    let model = |_: &Tensors, _: &[&str]| {
        let start = lists(vec![vec![3.0, 9.0, 9.0, 0.0, 0.0, 2.0, 0.0, 9.0]]);
        let end = lists(vec![vec![2.0, 9.0, 9.0, 0.0, 1.0, 0.0, 1.5, 9.0]]);
        named([("start_logits", start), ("end_logits", end)])
    };
    let mut run = |options: Options| {
        case.options = options;
        let (replies, summary) = case.try_run(model).unwrap();
        assert_eq!((summary.answered, summary.failed), (1, 1));
        assert_eq!(
            replies[1].as_ref().unwrap_err().to_string(),
            "line 2: the record has a question and no context"
        );
        rounded(serde_json::to_value(&replies[0].as_ref().unwrap().readings[0]).unwrap())
    };
    // softmax over [CLS] and context: start 3 0 0 2 0, end 2 0 1 0 1.5
    let best = json!({"text": "cats sat", "start": 4, "end": 12, "score": 0.0655});
    assert_eq!(run(Options::default()), best);
    let open = Options { no_answer: true, ..Options::default() };
    let none = json!({"text": "", "start": 0, "end": 0, "score": 0.2936, "no_answer_lead": 1.5});
    assert_eq!(run(open.clone()), none);
    let strict = run(Options { no_answer_threshold: 1.6, n_best: 2, ..open });
    assert_eq!((&strict["text"], &strict["n_best"][0]["text"]), (&json!("cats sat"), &json!("")));
}
