//! Syntax errors in words: what was expected, what stands there, what was probably meant.

use super::Rule;
use crate::codes;
use crate::diagnostic::Diagnostic;
use crate::span::{FileId, Span};
use crate::syntax::limits;
use crate::syntax::scan::{Token, TokenKind, tokens};
use pest::error::{Error, ErrorVariant, InputLocation};

/// The diagnostic for pest's error.
pub(super) fn unexpected(file: FileId, text: &str, error: &Error<Rule>) -> Box<Diagnostic> {
    let position = match error.location {
        InputLocation::Pos(at) | InputLocation::Span((at, _)) => at,
    };
    let place = Place::find(text, position);
    let span = match place.found {
        Some(found) => limits::span(file, found.start, found.end()),
        None => limits::span(file, place.end, place.end),
    };
    let ErrorVariant::ParsingError { positives, .. } = &error.variant else {
        // Pest's own messages are about its limits alone.
        return Box::new(limits::too_deep(span));
    };
    if let Some(number) = place.found.filter(malformed_number) {
        let message = format!("`{}` is not a number", crop(number.text));
        return Box::new(
            Diagnostic::error(codes::BAD_NUMBER, span, message)
                .help("numbers are written like `12`, `0.5` or `1e-12`, and names begin with a letter"),
        );
    }
    let expected = expectations(positives);
    let message = format!("expected {}, found {}", list(&expected), place.describe());
    let mut diagnostic = Diagnostic::error(codes::UNEXPECTED, span, message);
    if expected.len() > 1 {
        diagnostic = diagnostic.mark("this does not fit here");
    } else if let Some(expected) = expected.first() {
        diagnostic = diagnostic.mark(format!("expected {expected}"));
    }
    if let Some(opener) = place.opener.filter(|opener| place.leaves_open(opener)) {
        let opener_span = limits::span(file, opener.start, opener.end());
        diagnostic = diagnostic.label(opener_span, format!("this `{}` is not closed", opener.text));
    }
    Box::new(advise(diagnostic, file, positives, &place))
}

/// A number that does not fit its type.
pub(super) fn number_too_large(text: &str, span: Span) -> Box<Diagnostic> {
    let limit = if text.contains(['.', 'e', 'E']) { "1.8e308" } else { "9223372036854775807" };
    let message = format!("the number `{}` is too large", crop(text));
    Box::new(Diagnostic::error(codes::BAD_NUMBER, span, message).help(format!("the largest is {limit}")))
}

/// The grammar gave a pair that the tree has no place for. It never does, as
/// long as both say the same; the tests hold them together.
pub(super) fn mismatch(rule: Rule, span: Span) -> Box<Diagnostic> {
    let message = format!("this {rule:?} cannot be read");
    Box::new(Diagnostic::error(codes::UNEXPECTED, span, message))
}

/// What stands at the place of an error and around it.
struct Place<'t> {
    /// The token there; `None` at the end of the file.
    found: Option<Token<'t>>,
    /// The one before it.
    previous: Option<Token<'t>>,
    /// The innermost bracket that is open there.
    opener: Option<Token<'t>>,
    /// Where the last token before it ends.
    end: usize,
}

impl<'t> Place<'t> {
    fn find(text: &'t str, position: usize) -> Place<'t> {
        let mut open: Vec<Token> = Vec::new();
        let mut previous: Option<Token> = None;
        let mut all = tokens(text).filter(|token| token.kind != TokenKind::Comment);
        let found = all.find(|token| {
            if token.end() > position {
                return true;
            }
            match token.text {
                "(" | "[" | "{" => open.push(*token),
                ")" | "]" | "}" => drop(open.pop()),
                _ => {}
            }
            previous = Some(*token);
            false
        });
        Place { found, previous, opener: open.pop(), end: previous.map_or(0, |token| token.end()) }
    }

    /// The file ends, or another bracket closes, before this one is closed.
    fn leaves_open(&self, opener: &Token) -> bool {
        match self.found.map(|found| found.text) {
            None => true,
            Some(")") => opener.text != "(",
            Some("]") => opener.text != "[",
            Some("}") => opener.text != "{",
            Some(_) => false,
        }
    }

    /// A doc comment stands there, or before it with nothing to document.
    fn is_doc(&self) -> bool {
        self.found.or(self.previous).is_some_and(|token| token.kind == TokenKind::Doc)
    }

    fn describe(&self) -> String {
        match self.found {
            None => "the end of the file".to_string(),
            Some(_) if self.is_doc() => "a doc comment".to_string(),
            Some(found) => format!("`{}`", crop(found.text)),
        }
    }
}

/// Text short enough for a message.
fn crop(text: &str) -> String {
    const LONGEST: usize = 40;
    if text.chars().count() <= LONGEST {
        return text.to_string();
    }
    let mut short: String = text.chars().take(LONGEST - 3).collect();
    short.push_str("...");
    short
}

fn malformed_number(token: &Token) -> bool {
    token.kind == TokenKind::Number && token.text.parse::<f64>().is_err()
}

/// Adds what was probably meant.
fn advise(diagnostic: Diagnostic, file: FileId, positives: &[Rule], place: &Place) -> Diagnostic {
    let span = |token: Token| limits::span(file, token.start, token.end());
    let words: Vec<_> = positives.iter().flat_map(|rule| keywords(*rule)).collect();
    let found = place.found.map_or("", |token| token.text);
    let previous = place.previous.map_or("", |token| token.text);
    if let (Some(token), Some(word)) = (place.found, nearest(found, &words)) {
        return diagnostic.suggest(span(token), word, format!("did you mean `{word}`?"));
    }
    // A word before a colon names a submodule, so a misspelt one is found late.
    if let (Some(token), [Rule::colon]) = (place.previous, positives) {
        match nearest(previous, &keywords(Rule::statement)) {
            // A statement that takes no docs was read as a name, because docs stand before it.
            Some(word) if word == previous => return diagnostic.help(MISPLACED_DOC),
            Some(word) => return diagnostic.suggest(span(token), word, format!("did you mean `{word}`?")),
            None => {}
        }
        if found == "=" {
            let named = format!("let {previous}");
            return diagnostic.suggest(span(token), named, "a value is named with `let`");
        }
    }
    match (previous, found) {
        ("/", "/") => diagnostic.help("comments begin with `#`"),
        (_, "|") if positives.contains(&Rule::or) => diagnostic.help("conditions are joined with `or`"),
        (_, "=") if positives.contains(&Rule::comparator) => diagnostic.help("values are compared with `==`"),
        (_, "==") if positives.contains(&Rule::equals) => diagnostic.help("a value is given with `=`"),
        _ if place.is_doc() => diagnostic.help(MISPLACED_DOC),
        _ => diagnostic,
    }
}

const MISPLACED_DOC: &str = "`///` stands before what it documents; other comments begin with `#`";

/// The word of which `written` is a slip of the pen.
fn nearest(written: &str, words: &[&'static str]) -> Option<&'static str> {
    let written = written.to_lowercase();
    let near = words.iter().filter_map(|word| {
        let distance = strsim::damerau_levenshtein(&written, word);
        let limit = match written.len().max(word.len()) {
            0..3 => 0,
            length => (length / 3).max(1),
        };
        (distance <= limit && !written.is_empty()).then_some((distance, !word.starts_with(&written), *word))
    });
    near.min().map(|(_, _, word)| word)
}

/// Says whether a rule is of some kind.
type Kind = fn(Rule) -> bool;

/// What the rules expect, each once: marks and words as written, then the kinds of text.
fn expectations(rules: &[Rule]) -> Vec<String> {
    // So many alternatives of one kind that only the kind says something.
    let many = |of: Kind| rules.iter().filter(|rule| of(**rule)).count() > 3;
    let groups: [(Kind, &str); 3] =
        [(is_item, "a declaration"), (is_statement, "a statement"), (is_operator, "an operator")];
    let mut written = Vec::new();
    let mut kinds = Vec::new();
    for rule in rules {
        let group = groups.iter().find(|(of, _)| of(*rule) && many(*of));
        let text = group.map_or_else(|| phrase(*rule), |(_, kind)| kind.to_string());
        let list = if text.starts_with('`') { &mut written } else { &mut kinds };
        if !list.contains(&text) {
            list.push(text);
        }
    }
    written.append(&mut kinds);
    // A doc comment may stand before anything that is listed anyway.
    if written.len() > 1 {
        written.retain(|text| text != "a doc comment");
    }
    written
}

/// `a`, `b` or `c`
fn list(expected: &[String]) -> String {
    match expected {
        [] => "something else".to_string(),
        [only] => only.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

/// A word that begins a declaration.
fn is_item(rule: Rule) -> bool {
    keyword(rule).is_some_and(|word| keywords(Rule::item).contains(&word))
}

/// A word that begins a statement.
fn is_statement(rule: Rule) -> bool {
    keyword(rule).is_some_and(|word| keywords(Rule::statement).contains(&word))
}

/// What may follow a finished value and carry it on.
fn is_operator(rule: Rule) -> bool {
    matches!(
        rule,
        Rule::plus
            | Rule::minus
            | Rule::times
            | Rule::over
            | Rule::percent
            | Rule::at_sign
            | Rule::comparator
            | Rule::and
            | Rule::or
            | Rule::dot
            | Rule::open
            | Rule::open_bracket
            | Rule::arguments
            | Rule::index
            | Rule::member
    )
}

/// The words that text of this rule may begin with, where it begins with one.
fn keywords(rule: Rule) -> Vec<&'static str> {
    match rule {
        Rule::spec | Rule::item => vec![
            "use", "dim", "config", "let", "type", "record", "require", "fn", "module", "model", "quantize",
        ],
        Rule::statement => vec!["let", "set", "return", "require", "if", "for", "answer"],
        Rule::quantize_rule => vec!["quantizer", "attach", "tie", "limit"],
        Rule::scope => vec!["in", "under", "at"],
        _ => keyword(rule).into_iter().collect(),
    }
}

/// The word that a rule is.
fn keyword(rule: Rule) -> Option<&'static str> {
    Some(match rule {
        Rule::use_ | Rule::use_decl => "use",
        Rule::dim | Rule::dim_decl => "dim",
        Rule::config | Rule::config_decl => "config",
        Rule::type_ | Rule::type_decl => "type",
        Rule::record | Rule::record_decl => "record",
        Rule::fn_ | Rule::fn_decl => "fn",
        Rule::module | Rule::module_decl => "module",
        Rule::model | Rule::model_decl => "model",
        Rule::on => "on",
        Rule::request => "request",
        Rule::unless => "unless",
        Rule::let_ | Rule::let_stmt | Rule::const_decl => "let",
        Rule::set | Rule::set_stmt => "set",
        Rule::return_ | Rule::return_stmt => "return",
        Rule::require_ | Rule::require => "require",
        Rule::answer | Rule::answer_stmt => "answer",
        Rule::if_ | Rule::if_stmt | Rule::if_expr => "if",
        Rule::then => "then",
        Rule::else_ => "else",
        Rule::for_ | Rule::for_stmt => "for",
        Rule::in_ => "in",
        Rule::and => "and",
        Rule::or => "or",
        Rule::not => "not",
        Rule::from | Rule::origin => "from",
        Rule::with_ | Rule::binding => "with",
        Rule::quantize | Rule::quantize_decl => "quantize",
        Rule::quantizer | Rule::quantizer_decl => "quantizer",
        Rule::attach | Rule::attach_rule => "attach",
        Rule::tie | Rule::tie_rule => "tie",
        Rule::limit | Rule::limit_rule => "limit",
        Rule::to => "to",
        Rule::of => "of",
        Rule::under => "under",
        Rule::at => "at",
        Rule::as_ | Rule::alias => "as",
        Rule::except | Rule::exception => "except",
        _ => return None,
    })
}

/// The mark that a rule is, or begins with.
fn mark(rule: Rule) -> Option<&'static str> {
    Some(match rule {
        Rule::arrow => "->",
        Rule::at_sign => "@",
        Rule::bar => "|",
        Rule::close => ")",
        Rule::close_brace => "}",
        Rule::close_bracket => "]",
        Rule::colon => ":",
        Rule::comma => ",",
        Rule::dot | Rule::member => ".",
        Rule::dots => "..",
        Rule::ellipsis => "...",
        Rule::equals => "=",
        Rule::minus => "-",
        Rule::open | Rule::ports | Rule::settings | Rule::inputs | Rule::outputs | Rule::arguments => "(",
        Rule::open_brace | Rule::body => "{",
        Rule::open_bracket | Rule::shape | Rule::index => "[",
        Rule::over => "/",
        Rule::percent => "%",
        Rule::plus => "+",
        Rule::question => "?",
        Rule::times | Rule::repeat => "*",
        _ => return None,
    })
}

/// A rule in a message's words.
fn phrase(rule: Rule) -> String {
    if let Some(text) = keyword(rule).or_else(|| mark(rule)) {
        return format!("`{text}`");
    }
    let text = match rule {
        Rule::EOI => "the end of the file",
        Rule::spec | Rule::item => "a declaration",
        Rule::statement | Rule::declaration => "a statement",
        Rule::quantize_rule => "a rule",
        Rule::scope => "`in`, `under`, `at`",
        Rule::type_expr | Rule::alternative | Rule::tensor_type | Rule::dtype | Rule::result => "a type",
        Rule::config_type => "a type or a list of strings",
        Rule::placement => "a module",
        Rule::size => "a size",
        Rule::name | Rule::field | Rule::port | Rule::setting | Rule::input | Rule::output => "a name",
        Rule::dim_binding | Rule::sites => "a name",
        Rule::string => "a string",
        Rule::number => "a number",
        Rule::path | Rule::segment => "a path",
        Rule::doc => "a doc comment",
        Rule::comparator => "a comparison",
        _ => "an expression",
    };
    text.to_string()
}
