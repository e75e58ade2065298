//! Text to tree: pest's pairs, turned into the types of [`ast`](super::ast).

mod bodies;
mod errors;
mod expressions;
mod items;
mod rules;

use super::ast::{Docs, Name, SpecFile};
use super::limits;
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::span::{FileId, Span, Spanned};
use crate::stack;
use pest::Parser;
use pest::iterators::{Pair, Pairs};

/// What pest makes of the grammar: the parser and an enum of its rules.
mod grammar {
    #[derive(pest_derive::Parser)]
    #[grammar = "grammar/qdq.pest"]
    pub(super) struct SpecParser;
}

use grammar::{Rule, SpecParser};

/// A part of the tree, or the one thing that is wrong with the text.
type Parse<T> = Result<T, Box<Diagnostic>>;

/// How deep an expression's tree may be: those who walk it may recurse.
const MAX_DEPTH: usize = 128;

/// The tree of one spec file.
///
/// # Errors
/// One diagnostic (`E01xx`), at the first place that cannot be read.
pub fn parse(file: FileId, text: &str) -> Result<SpecFile, Diagnostics> {
    let parsed = limits::check(file, text).and_then(|()| stack::deep(|| parse_here(file, text)));
    parsed.map_err(|diagnostic| {
        let mut diagnostics = Diagnostics::default();
        diagnostics.push(*diagnostic);
        diagnostics
    })
}

fn parse_here(file: FileId, text: &str) -> Parse<SpecFile> {
    let mut pairs =
        SpecParser::parse(Rule::spec, text).map_err(|error| errors::unexpected(file, text, &error))?;
    let mut builder = Builder { file, depth: 0 };
    match pairs.next() {
        Some(spec) => builder.spec(spec),
        None => Ok(SpecFile { items: Vec::new() }),
    }
}

/// Builds the tree from pairs.
struct Builder {
    file: FileId,
    /// How deep the expression being built is nested.
    depth: usize,
}

impl Builder {
    /// The children of a pair.
    fn parts<'i>(&self, pair: Pair<'i, Rule>) -> Parts<'i> {
        let span = self.span(&pair);
        Parts { rule: pair.as_rule(), pairs: pair.into_inner(), span }
    }

    /// Where a pair is written, from its first token to its last: pest lets a
    /// rule that ends in something optional reach over the space behind it.
    fn span(&self, pair: &Pair<'_, Rule>) -> Span {
        let start = pair.as_span().start();
        let mut last = pair.clone();
        while let Some(child) = last.clone().into_inner().next_back() {
            last = child;
        }
        limits::span(self.file, start, last.as_span().end())
    }

    /// A name, or any other token kept as its text.
    fn name(&self, pair: Pair<'_, Rule>) -> Name {
        Spanned { value: pair.as_str().to_string(), span: self.span(&pair) }
    }

    /// A string's text, with its escapes replaced.
    fn string(&self, pair: Pair<'_, Rule>) -> Name {
        let written = pair.as_str();
        let inside = written.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(written);
        let mut value = String::with_capacity(inside.len());
        let mut letters = inside.chars();
        while let Some(letter) = letters.next() {
            value.push(match letter {
                '\\' => match letters.next() {
                    Some('n') => '\n',
                    Some('t') => '\t',
                    Some(escaped) => escaped,
                    None => letter,
                },
                _ => letter,
            });
        }
        Spanned { value, span: self.span(&pair) }
    }

    /// The doc lines that a declaration begins with.
    fn docs(&self, parts: &mut Parts<'_>) -> Docs {
        let mut docs = Docs::new();
        while let Some(doc) = parts.take(Rule::doc) {
            let text = doc.as_str().strip_prefix("///").unwrap_or_default();
            let text = text.strip_prefix(' ').unwrap_or(text).trim_end();
            docs.push(Spanned { value: text.to_string(), span: self.span(&doc) });
        }
        docs
    }
}

/// The children of a pair, taken in order.
struct Parts<'i> {
    /// The parent's rule.
    rule: Rule,
    pairs: Pairs<'i, Rule>,
    /// The parent's place.
    span: Span,
}

impl<'i> Parts<'i> {
    /// The next child, whatever its rule.
    fn any(&mut self) -> Parse<Pair<'i, Rule>> {
        self.pairs.next().ok_or_else(|| errors::mismatch(self.rule, self.span))
    }

    /// The next child if it has this rule.
    fn take(&mut self, rule: Rule) -> Option<Pair<'i, Rule>> {
        self.pairs.peek().filter(|pair| pair.as_rule() == rule)?;
        self.pairs.next()
    }

    /// The next child if it has this rule; says whether it has.
    fn has(&mut self, rule: Rule) -> bool {
        self.take(rule).is_some()
    }

    /// The next child, which the grammar says has this rule.
    fn need(&mut self, rule: Rule) -> Parse<Pair<'i, Rule>> {
        self.take(rule).ok_or_else(|| errors::mismatch(self.rule, self.span))
    }

    /// The child behind this mark, if the mark is there.
    fn after(&mut self, mark: Rule) -> Parse<Option<Pair<'i, Rule>>> {
        if self.has(mark) { self.any().map(Some) } else { Ok(None) }
    }

    /// The remaining children of this rule; marks and words between them are left out.
    fn every(self, rule: Rule) -> impl Iterator<Item = Pair<'i, Rule>> {
        self.pairs.filter(move |pair| pair.as_rule() == rule)
    }
}

#[cfg(test)]
mod tests;
