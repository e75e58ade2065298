//! Diagnostics drawn for people, in rustc's look, and written down for programs.

use crate::diagnostic::{Diagnostic, Diagnostics, Level, Suggestion};
use crate::source::{Source, Sources};
use crate::span::{FileId, Span};
use annotate_snippets::{Annotation, AnnotationKind, Group, Patch, Renderer, Snippet};
use serde_json::{Map, Value, json};
use std::ops::Range;

mod excerpt;

use excerpt::Excerpt;

/// The diagnostics with the lines of source that they speak of, in order, and
/// how many there are if there are several. `color`: with ANSI escapes.
pub fn render(diagnostics: &Diagnostics, sources: &Sources, color: bool) -> String {
    let renderer = if color { Renderer::styled().hyperlink(false) } else { Renderer::plain() };
    let mut drawn: Vec<_> = diagnostics.iter().map(|each| draw(each, sources, &renderer)).collect();
    if diagnostics.len() > 1 {
        drawn.push(summary(diagnostics));
    }
    let mut text = drawn.join("\n\n");
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

/// `2 errors, 1 warning`
fn summary(diagnostics: &Diagnostics) -> String {
    let count = |level, noun| {
        let count = diagnostics.iter().filter(|each| each.level == level).count();
        let plural = if count == 1 { "" } else { "s" };
        (count > 0).then(|| format!("{count} {noun}{plural}"))
    };
    let counts = [count(Level::Error, "error"), count(Level::Warning, "warning")];
    let counts = counts.into_iter().flatten().collect::<Vec<_>>().join(", ");
    if diagnostics.is_full() { counts + "; there may be more" } else { counts }
}

fn draw(diagnostic: &Diagnostic, sources: &Sources, renderer: &Renderer) -> String {
    let level = match diagnostic.level {
        Level::Error => annotate_snippets::Level::ERROR,
        Level::Warning => annotate_snippets::Level::WARNING,
    };
    let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code.0);
    let mut group = Group::with_title(title);
    for (source, places) in together(diagnostic, sources) {
        group = group.element(cause(source, &places));
    }
    group = group
        .elements(diagnostic.notes.iter().map(|note| annotate_snippets::Level::NOTE.message(note.as_str())));
    group = group
        .elements(diagnostic.help.iter().map(|help| annotate_snippets::Level::HELP.message(help.as_str())));
    let mut groups = vec![group];
    groups.extend(diagnostic.suggestion.as_ref().and_then(|suggestion| patch(suggestion, sources)));
    renderer.render(&groups)
}

/// A marked place: where, what is written beside it, and how.
type Place<'d> = (Range<usize>, &'d str, AnnotationKind);

/// The places of a diagnostic, by what is shown together; the primary one's first.
fn together<'d, 's>(diagnostic: &'d Diagnostic, sources: &'s Sources) -> Vec<(&'s Source, Vec<Place<'d>>)> {
    let primary = diagnostic.span.map(|span| (span, diagnostic.label.as_str(), AnnotationKind::Primary));
    let others = diagnostic.labels.iter().map(|(span, text)| (*span, text.as_str(), AnnotationKind::Context));
    let mut shown: Vec<(FileId, &Source, Vec<Place>)> = Vec::new();
    for (span, text, kind) in primary.into_iter().chain(others) {
        let Some(source) = sources.get(span.file) else { continue };
        let place = (bytes(span), text, kind);
        let fits = |(file, _, places): &&mut (FileId, &Source, Vec<Place>)| {
            *file == span.file
                && places.iter().all(|(other, ..)| !excerpt::far_apart(&source.text, &place.0, other))
        };
        match shown.iter_mut().find(fits) {
            Some((.., places)) => places.push(place),
            None => shown.push((span.file, source, vec![place])),
        }
    }
    shown.into_iter().map(|(_, source, places)| (source, places)).collect()
}

fn bytes(span: Span) -> Range<usize> {
    span.start as usize..span.end as usize
}

/// One file's lines with their marks.
fn cause<'d>(source: &'d Source, places: &[Place<'d>]) -> Snippet<'d, Annotation<'d>> {
    let excerpt = Excerpt::new(&source.text, places.iter().map(|(range, ..)| range.clone()));
    let annotations: Vec<_> = places
        .iter()
        .map(|(range, text, kind)| {
            let label = (!text.is_empty()).then_some(*text);
            kind.span(excerpt.range(&source.text, range.clone())).label(label)
        })
        .collect();
    let snippet = Snippet::source(excerpt.text).line_start(excerpt.first_line).path(source.name.as_str());
    snippet.annotations(annotations)
}

/// A suggestion as a change to its lines, or in words if they are too long to show.
fn patch<'d>(suggestion: &'d Suggestion, sources: &'d Sources) -> Option<Group<'d>> {
    let source = sources.get(suggestion.span.file)?;
    let place = bytes(suggestion.span);
    let excerpt = Excerpt::new(&source.text, [place.clone()]);
    let range = excerpt.range(&source.text, place.clone());
    let help = annotate_snippets::Level::HELP;
    if excerpt.cropped || range.len() != place.len() {
        let words = format!("{}: write `{}`", suggestion.message, suggestion.replacement);
        return Some(Group::with_title(help.secondary_title(words)));
    }
    let snippet = Snippet::source(excerpt.text).line_start(excerpt.first_line).path(source.name.as_str());
    let patch = Patch::new(range, suggestion.replacement.as_str());
    Some(help.secondary_title(suggestion.message.as_str()).element(snippet.patch(patch)))
}

/// Line and column, both from 1.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(start..).map_or(0, |line| line.chars().count()) + 1;
    (before.matches('\n').count() + 1, column)
}

/// The diagnostics as a JSON list. Lines and columns count from 1, columns in characters.
pub fn to_json(diagnostics: &Diagnostics, sources: &Sources) -> Value {
    diagnostics.iter().map(|diagnostic| entry(diagnostic, sources)).collect()
}

fn entry(diagnostic: &Diagnostic, sources: &Sources) -> Value {
    let labels = diagnostic.labels.iter().map(|(span, text)| {
        let mut label = place(Some(*span), sources);
        label.insert("label".to_string(), json!(text));
        Value::Object(label)
    });
    let suggestion = diagnostic.suggestion.as_ref().map(|suggestion| {
        let mut entry = place(Some(suggestion.span), sources);
        entry.insert("message".to_string(), json!(suggestion.message));
        entry.insert("replacement".to_string(), json!(suggestion.replacement));
        entry
    });
    let mut entry = Map::new();
    let level = match diagnostic.level {
        Level::Error => "error",
        Level::Warning => "warning",
    };
    entry.insert("level".to_string(), json!(level));
    entry.insert("code".to_string(), json!(diagnostic.code.0));
    entry.insert("message".to_string(), json!(diagnostic.message));
    entry.append(&mut place(diagnostic.span, sources));
    entry.insert("label".to_string(), json!(diagnostic.label));
    entry.insert("labels".to_string(), labels.collect());
    entry.insert("notes".to_string(), json!(diagnostic.notes));
    entry.insert("help".to_string(), json!(diagnostic.help));
    entry.insert("suggestion".to_string(), json!(suggestion));
    Value::Object(entry)
}

/// A span's file, first and last place; null where there is none.
fn place(span: Option<Span>, sources: &Sources) -> Map<String, Value> {
    let source = span.and_then(|span| Some((span, sources.get(span.file)?)));
    let start = source.map(|(span, source)| position(&source.text, span.start as usize));
    let end = source.map(|(span, source)| position(&source.text, span.end as usize));
    let fields = [
        ("file", json!(source.map(|(_, source)| &source.name))),
        ("line", json!(start.map(|start| start.0))),
        ("column", json!(start.map(|start| start.1))),
        ("end_line", json!(end.map(|end| end.0))),
        ("end_column", json!(end.map(|end| end.1))),
    ];
    fields.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
}

#[cfg(test)]
mod tests;
