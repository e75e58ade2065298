//! Text records, streamed from the command line or from a file.
//!
//! Memory does not grow with the file, except with SQuAD's, which is one JSON document. A record that cannot be read is an error of its own, with its line
//! number, and the ones after it are read all the same.

mod columns;
mod conll;
mod lines;
mod rows;
mod squad;
#[cfg(test)]
mod tests;

pub use columns::Columns;

use crate::failure::Failure;
use lines::Lines;
use rows::Row;
use serde_json::{Map, Value};
use std::{borrow::Cow, fmt, fs::File, io::Read, path::Path, sync::Arc};

/// One thing to ask a model about.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Record {
    /// The line it begins on, or which of the `--text`s or of a SQuAD file's questions it is, from 1.
    pub line: u64,
    /// The text, or the first of two.
    pub text: Text,
    /// The second text: a hypothesis, a context.
    pub pair: Option<String>,
    /// Endings to choose from.
    pub choices: Vec<String>,
    /// What is right: a label, a score, tags, answers. It is among `fields`, too.
    pub gold: Option<Value>,
    /// The other fields, such as `id`; answers carry them along.
    pub fields: Map<String, Value>,
}

/// A text as it is, or already cut into words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// As it is.
    Plain(String),
    /// Words; as one text they are joined by single spaces.
    Words(Vec<String>),
}

impl Text {
    /// The whole text.
    pub fn joined(&self) -> Cow<'_, str> {
        match self {
            Text::Plain(text) => Cow::Borrowed(text),
            Text::Words(words) => Cow::Owned(words.join(" ")),
        }
    }
}

impl Default for Text {
    fn default() -> Text {
        Text::Plain(String::new())
    }
}

/// Why there is no answer to a record.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The record's line; 0 where it is about no single record.
    pub line: u64,
    /// Why. Records that were run together may share it.
    pub failure: Arc<Failure>,
}

impl Problem {
    pub(crate) fn new(line: u64, failure: impl Into<Arc<Failure>>) -> Problem {
        Problem { line, failure: failure.into() }
    }

    /// The failure alone.
    pub(crate) fn into_failure(self) -> Failure {
        let line = self.line;
        match Arc::try_unwrap(self.failure) {
            Ok(failure) => failure,
            Err(shared) => Failure::outside(format!("line {line}: {shared}")),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => self.failure.fmt(f),
            line => write!(f, "line {line}: {}", self.failure),
        }
    }
}

/// How a file holds records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated values with a header, quoted as in RFC 4180.
    Csv,
    /// Tab-separated values with a header; quotes mean nothing.
    Tsv,
    /// One text a line.
    Txt,
    /// A word and its tag a line, a blank line after each sentence.
    Conll,
    /// The JSON document of SQuAD: articles, paragraphs, questions.
    Squad,
}

impl Format {
    /// Every format with its name.
    pub const ALL: [(Format, &'static str); 6] = [
        (Format::Jsonl, "jsonl"),
        (Format::Csv, "csv"),
        (Format::Tsv, "tsv"),
        (Format::Txt, "txt"),
        (Format::Conll, "conll"),
        (Format::Squad, "squad"),
    ];

    /// The format with this name.
    pub fn from_name(name: &str) -> Option<Format> {
        Self::ALL.into_iter().find(|(_, known)| name.eq_ignore_ascii_case(known)).map(|(format, _)| format)
    }

    /// The format that a file's extension names: its own name, or `ndjson` for jsonl and `json` for SQuAD.
    fn from_path(path: &Path) -> Result<Format, Failure> {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let name = match extension.to_ascii_lowercase().as_str() {
            "ndjson" => "jsonl".to_owned(),
            "json" => "squad".to_owned(),
            other => other.to_owned(),
        };
        Self::from_name(&name).ok_or_else(|| {
            Failure::usage(format!("`{}` does not say by its name what format it has", path.display()))
                .help("say it with --format jsonl, csv, tsv, txt, conll or squad")
        })
    }
}

/// Records one after another.
pub struct Records {
    items: Box<dyn Iterator<Item = Result<Record, Problem>>>,
    noun: &'static str,
}

impl Records {
    /// Records of texts at hand. There are as many pairs as texts, or none; the choices belong to every text.
    pub fn texts(texts: Vec<String>, pairs: Vec<String>, choices: Vec<String>) -> Result<Records, Failure> {
        if !pairs.is_empty() && pairs.len() != texts.len() {
            let text = format!("{} texts and {} second texts do not pair up", texts.len(), pairs.len());
            return Err(Failure::usage(text).help("give --text-pair once for every --text"));
        }
        let mut pairs = pairs.into_iter();
        let records = (1..).zip(texts).map(move |(line, text)| {
            let (text, pair, choices) = (Text::Plain(text), pairs.next(), choices.clone());
            Ok(Record { line, text, pair, choices, gold: None, fields: Map::new() })
        });
        Ok(Records { items: Box::new(records), noun: "text" })
    }

    /// Records of a file, or of the standard input where the path is `-`. The format is the one given, or the
    /// one that the file's extension names.
    pub fn open(path: &Path, format: Option<Format>, columns: Columns) -> Result<Records, Failure> {
        if path.as_os_str() == "-" {
            return Self::read(Box::new(std::io::stdin()), "the standard input", format, columns);
        }
        let name = path.display().to_string();
        if path.is_dir() {
            return Err(Failure::input(format!("`{name}` is a folder, not a file of records")));
        }
        let format = match format {
            Some(format) => format,
            None => Format::from_path(path)?,
        };
        let cannot = |error| Failure::outside(format!("cannot open `{name}`: {error}"));
        let file = File::open(path).map_err(cannot)?;
        Self::read(Box::new(file), &name, Some(format), columns)
    }

    /// Records of a stream, called `name` in messages. Without a format it is `jsonl` where the first line
    /// that is not blank begins with `{`, and `txt` otherwise. `Err` where there is no record in it at all.
    pub fn read(
        reader: Box<dyn Read>,
        name: &str,
        format: Option<Format>,
        columns: Columns,
    ) -> Result<Records, Failure> {
        let empty = || Failure::input(format!("`{name}` is empty"));
        if format == Some(Format::Squad) {
            let rows = squad::rows(reader, name)?.ok_or_else(empty)?;
            let none = || Failure::input(format!("`{name}` has no questions"));
            return Self::of(Box::new(rows), Columns::default(), "question", none);
        }
        let mut lines = Lines::new(reader);
        let Some(first) = lines.peek() else {
            return Err(empty());
        };
        let braced = matches!(first, Ok((_, text)) if text.trim_start().starts_with('{'));
        let format = format.unwrap_or(if braced { Format::Jsonl } else { Format::Txt });
        let columns =
            if matches!(format, Format::Txt | Format::Conll) { Columns::default() } else { columns };
        let rows = rows::rows(lines, format, &columns, name)?;
        let none = || match format {
            Format::Conll => Failure::input(format!("`{name}` has no sentences")),
            _ => Failure::input(format!("`{name}` has a header and no records")),
        };
        Self::of(rows, columns, "line", none)
    }

    /// Records of rows; the failure where there are none.
    fn of(
        rows: Box<dyn Iterator<Item = Row>>,
        columns: Columns,
        noun: &'static str,
        none: impl Fn() -> Failure,
    ) -> Result<Records, Failure> {
        let mut items = rows.map(move |row| {
            let (line, fields) = row?;
            columns.record(line, fields).map_err(|failure| Problem::new(line, failure))
        });
        let first = items.next().ok_or_else(none)?;
        Ok(Records { items: Box::new(std::iter::once(first).chain(items)), noun })
    }

    /// What [`Record::line`] counts: "line", "question" or "text".
    pub fn noun(&self) -> &'static str {
        self.noun
    }
}

impl Iterator for Records {
    type Item = Result<Record, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        self.items.next()
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").finish_non_exhaustive()
    }
}
