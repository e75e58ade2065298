//! Expressions.

use super::{Builder, Parse, Parts, Rule, errors};
use crate::span::{Span, Spanned};
use crate::syntax::ast::{Argument, BinaryOperator, Expr, ExprKind, Name, UnaryOperator};
use crate::syntax::limits;
use pest::iterators::Pair;

impl Builder {
    /// The expression that a pair of any of the expression rules holds.
    pub(super) fn expr(&mut self, pair: Pair<'_, Rule>) -> Parse<Expr> {
        let pair = innermost(pair);
        let rule = pair.as_rule();
        match rule {
            Rule::number => return self.number(pair),
            Rule::string => {
                let Spanned { value, span } = self.string(pair);
                return Ok(Expr { kind: ExprKind::Str(value), span });
            }
            Rule::name => {
                let Spanned { value, span } = self.name(pair);
                return Ok(Expr { kind: ExprKind::Name(value), span });
            }
            _ => {}
        }
        let steps = match rule {
            Rule::list | Rule::record_expr | Rule::group | Rule::if_expr => 1,
            Rule::comparison => 1,
            Rule::not_expr | Rule::unary | Rule::postfix => pair.clone().into_inner().count(),
            _ => pair.clone().into_inner().count() / 2,
        };
        let mut parts = self.parts(pair);
        self.depth += steps;
        if self.depth > super::MAX_DEPTH {
            return Err(Box::new(limits::too_deep(parts.span)));
        }
        let expr = match rule {
            Rule::not_expr | Rule::unary => self.prefixed(parts),
            Rule::postfix => self.postfix(parts),
            Rule::if_expr => self.if_expr(parts),
            Rule::list => {
                let span = parts.span;
                let values = parts.every(Rule::expr).map(|pair| self.expr(pair)).collect::<Parse<_>>()?;
                Ok(Expr { kind: ExprKind::List(values), span })
            }
            Rule::record_expr => self.record_expr(parts),
            Rule::group => {
                parts.need(Rule::open)?;
                let inner = Box::new(self.expr(parts.any()?)?);
                Ok(Expr { kind: ExprKind::Group(inner), span: parts.span })
            }
            _ => self.chain(parts),
        };
        self.depth -= steps;
        expr
    }

    /// A whole number, or one with a point or an exponent.
    pub(super) fn number(&self, pair: Pair<'_, Rule>) -> Parse<Expr> {
        let span = self.span(&pair);
        let text = pair.as_str();
        let kind = if text.contains(['.', 'e', 'E']) {
            text.parse()
                .ok()
                .filter(|value: &f64| value.is_finite())
                .map(|v| ExprKind::Float(v, text.to_string()))
        } else {
            text.parse().ok().map(ExprKind::Int)
        };
        kind.map(|kind| Expr { kind, span }).ok_or_else(|| errors::number_too_large(text, span))
    }

    /// `a + b + c`, from the left.
    fn chain(&mut self, mut parts: Parts<'_>) -> Parse<Expr> {
        let mut left = self.expr(parts.any()?)?;
        while let Some(mark) = parts.pairs.next() {
            let operator = Spanned { value: binary_operator(&mark), span: self.span(&mark) };
            let right = self.expr(parts.any()?)?;
            let span = left.span.merge(right.span);
            left = Expr { kind: ExprKind::Binary(Box::new(left), operator, Box::new(right)), span };
        }
        Ok(left)
    }

    /// `not a`, `-a`
    fn prefixed(&mut self, mut parts: Parts<'_>) -> Parse<Expr> {
        let mut marks: Vec<Spanned<UnaryOperator>> = Vec::new();
        loop {
            let pair = parts.any()?;
            let span = self.span(&pair);
            match pair.as_rule() {
                Rule::minus => marks.push(Spanned { value: UnaryOperator::Negate, span }),
                Rule::not => marks.push(Spanned { value: UnaryOperator::Not, span }),
                _ => {
                    let value = self.expr(pair)?;
                    return Ok(marks.into_iter().rfold(value, |value, mark| {
                        let span = mark.span.merge(value.span);
                        Expr { kind: ExprKind::Unary(mark, Box::new(value)), span }
                    }));
                }
            }
        }
    }

    /// `f(a)`, `layer[i]`, `out.hidden`
    fn postfix(&mut self, mut parts: Parts<'_>) -> Parse<Expr> {
        let mut value = self.expr(parts.any()?)?;
        for pair in parts.pairs {
            let span = value.span.merge(self.span(&pair));
            let of = Box::new(value);
            let kind = match pair.as_rule() {
                Rule::arguments => ExprKind::Call(of, self.arguments(pair)?),
                Rule::index => {
                    let mut parts = self.parts(pair);
                    parts.need(Rule::open_bracket)?;
                    ExprKind::Index(of, Box::new(self.expr(parts.any()?)?))
                }
                _ => {
                    let mut parts = self.parts(pair);
                    parts.need(Rule::dot)?;
                    ExprKind::Member(of, self.name(parts.any()?))
                }
            };
            value = Expr { kind, span };
        }
        Ok(value)
    }

    fn if_expr(&mut self, mut parts: Parts<'_>) -> Parse<Expr> {
        parts.need(Rule::if_)?;
        let condition = Box::new(self.expr(parts.any()?)?);
        parts.need(Rule::then)?;
        let then = Box::new(self.expr(parts.any()?)?);
        parts.need(Rule::else_)?;
        let otherwise = Box::new(self.expr(parts.any()?)?);
        Ok(Expr { kind: ExprKind::If(condition, then, otherwise), span: parts.span })
    }

    fn record_expr(&mut self, mut parts: Parts<'_>) -> Parse<Expr> {
        let mut fields: Vec<(Name, Expr)> = Vec::new();
        let span: Span = parts.span;
        parts.need(Rule::open)?;
        while let Some(name) = parts.take(Rule::name) {
            parts.need(Rule::colon)?;
            fields.push((self.name(name), self.expr(parts.any()?)?));
            parts.has(Rule::comma);
        }
        Ok(Expr { kind: ExprKind::Record(fields), span })
    }

    /// `(a, axis: 1)`
    pub(super) fn arguments(&mut self, pair: Pair<'_, Rule>) -> Parse<Vec<Argument>> {
        self.parts(pair).every(Rule::argument).map(|pair| self.argument(pair)).collect()
    }

    fn argument(&mut self, pair: Pair<'_, Rule>) -> Parse<Argument> {
        let mut parts = self.parts(pair);
        let name = parts.take(Rule::name).map(|name| self.name(name));
        parts.has(Rule::colon);
        Ok(Argument { name, value: self.expr(parts.any()?)? })
    }
}

/// The pair below those that only pass one other pair on.
fn innermost(mut pair: Pair<'_, Rule>) -> Pair<'_, Rule> {
    loop {
        if matches!(pair.as_rule(), Rule::list | Rule::record_expr | Rule::group) {
            return pair;
        }
        let mut inner = pair.clone().into_inner();
        match (inner.next(), inner.next()) {
            (Some(only), None) => pair = only,
            _ => return pair,
        }
    }
}

fn binary_operator(mark: &Pair<'_, Rule>) -> BinaryOperator {
    match (mark.as_rule(), mark.as_str()) {
        (Rule::plus, _) => BinaryOperator::Add,
        (Rule::minus, _) => BinaryOperator::Subtract,
        (Rule::times, _) => BinaryOperator::Multiply,
        (Rule::over, _) => BinaryOperator::Divide,
        (Rule::percent, _) => BinaryOperator::Remainder,
        (Rule::at_sign, _) => BinaryOperator::Matmul,
        (Rule::and, _) => BinaryOperator::And,
        (Rule::or, _) => BinaryOperator::Or,
        (_, "==") => BinaryOperator::Equal,
        (_, "!=") => BinaryOperator::NotEqual,
        (_, "<") => BinaryOperator::Less,
        (_, "<=") => BinaryOperator::LessOrEqual,
        (_, ">") => BinaryOperator::Greater,
        (_, _) => BinaryOperator::GreaterOrEqual,
    }
}
