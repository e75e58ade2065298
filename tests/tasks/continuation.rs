//! Texts continued.

use crate::model::{Tensors, at_tokens, case, ids, named};
use candle_core::{Device, Tensor};
use qdqc::answer::AnswerKind;
use qdqc::failure::Failure;
use qdqc::tasks::{Options, Reading, Reply};
use serde_json::json;

/// A language model whose next token is the sum of all tokens so far, modulo the vocabulary, and which
/// remembers them in its cache where it has one.
fn summing(
    cached: bool,
    mut steps: impl FnMut(usize),
) -> impl FnMut(&Tensors, &[&str]) -> Result<Tensors, Failure> {
    move |inputs, request| {
        assert_eq!(request, ["present"]);
        let new: Vec<f32> = ids(inputs)[0].iter().map(|id| *id as f32).collect();
        steps(new.len());
        let past: Vec<f32> = match inputs.get("past_key_values.0.key") {
            Some(past) => past.flatten_all().unwrap().to_vec1().unwrap(),
            None => vec![],
        };
        let all = [past, new.clone()].concat();
        assert_eq!(inputs["attention_mask"].dims(), [1, all.len()]);
        assert_eq!(inputs["token_type_ids"].dims(), [1, new.len()]);
        let next = all.iter().sum::<f32>() as usize % 16;
        let mut logits = vec![0.0; new.len() * 16];
        logits[(new.len() - 1) * 16 + next] = 1.0;
        let logits = Tensor::from_vec(logits, (1, new.len(), 16), &Device::Cpu).unwrap();
        let seen = Tensor::from_vec(all.clone(), (1, 1, all.len(), 1), &Device::Cpu).unwrap();
        match cached {
            true => named([("logits", logits), ("present.0.key", seen.clone()), ("present.0.value", seen)]),
            false => named([("logits", logits)]),
        }
    }
}

#[test]
fn continuation_is_the_same_with_and_without_a_cache() {
    let mut case = case(AnswerKind::Continuation, &["logits"], vec![json!({"text": "A cat"})]);
    case.options.max_new_tokens = 4;
    // [CLS] a cat = 2 + 12 + 6 = 20: on every step the sum doubles, 20, 24 = 8, 32 = 0, 32 = 0.
    let mut lengths = Vec::new();
    let cached = case.json(summing(true, |length| lengths.push(length)));
    assert_eq!(lengths, [3, 1, 1, 1]);
    let mut lengths = Vec::new();
    assert_eq!(case.json(summing(false, |length| lengths.push(length))), cached);
    assert_eq!(lengths, [3, 4, 5, 6]);
    let expected = json!({"text": "A cat sat", "continuation": " sat", "tokens": 4, "ended": false});
    assert_eq!(cached[0]["continuation"], expected);
    case.config = json!({"eos_token_id": [8, 99]});
    let ended = &case.json(summing(true, |_| ()))[0]["continuation"];
    assert_eq!((&ended["tokens"], &ended["ended"]), (&json!(1), &json!(true)));
    case.config = json!({"max_position_embeddings": 4});
    let short = &case.run(summing(true, |_| ()))[0];
    let Reading::Continuation(continuation) = &short.readings[0] else { panic!("a continuation") };
    assert_eq!((short.truncated, continuation.tokens), (true, 2));
}

#[test]
fn sampling_follows_the_odds_and_the_seed() {
    let mut case = case(AnswerKind::Continuation, &["logits"], vec![json!({"text": "a"}); 400]);
    let model = |inputs: &Tensors, _: &[&str]| {
        let odds = |_, _| {
            (0..16)
                .map(|id: usize| {
                    [(6, 6f32), (13, 3.0), (11, 1.0)]
                        .iter()
                        .find(|(of, _)| *of == id)
                        .map_or(-1e9, |(_, odds)| odds.ln())
                })
                .collect()
        };
        named([("logits", at_tokens(inputs, 16, odds))])
    };
    let mut count = |options: Options| {
        case.options = Options { max_new_tokens: 1, ..options };
        let texts: Vec<String> = case.run(model).iter().map(Reply::to_string).collect();
        let of = |word: &str| texts.iter().filter(|text| text.ends_with(word)).count();
        (of("cat"), of("dog"), of("mat"))
    };
    let sampled = Options { temperature: 1.0, ..Options::default() };
    let near = |count: usize, expected: usize| count.abs_diff(expected) < 45;
    let (cats, dogs, mats) = count(sampled.clone());
    assert!(near(cats, 240) && near(dogs, 120) && near(mats, 40), "{cats} {dogs} {mats}");
    assert_eq!(count(sampled.clone()), (cats, dogs, mats));
    assert_ne!(count(Options { seed: 1, ..sampled.clone() }), (cats, dogs, mats));
    let (cats, dogs, mats) = count(Options { top_p: 0.7, ..sampled.clone() });
    assert!(near(cats, 267) && near(dogs, 133) && mats == 0, "{cats} {dogs} {mats}");
    let (cats, dogs, mats) = count(Options { temperature: 0.5, top_k: Some(2), ..sampled.clone() });
    assert!(near(cats, 320) && near(dogs, 80) && mats == 0, "{cats} {dogs} {mats}");
    assert_eq!(count(Options { top_k: Some(1), ..sampled }), (400, 0, 0));
    assert_eq!(count(Options::default()), (400, 0, 0));
}
