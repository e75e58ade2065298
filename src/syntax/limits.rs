//! What is refused before the grammar sees it: files too large or nested too
//! deeply for a parser to be safe, and text that holds no token at all.

use super::scan::{Token, TokenKind, tokens};
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::span::{FileId, Span};
use std::ops::Range;

/// The largest spec, in bytes.
pub(super) const MAX_BYTES: usize = 1 << 20;

/// The most tokens in a spec, comments aside: a bound on the parser's memory.
pub(super) const MAX_TOKENS: usize = 100_000;

/// The longest word, in bytes: names are repeated in paths and messages.
pub(super) const MAX_WORD: usize = 255;

/// How deep brackets, `else if` and `if ... then` may be nested together.
pub(super) const MAX_NESTING: usize = 64;

/// The span of a token.
pub(super) fn span(file: FileId, start: usize, end: usize) -> Span {
    let offset = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Span { file, start: offset(start), end: offset(end) }
}

/// Refuses text that the parser must not be given.
pub(super) fn check(file: FileId, text: &str) -> Result<(), Box<Diagnostic>> {
    if text.len() > MAX_BYTES {
        let message = format!("the file has {} bytes, but a spec has at most {MAX_BYTES}", text.len());
        return Err(Box::new(
            Diagnostic::error(codes::TOO_LARGE, span(file, 0, 0), message)
                .help("check that this is a spec; move shared modules to a file that others `use`"),
        ));
    }
    let mut nesting = Nesting::default();
    let mut previous: Option<Token> = None;
    let counted = tokens(text).filter(|token| token.kind != TokenKind::Comment);
    for (count, token) in counted.enumerate() {
        if let Some(diagnostic) = bad_token(file, token) {
            return Err(Box::new(diagnostic));
        }
        if count >= MAX_TOKENS {
            let message = format!("the file has more than {MAX_TOKENS} words and marks");
            return Err(Box::new(
                Diagnostic::error(codes::TOO_LARGE, span(file, token.start, token.end()), message)
                    .help("repeat modules with `* count` and move shared ones to a file that others `use`"),
            ));
        }
        nesting.step(previous, token);
        if nesting.depth() > MAX_NESTING {
            return Err(Box::new(too_deep(span(file, token.start, token.end()))));
        }
        previous = Some(token);
    }
    Ok(())
}

/// The error for a place that is nested too deeply.
pub(super) fn too_deep(span: Span) -> Diagnostic {
    Diagnostic::error(codes::TOO_DEEP, span, "this is nested too deeply")
        .mark("one step too many")
        .help("name a part of it with `let` and use the name")
}

/// What is wrong with a token, wherever it stands.
fn bad_token(file: FileId, token: Token) -> Option<Diagnostic> {
    let place = span(file, token.start, token.end());
    match token.kind {
        TokenKind::Unknown => Some(unknown_character(place, token.text)),
        TokenKind::Word if token.text.len() > MAX_WORD => {
            let message =
                format!("the word has {} letters, but a name has at most {MAX_WORD}", token.text.len());
            Some(Diagnostic::error(codes::TOO_LARGE, place, message).help("choose a shorter name"))
        }
        TokenKind::OpenString => Some(
            Diagnostic::error(codes::BAD_STRING, place, "this string does not end on its line")
                .help("end it with `\"`; write `\\n` for a line break inside a string"),
        ),
        TokenKind::String => bad_escape(token.text).map(|escape| {
            let place = span(file, token.start + escape.start, token.start + escape.end);
            let written = visible(token.text.get(escape).unwrap_or("\\"));
            Diagnostic::error(codes::BAD_STRING, place, format!("`{written}` means nothing in a string"))
                .help("write `\\\\` for a backslash; the other escapes are `\\\"`, `\\n` and `\\t`")
        }),
        _ => None,
    }
}

/// Where a string has a backslash before a character that takes none.
fn bad_escape(string: &str) -> Option<Range<usize>> {
    let mut letters = string.char_indices();
    while let Some((start, letter)) = letters.next() {
        if letter == '\\' {
            let (at, escaped) = letters.next()?;
            if !matches!(escaped, '"' | '\\' | 'n' | 't') {
                return Some(start..at + escaped.len_utf8());
            }
        }
    }
    None
}

/// The text with characters that do not show written as escapes.
fn visible(text: &str) -> String {
    let escape = |letter: char| match letter {
        '\\' | '\'' | '"' => letter.to_string(),
        _ => letter.escape_debug().to_string(),
    };
    text.chars().map(escape).collect()
}

fn unknown_character(place: Span, text: &str) -> Diagnostic {
    let message = format!("unknown character `{}`", visible(text));
    let error = Diagnostic::error(codes::UNKNOWN_CHARACTER, place, message);
    match text {
        ";" => error.suggest(place, "", "statements end without a mark"),
        "'" | "`" | "\u{201c}" | "\u{201d}" | "\u{2018}" | "\u{2019}" => {
            error.help("strings are written in `\"`")
        }
        "&" => error.help("write `and`"),
        "!" => error.help("write `not`"),
        "\u{d7}" => error.suggest(place, "*", "multiplication is written `*`"),
        "\u{2192}" => error.suggest(place, "->", "the arrow is written `->`"),
        _ => error,
    }
}

/// How deeply the text read so far is nested.
///
/// An `if` nests in the one before it unless something between them ends that
/// one: a comma, colon, `=`, or a `}` without `else`.
#[derive(Default)]
struct Nesting {
    /// For each open bracket, the `if`s nested at its level.
    brackets: Vec<usize>,
    /// The `if`s nested outside the innermost bracket.
    outer: usize,
    /// The `if`s nested in the innermost bracket.
    here: usize,
}

impl Nesting {
    fn depth(&self) -> usize {
        self.brackets.len() + self.outer + self.here
    }

    fn step(&mut self, previous: Option<Token>, token: Token) {
        if previous.is_some_and(|previous| previous.text == "}") && token.text != "else" {
            self.here = 0;
        }
        match token.text {
            "(" | "[" | "{" => {
                self.brackets.push(self.here);
                self.outer += self.here;
                self.here = 0;
            }
            ")" | "]" | "}" => {
                self.here = self.brackets.pop().unwrap_or(0);
                self.outer -= self.here.min(self.outer);
            }
            "," | ":" | "=" => self.here = 0,
            "if" => self.here += 1,
            _ => {}
        }
    }
}
