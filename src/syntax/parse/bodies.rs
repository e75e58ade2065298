//! Statements, and the types they speak of.

use super::{Builder, Parse, Parts, Rule};
use crate::syntax::ast::{
    Answer, Body, Declaration, DeclarationKind, Expr, For, If, Let, Placement, Require, Return, Size,
    Statement, TensorTypeExpr, TypeAlternative, TypeExpr,
};
use pest::iterators::Pair;

impl Builder {
    pub(super) fn body(&mut self, pair: Pair<'_, Rule>) -> Parse<Body> {
        let parts = self.parts(pair);
        let span = parts.span;
        let statements =
            parts.every(Rule::statement).map(|pair| self.statement(pair)).collect::<Parse<_>>()?;
        Ok(Body { statements, span })
    }

    fn statement(&mut self, pair: Pair<'_, Rule>) -> Parse<Statement> {
        let pair = self.parts(pair).any()?;
        Ok(match pair.as_rule() {
            Rule::declaration => Statement::Declaration(self.declaration(pair)?),
            Rule::let_stmt => Statement::Let(self.let_stmt(pair)?),
            Rule::set_stmt => Statement::Set(self.let_stmt(pair)?),
            Rule::return_stmt => {
                let mut parts = self.parts(pair);
                parts.need(Rule::return_)?;
                Statement::Return(Return { span: parts.span, value: self.expr(parts.any()?)? })
            }
            Rule::require => Statement::Require(self.require(pair)?),
            Rule::if_stmt => Statement::If(self.if_stmt(pair)?),
            Rule::for_stmt => Statement::For(self.for_stmt(pair)?),
            _ => Statement::Answer(self.answer(pair)?),
        })
    }

    fn declaration(&mut self, pair: Pair<'_, Rule>) -> Parse<Declaration> {
        let mut parts = self.parts(pair);
        let docs = self.docs(&mut parts);
        let name = self.name(parts.need(Rule::name)?);
        parts.need(Rule::colon)?;
        let kind = match parts.take(Rule::tensor_type) {
            Some(pair) => DeclarationKind::Parameter(self.tensor_type(pair)?),
            None => DeclarationKind::Placement(self.placement(parts.need(Rule::placement)?)?),
        };
        Ok(Declaration { docs, name, kind, span: parts.span })
    }

    fn placement(&mut self, pair: Pair<'_, Rule>) -> Parse<Placement> {
        let mut parts = self.parts(pair);
        let module = self.name(parts.need(Rule::name)?);
        let settings = parts.take(Rule::arguments).map(|pair| self.arguments(pair)).transpose()?;
        let repeat = self.repeat(&mut parts)?;
        let from = match parts.take(Rule::origin) {
            Some(origin) => {
                let mut origin = self.parts(origin);
                origin.need(Rule::from)?;
                Some(self.string(origin.any()?))
            }
            None => None,
        };
        let with = match parts.take(Rule::binding) {
            Some(binding) => {
                let mut binding = self.parts(binding);
                binding.need(Rule::with_)?;
                Some(self.arguments(binding.any()?)?)
            }
            None => None,
        };
        Ok(Placement { module, settings, repeat, from, with, span: parts.span })
    }

    /// `* COUNT`
    fn repeat(&mut self, parts: &mut Parts<'_>) -> Parse<Option<Expr>> {
        let Some(repeat) = parts.take(Rule::repeat) else { return Ok(None) };
        let mut repeat = self.parts(repeat);
        repeat.need(Rule::times)?;
        self.expr(repeat.any()?).map(Some)
    }

    /// `= EXPR`
    pub(super) fn default(&mut self, parts: &mut Parts<'_>) -> Parse<Option<Expr>> {
        parts.after(Rule::equals)?.map(|value| self.expr(value)).transpose()
    }

    /// `let` and `set`, in bodies and at the top level.
    pub(super) fn let_stmt(&mut self, pair: Pair<'_, Rule>) -> Parse<Let> {
        let mut parts = self.parts(pair);
        let docs = self.docs(&mut parts);
        parts.any()?;
        let name = self.name(parts.need(Rule::name)?);
        parts.need(Rule::equals)?;
        Ok(Let { docs, name, value: self.expr(parts.any()?)?, span: parts.span })
    }

    pub(super) fn require(&mut self, pair: Pair<'_, Rule>) -> Parse<Require> {
        let mut parts = self.parts(pair);
        let docs = self.docs(&mut parts);
        parts.need(Rule::require_)?;
        let condition = self.expr(parts.any()?)?;
        parts.need(Rule::else_)?;
        let message = self.string(parts.need(Rule::string)?);
        Ok(Require { docs, condition, message, span: parts.span })
    }

    fn if_stmt(&mut self, pair: Pair<'_, Rule>) -> Parse<If> {
        let mut parts = self.parts(pair);
        parts.need(Rule::if_)?;
        let condition = self.expr(parts.any()?)?;
        let then = self.body(parts.need(Rule::body)?)?;
        let otherwise = parts.after(Rule::else_)?;
        let else_if = otherwise.as_ref().is_some_and(|pair| pair.as_rule() == Rule::if_stmt);
        let otherwise = match otherwise {
            Some(pair) if else_if => {
                let inner = self.if_stmt(pair)?;
                Some(Body { span: inner.span, statements: vec![Statement::If(inner)] })
            }
            Some(pair) => Some(self.body(pair)?),
            None => None,
        };
        Ok(If { condition, then, otherwise, else_if, span: parts.span })
    }

    fn for_stmt(&mut self, pair: Pair<'_, Rule>) -> Parse<For> {
        let mut parts = self.parts(pair);
        parts.need(Rule::for_)?;
        let name = self.name(parts.need(Rule::name)?);
        parts.need(Rule::in_)?;
        let from = self.expr(parts.any()?)?;
        parts.need(Rule::dots)?;
        let to = self.expr(parts.any()?)?;
        Ok(For { name, from, to, body: self.body(parts.need(Rule::body)?)?, span: parts.span })
    }

    fn answer(&mut self, pair: Pair<'_, Rule>) -> Parse<Answer> {
        let mut parts = self.parts(pair);
        parts.need(Rule::answer)?;
        let kind = self.name(parts.need(Rule::name)?);
        Ok(Answer { kind, arguments: self.arguments(parts.need(Rule::arguments)?)?, span: parts.span })
    }

    pub(super) fn type_expr(&mut self, pair: Pair<'_, Rule>) -> Parse<TypeExpr> {
        let mut parts = self.parts(pair);
        let mut alternatives = vec![self.alternative(parts.need(Rule::alternative)?)?];
        while let Some(pair) = parts.after(Rule::bar)? {
            alternatives.push(self.alternative(pair)?);
        }
        let repeat = self.repeat(&mut parts)?.map(Box::new);
        Ok(TypeExpr { alternatives, repeat, optional: parts.has(Rule::question), span: parts.span })
    }

    fn alternative(&mut self, pair: Pair<'_, Rule>) -> Parse<TypeAlternative> {
        let mut parts = self.parts(pair);
        Ok(match parts.take(Rule::tensor_type) {
            Some(pair) => TypeAlternative::Tensor(self.tensor_type(pair)?),
            None => TypeAlternative::Named(self.name(parts.need(Rule::name)?)),
        })
    }

    fn tensor_type(&mut self, pair: Pair<'_, Rule>) -> Parse<TensorTypeExpr> {
        let mut parts = self.parts(pair);
        let dtype = self.name(parts.need(Rule::dtype)?);
        let shape = self.parts(parts.need(Rule::shape)?);
        let shape = shape.every(Rule::size).map(|pair| self.size(pair)).collect::<Parse<_>>()?;
        Ok(TensorTypeExpr { dtype, shape, span: parts.span })
    }

    fn size(&mut self, pair: Pair<'_, Rule>) -> Parse<Size> {
        let mut parts = self.parts(pair);
        match parts.take(Rule::ellipsis) {
            Some(_) => Ok(Size::Ellipsis(parts.span)),
            None => Ok(Size::Expr(self.expr(parts.any()?)?)),
        }
    }
}
