//! The text as words, numbers, strings, marks and comments.
//!
//! The grammar does not need this: it serves what looks at the text without a
//! grammar, namely the limits, the wording of errors and the layout.

/// A word, number, string, mark or comment, and where it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'t> {
    pub kind: TokenKind,
    pub text: &'t str,
    pub start: usize,
}

impl Token<'_> {
    /// One past its last byte.
    pub fn end(&self) -> usize {
        self.start + self.text.len()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    Word,
    /// Digits and what follows them without a gap, well-formed or not.
    Number,
    /// A string with both quotes.
    String,
    /// A string that does not end on its line.
    OpenString,
    Mark,
    /// `/// ...`
    Doc,
    /// `# ...`
    Comment,
    /// A character that begins nothing.
    Unknown,
}

/// The tokens of `text`, in order.
pub(super) fn tokens(text: &str) -> Tokens<'_> {
    Tokens { text, at: 0 }
}

#[derive(Clone, Debug)]
pub(super) struct Tokens<'t> {
    text: &'t str,
    at: usize,
}

/// What separates tokens: the grammar's `WHITESPACE`.
const SPACE: [char; 5] = [' ', '\t', '\r', '\n', '\u{feff}'];

impl<'t> Iterator for Tokens<'t> {
    type Item = Token<'t>;

    fn next(&mut self) -> Option<Token<'t>> {
        let rest = self.text.get(self.at..)?.trim_start_matches(SPACE);
        let start = self.text.len() - rest.len();
        let (kind, length) = measure(rest)?;
        self.at = start + length;
        Some(Token { kind, text: self.text.get(start..self.at)?, start })
    }
}

/// The kind and length in bytes of the token that `rest` begins with; `None` at the end.
fn measure(rest: &str) -> Option<(TokenKind, usize)> {
    let first = rest.chars().next()?;
    Some(match first {
        '#' => (TokenKind::Comment, line(rest)),
        '/' if rest.starts_with("///") => (TokenKind::Doc, line(rest)),
        '"' => string(rest),
        '0'..='9' => (TokenKind::Number, number(rest)),
        'a'..='z' | 'A'..='Z' | '_' => (TokenKind::Word, run(rest, is_letter)),
        _ => match MARKS.iter().find(|mark| rest.starts_with(**mark)) {
            Some(mark) => (TokenKind::Mark, mark.len()),
            None => (TokenKind::Unknown, first.len_utf8()),
        },
    })
}

/// Marks of the grammar, longer ones first.
const MARKS: [&str; 27] = [
    "...", "..", "->", "==", "!=", "<=", ">=", "@", "|", ")", "}", "]", ":", ",", "<", ">", ".", "=", "-",
    "(", "{", "[", "/", "%", "+", "?", "*",
];

fn is_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// The length of the longest beginning of `rest` that consists of such characters.
fn run(rest: &str, of: impl Fn(char) -> bool) -> usize {
    rest.find(|c| !of(c)).unwrap_or(rest.len())
}

fn line(rest: &str) -> usize {
    run(rest, |c| c != '\n')
}

fn string(rest: &str) -> (TokenKind, usize) {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            '\n' => return (TokenKind::OpenString, at),
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return (TokenKind::String, at + 1),
            _ => {}
        }
    }
    (TokenKind::OpenString, rest.len())
}

fn number(rest: &str) -> usize {
    let digits = |from: usize| rest.get(from..).map_or(0, |rest| run(rest, |c| c.is_ascii_digit()));
    let mut end = digits(0);
    if rest.get(end..).is_some_and(|rest| rest.starts_with('.')) && digits(end + 1) > 0 {
        end += 1 + digits(end + 1);
    }
    let exponent = rest.get(end..).and_then(|rest| rest.strip_prefix(['e', 'E']));
    let signed = exponent.is_some_and(|rest| rest.starts_with(['+', '-'])) && digits(end + 2) > 0;
    end += if signed { 2 } else { 0 };
    end + rest.get(end..).map_or(0, |rest| run(rest, is_letter))
}
