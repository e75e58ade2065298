//! SQuAD's JSON: articles of paragraphs, each a context with its questions.
//!
//! Version 1.1 (Rajpurkar et al. 2016) and 2.0 (2018), where a question may have no answer.

use super::{
    Problem,
    rows::{Row, unplaced},
};
use crate::failure::Failure;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::io::Read;

#[derive(Deserialize)]
struct File {
    data: Vec<Article>,
}

#[derive(Deserialize)]
struct Article {
    #[serde(default)]
    title: Option<String>,
    paragraphs: Vec<Paragraph>,
}

#[derive(Deserialize)]
struct Paragraph {
    context: String,
    qas: Vec<Map<String, Value>>,
}

/// The questions of a file, numbered from 1: each has its own fields (`id`, `question`, `answers`,
/// `is_impossible`), the context, and the article's `title`. `None` where the file is empty.
///
/// # Errors
/// It cannot be read, is not JSON, or is not laid out as SQuAD is.
pub(super) fn rows(
    mut reader: Box<dyn Read>,
    name: &str,
) -> Result<Option<impl Iterator<Item = Row> + 'static>, Failure> {
    let mut bytes = Vec::new();
    reader
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::outside(format!("`{name}` cannot be read: {error}")))?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    if bytes.trim_ascii().is_empty() {
        return Ok(None);
    }
    let file: File = serde_json::from_slice(bytes).map_err(|error| broken(name, &error))?;
    let questions = file.data.into_iter().flat_map(|article| {
        let title = article.title;
        article.paragraphs.into_iter().flat_map(move |paragraph| questions(title.clone(), paragraph))
    });
    Ok(Some((1..).zip(questions).map(|(number, fields)| match fields.get("question") {
        Some(Value::String(_)) => Ok((number, fields)),
        _ => Err(Problem::new(number, Failure::input("`question` is missing, or is no text"))),
    })))
}

fn questions(title: Option<String>, paragraph: Paragraph) -> impl Iterator<Item = Map<String, Value>> {
    let Paragraph { context, qas } = paragraph;
    qas.into_iter().map(move |mut fields| {
        fields.insert("context".into(), Value::String(context.clone()));
        if let Some(title) = &title {
            fields.insert("title".into(), Value::String(title.clone()));
        }
        fields
    })
}

fn broken(name: &str, error: &serde_json::Error) -> Failure {
    let (line, column) = (error.line(), error.column());
    let what =
        if error.is_data() { "is not laid out as SQuAD's JSON is" } else { "is not one JSON document" };
    let text = format!("`{name}` {what}: {} at line {line}, column {column}", unplaced(error));
    Failure::input(text).help(
        "SQuAD is data[].paragraphs[].{context, qas[]}; a file with one object a line is --format jsonl",
    )
}
