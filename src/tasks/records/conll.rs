//! CoNLL: a word and its tag a line, a blank line after each sentence.

use super::{
    Problem,
    lines::{LONGEST, Lines},
    rows::Row,
};
use crate::failure::Failure;
use serde_json::{Map, Value};

/// The line that begins a document, which is no word.
const DOCUMENT: &str = "-DOCSTART-";

/// The sentences of a file: of each line the first column is the word and the last its tag, between tabs
/// where the line has any, and else between spaces. Lines of one column are words without tags.
pub(super) struct Sentences(pub(super) Lines);

/// A sentence while it is read.
#[derive(Default)]
struct Sentence {
    words: Vec<Value>,
    tags: Vec<Value>,
    bytes: usize,
    /// The first line, and why the sentence cannot be used.
    line: u64,
    problem: Option<Problem>,
}

impl Iterator for Sentences {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        let mut sentence = Sentence::default();
        for line in self.0.by_ref() {
            match line {
                Err(problem) => sentence.refuse(problem),
                Ok((_, text)) if text.trim().is_empty() || text.starts_with(DOCUMENT) => {
                    if !sentence.is_empty() {
                        break;
                    }
                }
                Ok((number, text)) => sentence.take(number, &text),
            }
        }
        (!sentence.is_empty()).then(|| sentence.row())
    }
}

impl Sentence {
    fn is_empty(&self) -> bool {
        self.words.is_empty() && self.problem.is_none()
    }

    fn refuse(&mut self, problem: Problem) {
        self.problem.get_or_insert(problem);
    }

    fn take(&mut self, number: u64, text: &str) {
        let (word, tag) = columns(text);
        if self.words.is_empty() {
            self.line = number;
        } else if tag.is_some() == self.tags.is_empty() {
            let text = if tag.is_some() { "a tag" } else { "no tag" };
            let text = format!("the line has {text}, unlike those above it in its sentence");
            self.refuse(Problem::new(
                number,
                Failure::input(text).help("put a blank line between sentences"),
            ));
        }
        self.bytes = self.bytes.saturating_add(text.len());
        if self.bytes > LONGEST {
            let text = format!("the sentence is longer than {} MiB", LONGEST >> 20);
            self.refuse(Problem::new(
                self.line,
                Failure::input(text).help("put a blank line between sentences"),
            ));
        }
        if self.problem.is_none() {
            self.words.push(word.into());
            self.tags.extend(tag.map(Value::from));
        }
    }

    fn row(self) -> Row {
        if let Some(problem) = self.problem {
            return Err(problem);
        }
        let mut fields = Map::from_iter([("tokens".to_owned(), Value::Array(self.words))]);
        if !self.tags.is_empty() {
            fields.insert("tags".into(), Value::Array(self.tags));
        }
        Ok((self.line, fields))
    }
}

/// The first column, and the last where there is more than one.
fn columns(line: &str) -> (&str, Option<&str>) {
    match line.contains('\t') {
        true => {
            let mut cells = line.split('\t');
            (cells.next().unwrap_or_default(), cells.next_back().map(str::trim))
        }
        false => {
            let mut cells = line.split_whitespace();
            (cells.next().unwrap_or_default(), cells.next_back())
        }
    }
}
