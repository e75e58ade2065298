//! A problem as data: code, message, places, help, suggestion.
//!
//! Diagnostics are built where the fact is known and drawn by
//! `report` alone. Messages are lower case, without a full
//! stop, and name both sides with their sizes; help is an instruction.

use crate::span::Span;
use serde::Serialize;

/// A diagnostic's code, such as `E0203`; `codes` explains each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Code(pub &'static str);

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Level {
    /// Nothing can be made of the spec.
    Error,
    /// The spec works, but probably not as meant.
    Warning,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub level: Level,
    /// What kind of problem.
    pub code: Code,
    /// One sentence.
    pub message: String,
    /// Where it shows, if it shows in a spec.
    pub span: Option<Span>,
    /// What the marked place is, written beside it.
    pub label: String,
    /// Other places that belong to it, with what each is.
    pub labels: Vec<(Span, String)>,
    /// Facts that belong to no place.
    pub notes: Vec<String>,
    /// What to do.
    pub help: Option<String>,
    /// A replacement that mends it.
    pub suggestion: Option<Suggestion>,
}

/// Text to put in place of a span.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Suggestion {
    /// What the replacement does.
    pub message: String,
    /// What is replaced.
    pub span: Span,
    /// With what.
    pub replacement: String,
}

impl Diagnostic {
    /// An error at `span`.
    pub fn error(code: Code, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            level: Level::Error,
            code,
            message: message.into(),
            span: Some(span),
            label: String::new(),
            labels: Vec::new(),
            notes: Vec::new(),
            help: None,
            suggestion: None,
        }
    }

    /// An error that shows in no spec: a file, a checkpoint.
    pub fn outside(code: Code, message: impl Into<String>) -> Diagnostic {
        Diagnostic { span: None, ..Diagnostic::error(code, Span::default(), message) }
    }

    /// A warning at `span`.
    pub fn warning(code: Code, span: Span, message: impl Into<String>) -> Diagnostic {
        Diagnostic { level: Level::Warning, ..Diagnostic::error(code, span, message) }
    }

    /// Says beside the marked place what it is.
    #[must_use]
    pub fn mark(mut self, label: impl Into<String>) -> Diagnostic {
        self.label = label.into();
        self
    }

    /// Adds another place that belongs to the problem.
    #[must_use]
    pub fn label(mut self, span: Span, label: impl Into<String>) -> Diagnostic {
        self.labels.push((span, label.into()));
        self
    }

    /// Adds a fact that belongs to no place.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Diagnostic {
        self.notes.push(note.into());
        self
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(help.into());
        self
    }

    /// Offers a replacement that mends it.
    #[must_use]
    pub fn suggest(
        mut self,
        span: Span,
        replacement: impl Into<String>,
        message: impl Into<String>,
    ) -> Diagnostic {
        self.suggestion = Some(Suggestion { message: message.into(), span, replacement: replacement.into() });
        self
    }
}

/// Every problem that a phase found, up to a hundred.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
}

/// Problems kept, at most: nobody reads more.
const MOST: usize = 100;

impl Diagnostics {
    /// Adds a problem, once: the same problem at the same place is kept once.
    /// Where there are too many already, and an error among them, it is left out.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if self.is_full() {
            return;
        }
        let seen = self.list.iter().any(|other| {
            (other.code, other.span, &other.message)
                == (diagnostic.code, diagnostic.span, &diagnostic.message)
        });
        if !seen {
            self.list.push(diagnostic);
        }
    }

    /// Adds all of another phase's.
    pub fn extend(&mut self, other: Diagnostics) {
        for diagnostic in other.list {
            self.push(diagnostic);
        }
    }

    /// No more are kept.
    pub fn is_full(&self) -> bool {
        self.list.len() >= MOST && self.has_errors()
    }

    /// Something makes the spec unusable.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(|diagnostic| diagnostic.level == Level::Error)
    }

    /// Nothing was found.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many were found.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// In the order found.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    /// Orders them by file and place.
    pub fn sort(&mut self) {
        self.list.sort_by_key(|diagnostic| diagnostic.span);
    }
}
