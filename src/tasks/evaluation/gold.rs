//! What is right, as records say it.

use super::Evaluator;
use crate::{
    answer::AnswerKind,
    config::Config,
    failure::Failure,
    names::{list_of, nearest, shortened},
    tasks::{Record, Text, answers::scores::Labels},
};
use serde_json::Value;
use std::collections::HashMap;

/// The labels that a message lists, at most.
const LISTED: usize = 12;

/// What is right for one answer.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::tasks) enum Gold {
    /// One of several: a label, a choice, or 0 for following and 1 for not.
    Class(usize),
    /// Of every label, whether it applies.
    Classes(Vec<bool>),
    /// Numbers, one for each output.
    Numbers(Vec<f64>),
    /// A tag for every word, by id.
    Tags(Vec<usize>),
    /// Answer texts; none where there is no answer.
    Answers(Vec<String>),
}

/// What labels are, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tasks) enum LabelKind {
    /// One of so many.
    One(usize),
    /// Any of so many.
    Any(usize),
    /// So many numbers.
    Numbers(usize),
}

impl LabelKind {
    /// What the config says: by `problem_type`, and by the number of labels, which is 2 unless given.
    pub(in crate::tasks) fn of(config: &Config) -> LabelKind {
        let named = config.labels().len();
        let given = config.get("num_labels").and_then(Value::as_u64);
        let given = given.and_then(|count| usize::try_from(count).ok()).unwrap_or(2);
        let count = if named > 0 { named } else { given };
        match config.get("problem_type").and_then(Value::as_str) {
            Some("multi_label_classification") => LabelKind::Any(count),
            Some("regression") => LabelKind::Numbers(count),
            _ if count == 1 => LabelKind::Numbers(1),
            _ => LabelKind::One(count),
        }
    }

    /// How many scores the model gives for a record.
    pub(in crate::tasks) fn count(self) -> usize {
        let (LabelKind::One(count) | LabelKind::Any(count) | LabelKind::Numbers(count)) = self;
        count
    }
}

/// The id of every label that a config names, by name: `id2label`, or `LABEL_3` where it has none, and after
/// those `label2id`.
pub(super) fn ids(config: &Config, names: &Labels) -> HashMap<String, usize> {
    let given = config.get("label2id").and_then(Value::as_object).into_iter().flatten();
    let id = |(name, id): (&String, &Value)| Some((name.clone(), usize::try_from(id.as_u64()?).ok()?));
    let mut ids: HashMap<String, usize> = given.filter_map(id).collect();
    // Of labels with one name the first counts.
    ids.extend((0..LabelKind::of(config).count()).rev().map(|index| (names.name(index), index)));
    ids
}

/// The record says that its context does not hold the answer (SQuAD 2).
pub fn is_unanswerable(record: &Record) -> bool {
    record.pair.is_some() && right_answers(record).is_ok_and(|list| list.is_some_and(|list| list.is_empty()))
}

/// The right answers to a question; an empty list where its context holds none, `None` where the record does
/// not say.
///
/// # Errors
/// What the record says is no list of answers.
pub fn right_answers(record: &Record) -> Result<Option<Vec<String>>, Failure> {
    if record.fields.get("is_impossible") == Some(&Value::Bool(true)) {
        return Ok(Some(Vec::new()));
    }
    let Some(gold) = &record.gold else { return Ok(None) };
    answers(gold).map(Some).ok_or_else(|| no_answers(gold))
}

/// Why a record without what is right cannot be scored.
pub(in crate::tasks) fn lacking(kind: Option<AnswerKind>, record: &Record) -> Failure {
    const HELP: &str = "name its column with --columns label=NAME; without a header, number it: label=2";
    let without = |what: &str| {
        let other = match record.fields.is_empty() {
            true => "no other field than its text".to_owned(),
            false => format!("only {}", list_of(record.fields.keys().map(String::as_str))),
        };
        Failure::input(format!("the record has no {what}, {other}"))
    };
    match kind {
        Some(AnswerKind::Embedding) if record.pair.is_none() => {
            Failure::input("the record has one text, and embeddings are scored by how alike two texts are")
                .help("give two texts and a score: --columns text=NAME,pair=NAME,label=NAME")
        }
        Some(AnswerKind::Embedding) => without("score").help(HELP),
        Some(AnswerKind::Entities) => {
            without("tags").help("give CoNLL, or a field `tags` or `ner_tags` with a tag for every word")
        }
        Some(AnswerKind::Span) => {
            without("right answers").help("give SQuAD's JSON, or a field `answers` with a list of texts")
        }
        _ => without("label").help(HELP),
    }
}

impl Evaluator<'_> {
    /// What is right for an answer, `None` where the record does not say it.
    pub(in crate::tasks) fn gold(&self, kind: AnswerKind, record: &Record) -> Result<Option<Gold>, Failure> {
        if kind == AnswerKind::Span {
            return Ok(right_answers(record)?.map(Gold::Answers));
        }
        let Some(gold) = &record.gold else { return Ok(None) };
        Ok(Some(match kind {
            AnswerKind::Labels => match self.labels {
                LabelKind::One(_) => Gold::Class(self.class(gold)?),
                LabelKind::Any(count) => Gold::Classes(self.classes(gold, count)?),
                LabelKind::Numbers(count) => Gold::Numbers(numbers(gold, count)?),
            },
            AnswerKind::Entities => Gold::Tags(self.tags(gold, record)?),
            AnswerKind::NextSentence if record.pair.is_none() => return Ok(None),
            AnswerKind::NextSentence => Gold::Class(follows(gold)?),
            AnswerKind::Choice => Gold::Class(choice(gold, &record.choices)?),
            AnswerKind::Embedding if record.pair.is_none() => return Ok(None),
            AnswerKind::Embedding => Gold::Numbers(numbers(gold, 1)?),
            // The text itself is what is right.
            AnswerKind::FillMask | AnswerKind::Continuation | AnswerKind::Span => return Ok(None),
        }))
    }

    /// The words for the masks of a text that has some, `None` where the record does not say them.
    pub(in crate::tasks) fn words(&self, record: &Record) -> Result<Option<Vec<String>>, Failure> {
        // Beside another text the label says whether that follows.
        let follows = record.pair.is_some() && self.task.answers.len() > 1;
        record.gold.as_ref().filter(|_| !follows).map(words).transpose()
    }

    /// A label by its name or its id. A number may be a name, and is that first.
    fn class(&self, gold: &Value) -> Result<usize, Failure> {
        let id = |name: &str| self.ids.get(name).copied();
        let exact = gold.as_str().and_then(id);
        let spelled = || spelled(gold).and_then(|name| id(&name));
        let found = exact.or_else(spelled).or_else(|| whole(gold));
        let count = self.labels.count();
        found.filter(|index| *index < count).ok_or_else(|| self.no_label(gold, count))
    }

    fn no_label(&self, gold: &Value, count: usize) -> Failure {
        let names: Vec<String> = (0..count).map(|index| self.task.reader.labels.name(index)).collect();
        let listed = list_of(names.iter().take(LISTED).map(String::as_str));
        let more = if count > LISTED { " and others" } else { "" };
        let near = gold.as_str().and_then(|name| nearest(name, names.iter().map(String::as_str)));
        let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        let text = format!("{} is not one of the model's {count} labels: {listed}{more}{near}", shown(gold));
        let last = count.saturating_sub(1);
        Failure::input(text).help(format!(
            "a label is a name, or an id from 0 to {last}; other names are given as \
             `--set 'id2label={{\"0\": \"name\", ...}}'`, another column as `--columns label=NAME`"
        ))
    }

    /// A list of labels, by name or by id; or for every label a truth value or a number that is not whole by
    /// kind (`[1.0, 0.0]`). A text holds them between commas.
    fn classes(&self, gold: &Value, count: usize) -> Result<Vec<bool>, Failure> {
        let list: Vec<Value> = match gold {
            Value::Array(list) => list.clone(),
            Value::String(text) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                parts.map(Value::from).collect()
            }
            one => vec![one.clone()],
        };
        let marks = |value: &Value| value.is_boolean() || value.is_f64();
        if list.len() == count && list.iter().all(marks) {
            return Ok(list.iter().map(|mark| mark.as_bool().unwrap_or(mark.as_f64() > Some(0.5))).collect());
        }
        let mut classes = vec![false; count];
        for label in &list {
            let class = self.class(label)?;
            if let Some(mark) = classes.get_mut(class) {
                *mark = true;
            }
        }
        Ok(classes)
    }

    /// A tag for every word, by name or by id.
    fn tags(&self, gold: &Value, record: &Record) -> Result<Vec<usize>, Failure> {
        let (Value::Array(tags), Text::Words(words)) = (gold, &record.text) else {
            return Err(Failure::input("tags belong to words, and the record has no list of them")
                .help("give CoNLL, or lists: {\"tokens\": [\"a\", \"b\"], \"tags\": [\"O\", \"O\"]}"));
        };
        if tags.len() != words.len() {
            return Err(Failure::input(format!("there are {} tags for {} words", tags.len(), words.len())));
        }
        tags.iter().map(|tag| self.class(tag)).collect()
    }
}

/// A label as it is spelled: a text without the blanks around it, `true`, or a number, `1.0` as `1`.
pub(in crate::tasks) fn spelled(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        _ => return None,
    };
    let number = text.parse().ok().filter(|number: &f64| number.fract() == 0.0 && number.abs() < 1e9);
    match number {
        Some(number) if text.parse::<i64>().is_err() => Some((number as i64).to_string()),
        _ => Some(text),
    }
}

/// A whole number, also as a text.
pub(in crate::tasks) fn whole(value: &Value) -> Option<usize> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    (number.fract() == 0.0 && (0.0..1e9).contains(&number)).then_some(number as usize)
}

fn numbers(gold: &Value, count: usize) -> Result<Vec<f64>, Failure> {
    let list = match gold {
        Value::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    if list.len() != count {
        return Err(Failure::input(format!("there are {} numbers where {count} belong", list.len())));
    }
    let number = |value: &Value| {
        let number = match value {
            Value::String(text) => text.trim().parse().ok(),
            other => other.as_f64(),
        };
        number.filter(|number: &f64| number.is_finite()).ok_or_else(|| {
            Failure::input(format!("{} is not a number", shown(value)))
                .help("is it the right column? name it with --columns label=NAME")
        })
    };
    list.iter().map(number).collect()
}

/// Answer texts: `[{"text": ...}]` as in SQuAD's files, `{"text": [...]}` as in the hub's, or texts.
fn answers(gold: &Value) -> Option<Vec<String>> {
    match gold {
        Value::String(text) => Some(vec![text.clone()]),
        Value::Object(fields) => answers(fields.get("text")?),
        Value::Array(list) => {
            let text = |value: &Value| match value {
                Value::Object(fields) => fields.get("text")?.as_str().map(str::to_owned),
                other => other.as_str().map(str::to_owned),
            };
            list.iter().map(text).collect()
        }
        _ => None,
    }
}

fn no_answers(gold: &Value) -> Failure {
    Failure::input(format!("{} is no list of right answers", shown(gold)))
        .help("write [{\"text\": \"...\"}] as in SQuAD's files, or a list of texts")
}

/// 0 where the second text follows, as BERT labels it.
fn follows(gold: &Value) -> Result<usize, Failure> {
    match gold {
        Value::Bool(follows) => Ok(usize::from(!follows)),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(0),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(1),
        other => whole(other).filter(|class| *class < 2).ok_or_else(|| {
            Failure::input(format!("{} does not say whether the second text follows", shown(other)))
                .help("write 0 where it follows and 1 where it does not, as BERT does, or true and false")
        }),
    }
}

fn choice(gold: &Value, choices: &[String]) -> Result<usize, Failure> {
    let by_text = || choices.iter().position(|choice| Some(choice.as_str()) == gold.as_str());
    let found = whole(gold).filter(|at| *at < choices.len()).or_else(by_text);
    found.ok_or_else(|| {
        let last = choices.len().saturating_sub(1);
        Failure::input(format!("{} is none of the {} choices", shown(gold), choices.len()))
            .help(format!("write its number, from 0 to {last}, or its text"))
    })
}

fn words(gold: &Value) -> Result<Vec<String>, Failure> {
    let list = match gold {
        Value::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    let word = |value: &Value| value.as_str().map(str::to_owned);
    let words: Option<Vec<String>> = list.iter().map(word).collect();
    words.ok_or_else(|| Failure::input(format!("{} is no word for a mask", shown(gold))))
}

/// A value in a message.
pub(in crate::tasks) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("`{}`", shortened(text)),
        other => format!("`{}`", shortened(&other.to_string())),
    }
}
