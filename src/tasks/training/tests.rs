use super::*;
use crate::{
    answer::{Answer, AnswerKind},
    config::Config,
    tasks::{Columns, Format, Options, Problem, Record, Records, Tokenizer},
};
use candle_core::{DType, Tensor};
use serde_json::{Value, json};
use std::{io::Cursor, path::Path};

/// What is trained, with the tokenizer of `tests/tiny`, whose labels are `negative`, `neutral`, `positive`.
struct Case {
    tokenizer: Tokenizer,
    config: Config,
    answers: Vec<Answer>,
    options: Options,
}

fn case(kinds: &[AnswerKind], settings: Value) -> Case {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/tiny");
    let text = std::fs::read_to_string(folder.join("config.json")).unwrap();
    let mut config = Config::parse(&text, "config.json").unwrap();
    for (name, value) in settings.as_object().unwrap() {
        config.set(name, value.clone());
    }
    let answer = |kind: &AnswerKind| Answer { kind: *kind, outputs: vec![kind.name().to_owned()] };
    Case {
        tokenizer: Tokenizer::load(folder.as_path(), &config).unwrap(),
        config,
        answers: kinds.iter().map(answer).collect(),
        options: Options { batch: 2, seed: 5, ..Options::default() },
    }
}

impl Case {
    fn try_new(&self, records: Vec<Record>) -> Result<Dataset<'_>, Problem> {
        Dataset::new(&self.tokenizer, &self.config, &self.answers, self.options.clone(), records)
    }

    fn dataset(&self, lines: &[Value]) -> Dataset<'_> {
        self.try_new(records(lines)).unwrap()
    }

    fn refused(&self, lines: &[Value]) -> String {
        self.try_new(records(lines)).unwrap_err().to_string()
    }

    fn limited(mut self, tokens: usize) -> Case {
        self.options.max_length = Some(tokens);
        self
    }

    /// The tokens of a row of ids, up to its padding.
    fn tokens(&self, ids: &[i64]) -> String {
        let tokens = ids.iter().map(|id| self.tokenizer.token(*id as u32).unwrap());
        tokens.filter(|token| token != "[PAD]").collect::<Vec<_>>().join(" ")
    }
}

fn records(lines: &[Value]) -> Vec<Record> {
    let text: Vec<String> = lines.iter().map(Value::to_string).collect();
    read(&text.join("\n"), Format::Jsonl)
}

fn read(text: &str, format: Format) -> Vec<Record> {
    let file = Box::new(Cursor::new(text.as_bytes().to_vec()));
    Records::read(file, "in", Some(format), Columns::default()).unwrap().map(Result::unwrap).collect()
}

fn list(batch: &Batch, name: &str) -> Vec<i64> {
    batch.inputs[name].to_vec1().unwrap()
}

fn rows(batch: &Batch, name: &str) -> Vec<Vec<i64>> {
    batch.inputs[name].to_vec2().unwrap()
}

fn floats(tensor: &Tensor) -> Vec<f32> {
    assert_eq!(tensor.dtype(), DType::F32);
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn names(batch: &Batch) -> Vec<&str> {
    batch.inputs.keys().map(String::as_str).collect()
}

#[test]
fn one_label_by_name_or_id() {
    let case = case(&[AnswerKind::Labels], json!({})).limited(6);
    let data = case.dataset(&[
        json!({"text": "good cats", "label": "positive"}),
        json!({"text": "the film is bad", "label": 0}),
        json!({"text": "a", "text_pair": "dog", "label": " neutral "}),
        json!({"text": "one two three new old good", "label": "1"}),
    ]);
    assert_eq!((data.len(), data.truncated(), data.skipped()), (4, 1, 0));
    let batch = data.batch(&[2, 0, 3], 0).unwrap();
    assert_eq!(list(&batch, "labels"), [1, 2, 1]);
    assert_eq!((batch.tokens, batch.lines.as_slice()), (5 + 5 + 6, &[3, 1, 4][..]));
    let ids = rows(&batch, "input_ids");
    assert_eq!(case.tokens(&ids[0]), "[CLS] a [SEP] dog [SEP]");
    assert_eq!(case.tokens(&ids[2]), "[CLS] one two three new [SEP]");
    assert_eq!(rows(&batch, "attention_mask")[1], [1, 1, 1, 1, 1, 0]);
    assert_eq!(rows(&batch, "token_type_ids")[0], [0, 0, 0, 1, 1, 0]);
    assert_eq!(data.input_names().iter().collect::<Vec<_>>(), names(&batch));
}

#[test]
fn several_labels_and_numbers() {
    let several = case(&[AnswerKind::Labels], json!({"problem_type": "multi_label_classification"}));
    let data = several.dataset(&[
        json!({"text": "a", "labels": ["positive", 0]}),
        json!({"text": "b", "labels": []}),
        json!({"text": "c", "labels": [0.0, 1.0, 1.0]}),
    ]);
    let labels = &data.batch(&[0, 1, 2], 0).unwrap().inputs["labels"];
    assert_eq!(labels.dims(), [3, 3]);
    assert_eq!(floats(labels), [1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0]);

    let number = case(&[AnswerKind::Labels], json!({"problem_type": "regression", "num_labels": 1}));
    let data = number.dataset(&[json!({"text": "a", "label": 3.8}), json!({"text": "b", "label": "-1"})]);
    let labels = &data.batch(&[0, 1], 0).unwrap().inputs["labels"];
    assert_eq!(labels.dims(), [2]);
    assert_eq!(floats(labels), [3.8, -1.0]);

    assert_eq!(
        number.refused(&[json!({"text": "a", "label": 1}), json!({"text": "a", "label": 1e39})]),
        "line 2: the label `1e39` is too large for a 32-bit float"
    );
    assert_eq!(number.refused(&[json!({"text": "a", "label": "x"})]), "line 1: `x` is not a number");

    let numbers = case(&[AnswerKind::Labels], json!({"problem_type": "regression", "num_labels": 2}));
    let data = numbers.dataset(&[json!({"text": "a", "label": [3.5, 1]})]);
    assert_eq!(data.batch(&[0], 0).unwrap().inputs["labels"].dims(), [1, 2]);
}

#[test]
fn a_tag_is_at_the_first_token_of_its_word() {
    let names = json!({"0": "O", "1": "B-P", "2": "I-P"});
    let case = case(&[AnswerKind::Entities], json!({"id2label": names, "label2id": null})).limited(8);
    let text = "cats\tB-P\nlondon.\tI-P\nread\tO\n\nthe\tO\n\nthe\tO\nthe\tO\nthe\tO\nthe\tO\nthe\tO\nthe\tO\ncat\tB-P\n";
    let data = case.try_new(read(text, Format::Conll)).unwrap();
    assert_eq!(data.truncated(), 1);
    let batch = data.batch(&[0, 1], 0).unwrap();
    assert_eq!(case.tokens(&rows(&batch, "input_ids")[0]), "[CLS] cat ##s london . read [SEP]");
    let none = -100;
    assert_eq!(
        rows(&batch, "labels"),
        [vec![none, 1, none, 2, none, 0, none], vec![none, 0, none, none, none, none, none]]
    );
    assert_eq!(rows(&data.batch(&[2], 0).unwrap(), "labels")[0], [none, 0, 0, 0, 0, 0, 0, none]);
}

#[test]
fn an_answer_is_in_the_windows_that_hold_all_of_it() {
    let mut case = case(&[AnswerKind::Span], json!({})).limited(12);
    case.options.doc_stride = 2;
    let context = "the king lives in london and the queen lives in paris and rome";
    let question = |text: &str, start: usize| {
        json!({"question": "where ?", "context": context,
               "answers": {"text": [text], "answer_start": [start]}})
    };
    let data = case.dataset(&[
        question("paris and rome", 48),
        // Said to be where it is not.
        question("and the", 0),
        question("in", 43),
        json!({"question": "who ?", "context": context, "answers": [], "is_impossible": true}),
        question("berlin", 3),
    ]);
    assert_eq!(data.skipped(), 1);
    let all: Vec<usize> = (0..data.len()).collect();
    let batch = data.batch(&all, 0).unwrap();
    let (starts, ends) = (list(&batch, "start_positions"), list(&batch, "end_positions"));
    let answers: Vec<(u64, String)> = rows(&batch, "input_ids")
        .iter()
        .zip(starts.iter().zip(&ends))
        .zip(&batch.lines)
        .map(|((ids, (start, end)), line)| (*line, case.tokens(&ids[*start as usize..=*end as usize])))
        .collect();
    let of = |line: u64| -> Vec<&str> {
        answers.iter().filter(|(own, _)| *own == line).map(|(_, text)| text.as_str()).collect()
    };
    // Of 13 words 7 fit beside the question, and windows share 2.
    assert_eq!(of(1), ["[CLS]", "[CLS]", "paris and rome"]);
    assert_eq!(of(2), ["and the", "and the", "[CLS]"]);
    assert_eq!(of(3), ["[CLS]", "in", "[CLS]"]);
    assert_eq!(of(4), ["[CLS]"; 3]);
    assert_eq!(of(5), [""; 0]);
}

#[test]
fn answers_that_are_nowhere_fail_where_they_are_the_most() {
    let line = |answer: &str| json!({"question": "q", "context": "the cat", "answers": [answer]});
    let case = case(&[AnswerKind::Span], json!({}));
    assert_eq!(
        case.refused(&[line("cat"), line("dog"), line("fish")]),
        "2 of 3 records have nothing to learn from, first line 2: the answer `dog` is not in the context"
    );
}

#[test]
fn choices_are_beside_one_another() {
    let mut case = case(&[AnswerKind::Choice], json!({}));
    case.options.batch = 4;
    let line =
        |choices: &[&str], label: Value| json!({"text": "the cat", "choices": choices, "label": label});
    let data = case.dataset(&[
        line(&["sees", "reads a book"], json!(1)),
        line(&["a", "b", "c"], json!("c")),
        line(&["dog", "fish"], json!("0")),
    ]);
    let batch = data.batch(&[0, 2], 0).unwrap();
    assert_eq!(batch.inputs["input_ids"].dims(), [2, 2, 8]);
    assert_eq!(list(&batch, "labels"), [1, 0]);
    let ids: Vec<Vec<Vec<i64>>> = batch.inputs["input_ids"].to_vec3().unwrap();
    assert_eq!(case.tokens(&ids[0][1]), "[CLS] the cat [SEP] reads a book [SEP]");
    let mut batches = data.epoch(0);
    batches.iter_mut().for_each(|batch| batch.sort());
    batches.sort();
    assert_eq!(batches, [vec![0, 2], vec![1]]);
    let refused = data.batch(&[0, 1], 0).unwrap_err().to_string();
    assert_eq!(refused, "line 2: 3 choices in a batch of 2 each");
    for label in [json!(2), json!("fish")] {
        let refused = case.refused(&[line(&["dog", "cat"], label)]);
        assert!(refused.starts_with("line 1: ") && refused.contains("2 choices"), "{refused}");
    }
    let refused = case.refused(&[json!({"text": "the cat", "label": 1})]);
    assert_eq!(refused, "line 1: the record has no choices");
}

#[test]
fn hidden_words_are_drawn_for_every_epoch() {
    let case = case(&[AnswerKind::FillMask], json!({})).limited(12);
    let text = "the cats like the good old dog and the bird likes the small green fish very much";
    let data = case.try_new(read(&format!("{text}\nthe\n"), Format::Txt)).unwrap();
    assert_eq!((data.len(), data.truncated()), (3, 0));
    assert_eq!(data.batch(&[0, 1, 2], 0).unwrap().lines, [1, 1, 2]);
    let mut seen = std::collections::BTreeSet::new();
    for epoch in 0..20 {
        let batch = data.batch(&[0, 1, 2], epoch).unwrap();
        let (ids, labels) = (rows(&batch, "input_ids"), rows(&batch, "labels"));
        // What was hidden, put back, is the text.
        let whole = |row: usize| {
            let pairs = ids[row].iter().zip(&labels[row]);
            case.tokens(
                &pairs.map(|(id, label)| if *label == -100 { *id } else { *label }).collect::<Vec<_>>(),
            )
        };
        assert_eq!(whole(0), "[CLS] the cat ##s like the good old dog and the [SEP]");
        assert_eq!(whole(1), "[CLS] bird likes the small green fish very much [SEP]");
        assert_eq!(whole(2), "[CLS] the [SEP]");
        assert!(labels.iter().all(|row| row.iter().any(|label| *label != -100)));
        // The same in any batch and at any time.
        let alone = data.batch(&[1], epoch).unwrap();
        assert_eq!(rows(&alone, "labels")[0], labels[1][..10]);
        seen.insert((ids, labels));
    }
    assert!(seen.len() > 10, "{}", seen.len());
}

#[test]
fn a_text_with_masks_names_their_words() {
    let case = case(&[AnswerKind::FillMask], json!({}));
    let data = case.dataset(&[json!({"text": "the [MASK] likes [MASK]", "label": ["cat", "fish"]})]);
    let batch = data.batch(&[0], 3).unwrap();
    assert_eq!(case.tokens(&rows(&batch, "input_ids")[0]), "[CLS] the [MASK] likes [MASK] [SEP]");
    let labels = &rows(&batch, "labels")[0];
    assert_eq!((labels[1], labels[3], labels[0]), (-100, -100, -100));
    assert_eq!(case.tokens(&[labels[2], labels[4]]), "cat fish");
    assert_eq!(
        case.refused(&[json!({"text": "the cat"}), json!({"text": "the [MASK]"})]),
        "line 2: the text has [MASK] and does not say for which word"
    );
}

#[test]
fn next_sentences_are_given_or_drawn() {
    let case = case(&[AnswerKind::NextSentence], json!({}));
    let data = case.dataset(&[
        json!({"text": "a", "pair": "b", "label": true}),
        json!({"text": "a", "pair": "c", "label": 1}),
    ]);
    let batch = data.batch(&[0, 1], 0).unwrap();
    assert_eq!(list(&batch, "labels"), [0, 1]);

    let text = "the cat\nsees\nthe dog\n\n = Title = \nlondon\nparis\nrome\n";
    let data = case.try_new(read(text, Format::Txt)).unwrap();
    assert_eq!(data.len(), 4);
    let batch = data.batch(&[0, 1, 2, 3], 0).unwrap();
    assert_eq!(batch.lines, [1, 2, 6, 7]);
    for (ids, label) in rows(&batch, "input_ids").iter().zip(list(&batch, "labels")) {
        let text = case.tokens(ids);
        let own = ["the cat [SEP] sees", "sees [SEP] the dog", "london [SEP] paris", "paris [SEP] rome"];
        let follows = own.iter().any(|pair| text == format!("[CLS] {pair} [SEP]"));
        assert_eq!(follows, label == 0, "{text}");
    }
    assert_eq!(case.refused(&[json!({"text": "a", "label": 1})]), "line 1: the record has only one text");
    let mixed = [json!({"text": "a", "pair": "b", "label": 0}), json!({"text": "a"})];
    assert_eq!(case.refused(&mixed), "line 2: the record has only one text");
}

#[test]
fn both_tasks_of_pre_training_have_labels() {
    let case = case(&[AnswerKind::FillMask, AnswerKind::NextSentence], json!({}));
    let text = "the cat sees\nthe dog sees\nthe bird sees\n\nlondon is old\nparis is new\n";
    let data = case.try_new(read(text, Format::Txt)).unwrap();
    let batch = data.batch(&[0, 1, 2], 0).unwrap();
    assert_eq!(data.input_names().iter().collect::<Vec<_>>(), names(&batch));
    assert!(list(&batch, "next_sentence_label").iter().all(|label| *label == 0 || *label == 1));
    assert!(rows(&batch, "labels").iter().all(|row| row.iter().any(|label| *label != -100)));
    assert_eq!(rows(&batch, "token_type_ids")[0], [0, 0, 0, 0, 0, 1, 1, 1, 1]);
}

#[test]
fn text_goes_on_in_the_next_example_and_ends_once() {
    let case = case(&[AnswerKind::Continuation], json!({})).limited(5);
    let data = case.try_new(read("the cat sees a dog\nyes\n", Format::Txt)).unwrap();
    let batch = data.batch(&[0, 1, 2], 0).unwrap();
    let ids = rows(&batch, "input_ids");
    let texts: Vec<String> = ids.iter().map(|row| case.tokens(row)).collect();
    assert_eq!(texts, ["[CLS] the cat sees", "[CLS] a dog [SEP]", "[CLS] yes [SEP]"]);
    let labels = rows(&batch, "labels");
    assert_eq!(labels[..2], ids[..2]);
    assert_eq!(labels[2], [&ids[2][..3], &[-100]].concat());
    assert_eq!(data.truncated(), 0);
}

#[test]
fn embeddings_have_no_labels() {
    let case = case(&[AnswerKind::Embedding], json!({}));
    let data = case.dataset(&[json!({"text": "a cat", "pair": "a dog", "score": 0.3}), json!({"text": "b"})]);
    let batch = data.batch(&[0, 1, 2], 0).unwrap();
    assert_eq!(names(&batch), ["attention_mask", "input_ids", "token_type_ids"]);
    assert_eq!(batch.lines, [1, 1, 2]);
}

#[test]
fn records_that_cannot_be_used_are_named() {
    let labels = case(&[AnswerKind::Labels], json!({}));
    let good = json!({"text": "a", "label": 1});
    assert_eq!(
        labels.refused(&[good.clone(), json!({"text": "a", "label": "positiv"})]),
        "line 2: `positiv` is not one of the model's 3 labels: `negative`, `neutral` and `positive`; \
         did you mean `positive`?"
    );
    assert_eq!(
        labels.refused(&[good.clone(), good.clone(), json!({"text": "a", "label": 3})]),
        "line 3: `3` is not one of the model's 3 labels: `negative`, `neutral` and `positive`"
    );
    assert_eq!(
        labels.refused(&[good, json!({"text": "a"})]),
        "line 2: the record has no label, no other field than its text"
    );
    assert_eq!(labels.try_new(Vec::new()).unwrap_err().to_string(), "there are no records to learn from");

    let tags = case(&[AnswerKind::Entities], json!({}));
    let line = json!({"tokens": ["a", "b"], "tags": ["neutral"]});
    assert_eq!(tags.refused(&[line]), "line 1: there are 1 tags for 2 words");

    let both = case(&[AnswerKind::Labels, AnswerKind::Entities], json!({}));
    assert_eq!(
        both.refused(&[json!({"text": "a"})]),
        "the spec's answers `labels` and `entities` are not learned together"
    );
    let data = tags.dataset(&[json!({"tokens": ["a"], "tags": ["neutral"]})]);
    assert_eq!(data.batch(&[1], 0).unwrap_err().to_string(), "there is no example 1, only 1");
    assert!(data.batch(&[], 0).is_err());
}

#[test]
fn a_teacher_with_another_tokenizer_has_the_same_examples() {
    let student = case(&[AnswerKind::Labels], json!({})).limited(8);
    let teacher = case(&[AnswerKind::Labels], json!({}));
    let lines: Vec<Value> = (0..40).map(|n| json!({"text": "the cat ".repeat(n), "label": n % 3})).collect();
    let (one, other) = (student.dataset(&lines), teacher.dataset(&lines));
    assert!(one.matches(&other) && one.truncated() > other.truncated());
    for batch in one.epoch(2) {
        assert_eq!(one.batch(&batch, 2).unwrap().lines, other.batch(&batch, 2).unwrap().lines);
    }
    assert!(!one.matches(&student.dataset(&lines[1..])));
}

#[test]
fn the_same_seed_gives_the_same_epoch() {
    let case = case(&[AnswerKind::Labels], json!({}));
    let lines: Vec<Value> = (0..9).map(|n| json!({"text": "a ".repeat(n + 1), "label": 0})).collect();
    let (one, other) = (case.dataset(&lines), case.dataset(&lines));
    assert_eq!(one.epoch(1), other.epoch(1));
    assert_ne!(one.epoch(1), one.epoch(2));
    // All in one window: sorted by length, so that the last is alone.
    let mut batches = one.epoch(1);
    batches.sort();
    assert_eq!(batches, [vec![0, 1], vec![2, 3], vec![4, 5], vec![6, 7], vec![8]]);
}
