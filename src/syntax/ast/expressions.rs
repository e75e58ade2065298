//! Expressions.

use super::Name;
use crate::span::{Span, Spanned};
use serde::Serialize;

/// An expression.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Expr {
    /// What is written.
    pub kind: ExprKind,
    /// The whole expression.
    #[serde(skip)]
    pub span: Span,
}

/// The kinds of expressions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum ExprKind {
    /// A whole number.
    Int(i64),
    /// A number with a point or an exponent, with its text as written.
    Float(f64, String),
    /// `"text"`, unescaped.
    Str(String),
    /// A name; `true`, `false` and `none` included.
    Name(String),
    /// `[a, b]`
    List(Vec<Expr>),
    /// `(hidden: x, probs: p)`
    Record(Vec<(Name, Expr)>),
    /// `(a)`, kept so that printing gives back what was written.
    Group(Box<Expr>),
    /// `f(a, axis: 1)`
    Call(Box<Expr>, Vec<Argument>),
    /// `layer[i]`
    Index(Box<Expr>, Box<Expr>),
    /// `out.hidden`
    Member(Box<Expr>, Name),
    /// `-a`, `not a`
    Unary(Spanned<UnaryOperator>, Box<Expr>),
    /// `a + b`
    Binary(Box<Expr>, Spanned<BinaryOperator>, Box<Expr>),
    /// `if c then a else b`, decided when compiling.
    If(Box<Expr>, Box<Expr>, Box<Expr>),
}

/// Marks before a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum UnaryOperator {
    /// `-`
    Negate,
    /// `not`
    Not,
}

/// Marks between two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum BinaryOperator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Remainder,
    /// `@`
    Matmul,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `and`
    And,
    /// `or`
    Or,
}

impl BinaryOperator {
    /// The mark as written.
    pub fn mark(self) -> &'static str {
        match self {
            BinaryOperator::Add => "+",
            BinaryOperator::Subtract => "-",
            BinaryOperator::Multiply => "*",
            BinaryOperator::Divide => "/",
            BinaryOperator::Remainder => "%",
            BinaryOperator::Matmul => "@",
            BinaryOperator::Equal => "==",
            BinaryOperator::NotEqual => "!=",
            BinaryOperator::Less => "<",
            BinaryOperator::LessOrEqual => "<=",
            BinaryOperator::Greater => ">",
            BinaryOperator::GreaterOrEqual => ">=",
            BinaryOperator::And => "and",
            BinaryOperator::Or => "or",
        }
    }
}

/// An operand by position, or an attribute by name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Argument {
    /// The attribute's name.
    pub name: Option<Name>,
    /// The value.
    pub value: Expr,
}
