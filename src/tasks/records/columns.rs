//! Which fields of a row are the text, the pair and the choices.

use super::{Record, Text};
use crate::{failure::Failure, names::nearest};
use serde_json::{Map, Value};
use std::str::FromStr;

/// Names a text goes by, the likeliest first.
const TEXT: [&str; 14] = [
    "text",
    "tokens",
    "words",
    "sentence",
    "sentence1",
    "premise",
    "question",
    "question1",
    "prompt",
    "startphrase",
    "sent1",
    "query",
    "content",
    "review",
];

/// Names a second text goes by, the likeliest first.
const PAIR: [&str; 8] =
    ["text_pair", "pair", "sentence2", "hypothesis", "context", "question2", "sent2", "passage"];

/// Names a list of choices goes by.
const CHOICES: [&str; 3] = ["choices", "endings", "options"];

/// Names of single choices, each followed by a number: `ending0`, `ending1`, ...
const CHOICE: [&str; 2] = ["ending", "choice"];

/// Names that what is right goes by, the likeliest first.
const GOLD: [&str; 12] = [
    "label",
    "labels",
    "gold",
    "ner_tags",
    "tags",
    "answers",
    "score",
    "similarity_score",
    "is_next",
    "next_sentence_label",
    "answer",
    "target",
];

/// Which fields of a row are the text, the pair, the choices and what is right. By default the names that data sets use;
/// once the text is given, exactly the given text, pair and choices count.
///
/// As text: `text=sentence,pair=context,choices=a+b+c,label=gold`. Where all are numbers (`text=6,pair=7`), they count
/// the columns of a table without a header, from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    /// The field of the text: a string, or a list of words.
    pub text: Option<String>,
    /// The field of the second text.
    pub pair: Option<String>,
    /// The field with a list of choices, or one field for each choice.
    pub choices: Vec<String>,
    /// The field of what is right: a label, a score, tags, answers.
    pub label: Option<String>,
}

impl FromStr for Columns {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Columns, Failure> {
        let usage = |message: String| {
            Failure::usage(message).help("write for example --columns text=question,pair=context")
        };
        let mut columns = Columns::default();
        for part in text.split(',') {
            let (role, name) = part
                .split_once('=')
                .ok_or_else(|| usage(format!("`{part}` is not of the form text=NAME")))?;
            let name = name.trim();
            if name.is_empty() {
                return Err(usage(format!("`{part}` names no column")));
            }
            match role.trim() {
                "text" => columns.text = Some(name.to_owned()),
                "pair" | "text_pair" => columns.pair = Some(name.to_owned()),
                "choices" => columns.choices = name.split('+').map(|name| name.trim().to_owned()).collect(),
                "label" | "gold" => columns.label = Some(name.to_owned()),
                role => return Err(usage(format!("`{role}` is not one of text, pair, choices, label"))),
            }
        }
        if columns.text.is_none() && (columns.pair.is_some() || !columns.choices.is_empty()) {
            return Err(usage(format!("`{text}` does not say which column is the text")));
        }
        Ok(columns)
    }
}

impl Columns {
    /// Every column is given, and by its number: the table has no header.
    pub(super) fn are_numbers(&self) -> bool {
        self.text.is_some() && self.given().all(|name| name.parse::<usize>().is_ok())
    }

    fn given(&self) -> impl Iterator<Item = &String> {
        self.text.iter().chain(&self.pair).chain(&self.choices).chain(&self.label)
    }

    /// Refuses a header without the given columns, or without any that is known to be a text.
    pub(super) fn check(&self, header: &[String], name: &str) -> Result<(), Failure> {
        let has = |column: &str| header.iter().any(|cell| cell == column);
        let given = self.given().find(|column| !has(column));
        let missing = match (given, &self.text) {
            (Some(column), _) => {
                let near = nearest(column, header.iter().map(String::as_str));
                let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                let columns = list(header.iter());
                format!("`{name}` has no column `{column}`; its columns are {columns}{near}")
            }
            (None, None) if !TEXT.iter().any(|column| has(column)) => {
                let columns = list(header.iter());
                format!("`{name}` has no column that is known to be a text; its columns are {columns}")
            }
            _ => return Ok(()),
        };
        Err(Failure::input(missing).help(
            "name the columns: --columns text=NAME,pair=NAME,label=NAME; without a header, number them: \
             --columns text=1,label=2",
        ))
    }

    /// Takes the text, the pair and the choices out of a row; the other fields stay with the record.
    pub(super) fn record(&self, line: u64, mut fields: Map<String, Value>) -> Result<Record, Failure> {
        let gold = self.gold(&fields)?;
        let known = self.text.is_none();
        let name = match &self.text {
            Some(name) => fields.contains_key(name).then_some(name.as_str()),
            None => first(&TEXT, &fields),
        };
        let name = name.ok_or_else(|| self.missing(&fields))?.to_owned();
        let text = text(&name, fields.shift_remove(&name).unwrap_or_default())?;
        let pair = match &self.pair {
            None if known => first(&PAIR, &fields).map(str::to_owned),
            given => given.clone(),
        };
        let pair = match pair {
            Some(name) => optional(&name, fields.shift_remove(&name))?,
            None => None,
        };
        let choices = if known { known_choices(&mut fields)? } else { self.given_choices(&mut fields)? };
        Ok(Record { line, text, pair, choices, gold, fields })
    }

    fn gold(&self, fields: &Map<String, Value>) -> Result<Option<Value>, Failure> {
        let name = match &self.label {
            Some(name) if fields.contains_key(name) => Some(name.as_str()),
            Some(name) => {
                let text = format!("the record has no field `{name}`, only {}", list(fields.keys()));
                return Err(
                    Failure::input(text).help("name the field of the label with --columns label=NAME")
                );
            }
            None => first(&GOLD, fields),
        };
        Ok(name.and_then(|name| fields.get(name)).filter(|value| !value.is_null()).cloned())
    }

    fn missing(&self, fields: &Map<String, Value>) -> Failure {
        if self.text.is_none()
            && let Some(name) = TEXT.into_iter().find(|name| fields.contains_key(*name))
        {
            return Failure::input(format!("field `{name}` holds null where text belongs"));
        }
        let what = self.text.as_ref().map_or("text".to_owned(), |name| format!("field `{name}`"));
        Failure::input(format!("the record has no {what}, only {}", list(fields.keys())))
            .help("name the field of the text with --columns text=NAME")
    }

    fn given_choices(&self, fields: &mut Map<String, Value>) -> Result<Vec<String>, Failure> {
        let mut choices = Vec::new();
        for name in &self.choices {
            match fields.shift_remove(name) {
                None => return Err(Failure::input(format!("the record has no field `{name}`"))),
                Some(Value::Array(values)) => choices.extend(strings(name, values)?),
                Some(value) => choices.push(string(name, value)?),
            }
        }
        Ok(choices)
    }
}

fn known_choices(fields: &mut Map<String, Value>) -> Result<Vec<String>, Failure> {
    let lists = |name: &&str| fields.get(*name).is_some_and(Value::is_array);
    if let Some(name) = CHOICES.into_iter().find(lists) {
        return match fields.shift_remove(name) {
            Some(Value::Array(values)) => strings(name, values),
            _ => Ok(Vec::new()),
        };
    }
    for prefix in CHOICE {
        let number = |name: &String| name.strip_prefix(prefix)?.parse::<usize>().ok();
        let mut names: Vec<(usize, String)> =
            fields.keys().filter_map(|name| Some((number(name)?, name.clone()))).collect();
        names.sort();
        if names.len() > 1 {
            let take =
                |(_, name): (usize, String)| string(&name, fields.shift_remove(&name).unwrap_or_default());
            return names.into_iter().map(take).collect();
        }
    }
    Ok(Vec::new())
}

fn first<'a>(names: &[&'a str], fields: &Map<String, Value>) -> Option<&'a str> {
    names.iter().copied().find(|name| fields.get(*name).is_some_and(|value| !value.is_null()))
}

fn text(name: &str, value: Value) -> Result<Text, Failure> {
    match value {
        Value::Array(values) => Ok(Text::Words(strings(name, values)?)),
        value => Ok(Text::Plain(string(name, value)?)),
    }
}

fn optional(name: &str, value: Option<Value>) -> Result<Option<String>, Failure> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(value) => string(name, value).map(Some),
    }
}

fn strings(name: &str, values: Vec<Value>) -> Result<Vec<String>, Failure> {
    values.into_iter().map(|value| string(name, value)).collect()
}

fn string(name: &str, value: Value) -> Result<String, Failure> {
    let kind = match value {
        Value::String(text) => return Ok(text),
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    };
    Err(Failure::input(format!("field `{name}` holds {kind} where text belongs")))
}

fn list<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "nothing".into() } else { names.join(", ") }
}
