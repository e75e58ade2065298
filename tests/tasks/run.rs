//! Batches, order and failures.

use crate::model::{Fake, Tensors, answer, case, ids, lists, named, tokenizer};
use qdqc::answer::{Answer, AnswerKind};
use qdqc::config::Config;
use qdqc::failure::Failure;
use qdqc::tasks::{Options, Problem, Records, Summary, run_records};
use serde_json::{Value, json};

#[test]
fn order_is_kept_and_failures_stay_with_their_batch() {
    let texts = ["a", "cat", "sat on the mat", "dog", "in", "paris", "mat"];
    let mut records: Vec<Value> = texts.iter().map(|text| json!({"text": text})).collect();
    records.insert(3, json!({"text": 5}));
    let mut case = case(AnswerKind::Labels, &["logits"], records);
    case.options.batch = 2;
    case.options.max_length = Some(4);
    let (replies, summary) = case
        .try_run(|inputs, _| {
            let ids = ids(inputs);
            match ids.iter().any(|row| row[1] == 14) {
                true => Err(Failure::outside("out of memory")),
                false => named([("logits", lists(ids.iter().map(|row| vec![row[1] as f32]).collect()))]),
            }
        })
        .unwrap();
    let shown: Vec<String> = replies
        .iter()
        .map(|reply| reply.as_ref().map_or_else(Problem::to_string, |reply| reply.to_string()))
        .collect();
    let memory = |line: u64| format!("line {line}: out of memory");
    let wrong = "line 4: field `text` holds a number where text belongs".to_owned();
    let expected = [
        "12.0000".into(),
        "6.0000".into(),
        "8.0000".into(),
        wrong,
        memory(5),
        memory(6),
        "15.0000".into(),
        "11.0000".into(),
    ];
    assert_eq!(shown, expected);
    assert_eq!(summary, Summary { answered: 5, failed: 3, truncated: 1 });
}

#[test]
fn outputs_that_do_not_fit_are_told() {
    let case = case(AnswerKind::Labels, &["logits"], vec![json!({"text": "a"})]);
    let told = |outputs: fn() -> Result<Tensors, Failure>| {
        let (replies, _) = case.try_run(|_, _| outputs()).unwrap();
        replies[0].as_ref().unwrap_err().to_string()
    };
    assert_eq!(told(|| named([])), "line 1: the model gave no `logits`");
    assert_eq!(
        told(|| named([("logits", lists(vec![vec![1.0]; 2]))])),
        "line 1: `logits` has shape [2, 1] for a batch of 1"
    );
    assert!(told(|| named([("logits", lists(vec![vec![f32::NAN]]))])).contains("NaN"));
    assert!(
        told(|| named([("logits", lists(vec![vec![1.0]]).unsqueeze(2).unwrap())]))
            .contains("[batch, n] is read")
    );
}

#[test]
fn what_cannot_be_asked_is_refused() {
    let mut case = case(AnswerKind::Labels, &["logits"], vec![json!({"text": "a"})]);
    let mut code = |answers: Vec<Answer>, options: Options| {
        (case.answers, case.options) = (answers, options);
        case.try_run(|_, _| named([])).err().map(|failure| failure.exit_code())
    };
    let labels = answer(AnswerKind::Labels, &["logits"]);
    let choice = answer(AnswerKind::Choice, &["logits"]);
    assert_eq!(code(vec![labels.clone()], Options::default()), None);
    assert_eq!(code(vec![], Options::default()), Some(2));
    assert_eq!(code(vec![labels.clone(), choice], Options::default()), Some(1));
    assert_eq!(code(vec![labels.clone()], Options { batch: 0, ..Options::default() }), Some(2));
    assert_eq!(code(vec![labels], Options { top_p: f32::NAN, ..Options::default() }), Some(2));
}

#[test]
fn a_sink_can_stop_the_run() {
    let texts = vec!["a".to_owned(); 9];
    let records = Records::texts(texts, vec![], vec![]).unwrap();
    let (config, options) = (Config::default(), Options { batch: 2, ..Options::default() });
    let mut model =
        Fake(|inputs: &Tensors, _: &[&str]| named([("logits", lists(vec![vec![1.0]; ids(inputs).len()]))]));
    let mut seen = 0;
    let mut sink = |_| {
        seen += 1;
        if seen == 3 { Err(Failure::outside("the pipe is closed")) } else { Ok(()) }
    };
    let answers = [answer(AnswerKind::Labels, &["logits"])];
    let stopped =
        run_records(records, &tokenizer(&config), &config, &answers, &options, &mut model, &mut sink);
    assert_eq!(stopped.unwrap_err().exit_code(), 3);
    assert_eq!(seen, 3);
}
