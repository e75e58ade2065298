//! Statements, and the types they speak of.

use super::{Argument, Docs, Expr, Name, Require};
use crate::span::Span;
use serde::Serialize;

/// `{ STATEMENTS }`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Body {
    /// In the order written.
    pub statements: Vec<Statement>,
    /// Braces included.
    #[serde(skip)]
    pub span: Span,
}

/// A statement of a body.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Statement {
    /// A parameter or a submodule.
    Declaration(Declaration),
    /// `let NAME = EXPR`
    Let(Let),
    /// `set NAME = EXPR`: gives a name of the enclosing body a new value.
    Set(Let),
    /// `return EXPR`
    Return(Return),
    /// `require ... else "..."`
    Require(Require),
    /// `if CONDITION { ... } else { ... }`, decided when compiling.
    If(If),
    /// `for NAME in A..B { ... }`, unrolled when compiling.
    For(For),
    /// `answer KIND(OUTPUTS)`: how the outputs are read for people.
    Answer(Answer),
}

/// `NAME: TYPE` or `NAME: MODULE(...)`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Declaration {
    /// Doc comment lines.
    pub docs: Docs,
    /// The name: its state-dict segment.
    pub name: Name,
    /// What it is.
    pub kind: DeclarationKind,
    /// The whole declaration.
    #[serde(skip)]
    pub span: Span,
}

/// What a body declares.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum DeclarationKind {
    /// A parameter with a tensor type.
    Parameter(TensorTypeExpr),
    /// A submodule (or a parameter, where the name is a type's).
    Placement(Placement),
}

/// `MODULE(SETTINGS) * COUNT from "PREFIX" with (PARAMETERS)`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Placement {
    /// The module placed.
    pub module: Name,
    /// Its settings; `None` where no parentheses are written.
    pub settings: Option<Vec<Argument>>,
    /// `* COUNT`: that many, as `name.0`, `name.1`, ...
    pub repeat: Option<Expr>,
    /// `from "PREFIX"`: the whole state-dict prefix in place of the enclosing one and the name.
    pub from: Option<Name>,
    /// `with (weight: table)`: parameters that are other values (tied).
    pub with: Option<Vec<Argument>>,
    /// The whole placement.
    #[serde(skip)]
    pub span: Span,
}

/// `let` or `set`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Let {
    /// Doc comment lines.
    pub docs: Docs,
    /// The name given.
    pub name: Name,
    /// The value.
    pub value: Expr,
    /// The whole statement.
    #[serde(skip)]
    pub span: Span,
}

/// `return EXPR`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Return {
    /// What the body gives.
    pub value: Expr,
    /// The whole statement.
    #[serde(skip)]
    pub span: Span,
}

/// `if CONDITION { ... } else ...`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct If {
    /// Known when compiling.
    pub condition: Expr,
    /// Taken where it holds.
    pub then: Body,
    /// Taken where it does not. `else if` is a body with that one statement.
    pub otherwise: Option<Body>,
    /// `else` is followed by `if` rather than a brace.
    pub else_if: bool,
    /// The whole statement.
    #[serde(skip)]
    pub span: Span,
}

/// `for NAME in FROM..TO { ... }`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct For {
    /// The counter.
    pub name: Name,
    /// Its first value.
    pub from: Expr,
    /// One past its last value.
    pub to: Expr,
    /// Repeated.
    pub body: Body,
    /// The whole statement.
    #[serde(skip)]
    pub span: Span,
}

/// `answer KIND(OUTPUTS)`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// The reading.
    pub kind: Name,
    /// The outputs it reads, and options by name.
    pub arguments: Vec<Argument>,
    /// The whole statement.
    #[serde(skip)]
    pub span: Span,
}

/// A type as written.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TypeExpr {
    /// One, or several told apart by rank and dtype.
    pub alternatives: Vec<TypeAlternative>,
    /// `* COUNT`: a list.
    pub repeat: Option<Box<Expr>>,
    /// A trailing `?`: may be absent.
    pub optional: bool,
    /// The whole type.
    #[serde(skip)]
    pub span: Span,
}

/// One alternative of a type.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum TypeAlternative {
    /// `f32[batch, seq]`
    Tensor(TensorTypeExpr),
    /// A type alias, a record, or `int`, `float`, `bool`, `str`.
    Named(Name),
}

/// `f32[..., hidden_size]`
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TensorTypeExpr {
    /// The element type.
    pub dtype: Name,
    /// The sizes.
    pub shape: Vec<Size>,
    /// The whole type.
    #[serde(skip)]
    pub span: Span,
}

/// One size of a shape.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Size {
    /// `...`: any number of leading sizes.
    Ellipsis(#[serde(skip)] Span),
    /// A dim or a number.
    Expr(Expr),
}
