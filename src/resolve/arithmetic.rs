//! Arithmetic and comparison of what is known when compiling.

use super::{Resolver, value::Value};
use crate::{codes, diagnostic::Diagnostic, span::Span, syntax::ast::BinaryOperator, types::Dim};
use std::cmp::Ordering;

impl<'a> Resolver<'a> {
    /// Arithmetic and comparison of what is known when compiling.
    pub(super) fn arithmetic(
        &mut self,
        a: &Value<'a>,
        mark: BinaryOperator,
        b: &Value<'a>,
        span: Span,
        spans: [Span; 2],
    ) -> Value<'a> {
        use BinaryOperator as B;
        match mark {
            B::Equal | B::NotEqual => {
                let equal = match (a, b) {
                    (Value::Int(x), Value::Int(y)) => x == y,
                    (Value::Str(x), Value::Str(y)) => x == y,
                    (Value::Bool(x), Value::Bool(y)) => x == y,
                    (Value::None, Value::None) => true,
                    (Value::None, _) | (_, Value::None) => false,
                    (Value::Dim(x), Value::Dim(y)) => x == y,
                    _ => match (a.as_number(), b.as_number()) {
                        (Some(x), Some(y)) => x == y,
                        _ => return self.wrong_pair(a, mark, b, span),
                    },
                };
                return Value::Bool(equal == (mark == B::Equal));
            }
            B::Less | B::LessOrEqual | B::Greater | B::GreaterOrEqual => {
                let order = match (a, b, a.as_number(), b.as_number()) {
                    (Value::Int(x), Value::Int(y), ..) => Some(x.cmp(y)),
                    (_, _, Some(x), Some(y)) => x.partial_cmp(&y),
                    _ => return self.wrong_pair(a, mark, b, span),
                };
                return Value::Bool(match mark {
                    B::Less => order.is_some_and(Ordering::is_lt),
                    B::LessOrEqual => order.is_some_and(Ordering::is_le),
                    B::Greater => order.is_some_and(Ordering::is_gt),
                    _ => order.is_some_and(Ordering::is_ge),
                });
            }
            _ => {}
        }
        if let (Some(x), Some(y)) = (a.as_dim(), b.as_dim()) {
            return self.dim_arithmetic(&x, mark, &y, span, spans);
        }
        let (Some(x), Some(y)) = (a.as_number(), b.as_number()) else {
            return self.wrong_pair(a, mark, b, span);
        };
        match mark {
            B::Add => Value::Float(x + y),
            B::Subtract => Value::Float(x - y),
            B::Multiply => Value::Float(x * y),
            B::Divide => Value::Float(x / y),
            _ => self.wrong_pair(a, mark, b, span),
        }
    }

    pub(super) fn dim_arithmetic(
        &mut self,
        x: &Dim,
        mark: BinaryOperator,
        y: &Dim,
        span: Span,
        spans: [Span; 2],
    ) -> Value<'a> {
        use BinaryOperator as B;
        self.spend(x.symbols().count() + y.symbols().count(), span);
        let result = match (mark, x.as_known(), y.as_known()) {
            (B::Add, ..) => x.add(y),
            (B::Subtract, ..) => x.subtract(y),
            (B::Multiply, _, Some(factor)) => x.scale(factor),
            (B::Multiply, Some(factor), _) => y.scale(factor),
            (B::Multiply, None, None) => {
                self.report(
                    Diagnostic::error(
                        codes::DIM_ARITHMETIC,
                        span,
                        format!("`{x}` times `{y}` is not a size: both are bound when the model runs"),
                    )
                    .mark("a product of two dims")
                    .help(format!("name the product: `dim rows = {x} * {y}`")),
                );
                return Value::Poison;
            }
            (B::Divide, _, Some(divisor)) => {
                let quotient = x.divide(divisor);
                if quotient.is_none() {
                    let why = if divisor <= 0 {
                        "a size is divided by 1 or more".to_owned()
                    } else {
                        format!(
                            "{x} / {divisor} leaves a remainder of {}",
                            x.as_known().map_or(0, |x| x.rem_euclid(divisor))
                        )
                    };
                    self.report(
                        Diagnostic::error(
                            codes::DIM_ARITHMETIC,
                            span,
                            format!("`{}` is not a whole number", self.sources.slice(span)),
                        )
                        .mark(why)
                        .label(spans[0], format!("this is {x}"))
                        .label(spans[1], format!("this is {y}")),
                    );
                    return Value::Poison;
                }
                quotient
            }
            (B::Remainder, Some(x), Some(y)) if y != 0 => x.checked_rem(y).map(Dim::known),
            _ => {
                self.report(
                    Diagnostic::error(
                        codes::DIM_ARITHMETIC,
                        span,
                        format!("`{x} {} {y}` cannot be computed", mark.mark()),
                    )
                    .mark("sizes take `+`, `-`, and `*` and `/` by a whole number"),
                );
                return Value::Poison;
            }
        };
        result.map_or_else(|| self.too_big(span), Value::size)
    }

    pub(super) fn too_big(&mut self, span: Span) -> Value<'a> {
        self.report(
            Diagnostic::error(codes::DIM_ARITHMETIC, span, "the number does not fit 64 bits")
                .mark("overflows here"),
        );
        Value::Poison
    }

    pub(super) fn wrong_operand(&mut self, mark: &str, value: &Value<'a>, span: Span) -> Value<'a> {
        let diagnostic = Diagnostic::error(
            codes::WRONG_KIND,
            span,
            format!("`{mark}` does not take {} here", value.kind()),
        )
        .mark(format!("this is {}", value.kind()));
        let diagnostic = match value {
            Value::None => diagnostic.help("an optional value is absent here: test it with `given` first"),
            Value::Dim(_) => diagnostic
                .help("beside a tensor, use a number known when compiling, or `range`, `slice` and `full`"),
            _ => diagnostic,
        };
        self.report(diagnostic);
        Value::Poison
    }

    pub(super) fn wrong_pair(
        &mut self,
        a: &Value<'a>,
        mark: BinaryOperator,
        b: &Value<'a>,
        span: Span,
    ) -> Value<'a> {
        let message = format!("`{}` does not work between {} and {}", mark.mark(), a.kind(), b.kind());
        self.report(Diagnostic::error(codes::WRONG_KIND, span, message).mark("cannot be computed"));
        Value::Poison
    }
}
