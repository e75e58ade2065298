//! Expressions: what is known when compiling is computed, the rest becomes nodes.

use super::{Resolver, environment::Environment, lint, names::with_near_miss, types::as_count, value::Value};
use crate::{
    codes,
    diagnostic::Diagnostic,
    graph::NodeId,
    names::list_of,
    ops::Op,
    span::Span,
    syntax::ast::{self, BinaryOperator, ExprKind, UnaryOperator},
    types::DType,
};

impl<'a> Resolver<'a> {
    /// The value of an expression. The hint of `env` names its outermost node.
    pub(super) fn expr(&mut self, expr: &'a ast::Expr, env: &mut Environment<'a>) -> Value<'a> {
        if !self.spend(1, expr.span) {
            return Value::Poison;
        }
        match &expr.kind {
            ExprKind::Int(number) => Value::Int(*number),
            ExprKind::Float(number, _) => Value::Float(*number),
            ExprKind::Str(text) => Value::Str(text.as_str().into()),
            ExprKind::Name(name) => self.name(name, expr.span, env),
            ExprKind::Group(inner) => self.expr(inner, env),
            ExprKind::List(items) => {
                let items = items.iter().map(|item| self.unnamed(item, env)).collect();
                self.bounded(Value::list(items), expr.span)
            }
            ExprKind::Record(fields) => {
                let fields = fields
                    .iter()
                    .map(|(name, value)| (name.value.clone(), self.unnamed(value, env)))
                    .collect();
                self.bounded(Value::record(fields), expr.span)
            }
            ExprKind::Call(callee, arguments) => self.call(callee, arguments, expr.span, env),
            ExprKind::Index(list, index) => self.index(list, index, expr.span, env),
            ExprKind::Member(owner, member) => {
                let owner = self.unnamed(owner, env);
                self.member(owner, member)
            }
            ExprKind::Unary(mark, operand) => self.unary(mark.value, operand, expr.span, env),
            ExprKind::Binary(left, mark, right) => self.binary(left, mark.value, right, expr.span, env),
            ExprKind::If(condition, then, otherwise) => match self.truth(condition, env) {
                Some(true) => self.expr(then, env),
                Some(false) => self.expr(otherwise, env),
                None => Value::Poison,
            },
        }
    }

    /// A list or record, unless it holds too much.
    pub(super) fn bounded(&mut self, value: Option<Value<'a>>, span: Span) -> Value<'a> {
        value.unwrap_or_else(|| {
            self.report(
                Diagnostic::error(codes::MODEL_TOO_LARGE, span, "the value is too large to compile")
                    .mark("holds more than 100000 values, or is nested more than 16 deep"),
            );
            Value::Poison
        })
    }

    /// An expression whose nodes are not the value of the `let` around it.
    pub(super) fn unnamed(&mut self, expr: &'a ast::Expr, env: &mut Environment<'a>) -> Value<'a> {
        let hint = env.hint.take();
        let value = self.expr(expr, env);
        env.hint = hint;
        value
    }

    /// What a name stands for: a value of the body, a dim of the signature, or a
    /// declaration.
    fn name(&mut self, name: &str, span: Span, env: &Environment<'a>) -> Value<'a> {
        if let Some(value) = env.values.get(name) {
            return value.clone();
        }
        if let Some(dim) = env.dims.get(name) {
            return Value::size(dim.clone());
        }
        match name {
            "true" => return Value::Bool(true),
            "false" => return Value::Bool(false),
            "none" => return Value::None,
            _ => {}
        }
        if DType::from_name(name).is_some() {
            return Value::Str(name.into());
        }
        if let Some(value) = self.global_value(name) {
            return value;
        }
        if self.globals.dim(name).is_some() {
            return Value::size(self.model_dim(&name.into()));
        }
        // Where the name is declared in a branch that was not taken, the static
        // check has nothing to say.
        let name = ast::Name { value: name.to_owned(), span };
        let unknown =
            Diagnostic::error(codes::UNKNOWN_NAME, span, format!("there is no value `{}` here", name.value))
                .mark("not known here");
        let unknown = if self.declared_elsewhere(&name.value, env) {
            unknown.help(
                "it is declared in an `if` whose condition does not hold for this config and these inputs",
            )
        } else {
            let known: Vec<&str> =
                env.values.keys().map(String::as_str).chain(self.globals.value_names()).collect();
            with_near_miss(unknown, &name, known)
        };
        self.report(unknown);
        Value::Poison
    }

    fn index(
        &mut self,
        list: &'a ast::Expr,
        index: &'a ast::Expr,
        span: Span,
        env: &mut Environment<'a>,
    ) -> Value<'a> {
        let values = self.unnamed(list, env);
        let position = self.unnamed(index, env);
        let (length, item) = match (&values, &position) {
            (Value::Poison, _) | (_, Value::Poison) => return Value::Poison,
            (Value::List(items), Value::Int(i)) => {
                (items.len(), usize::try_from(*i).ok().and_then(|i| items.get(i)).cloned())
            }
            (Value::Instances(items), Value::Int(i)) => (
                items.len(),
                usize::try_from(*i).ok().and_then(|i| items.get(i)).cloned().map(Value::Instance),
            ),
            (Value::List(_) | Value::Instances(_), other) => {
                self.report(
                    Diagnostic::error(codes::WRONG_KIND, index.span, "an index is a whole number")
                        .mark(format!("this is {}", other.kind())),
                );
                return Value::Poison;
            }
            (other, _) => {
                self.report(
                    Diagnostic::error(
                        codes::WRONG_KIND,
                        list.span,
                        format!("{} has no elements", other.kind()),
                    )
                    .mark("not a list"),
                );
                return Value::Poison;
            }
        };
        item.unwrap_or_else(|| {
            let message = format!("index {} is outside a list of {length}", position.text());
            self.report(Diagnostic::error(codes::WRONG_KIND, span, message).mark("outside the list"));
            Value::Poison
        })
    }

    /// A field of a record, or a parameter or submodule of an instance.
    fn member(&mut self, owner: Value<'a>, member: &'a ast::Name) -> Value<'a> {
        match &owner {
            Value::Poison => Value::Poison,
            Value::Record(fields) => {
                self.spend(fields.len(), member.span);
                if let Some((_, value)) = fields.iter().find(|(name, _)| *name == member.value) {
                    return value.clone();
                }
                let unknown = Diagnostic::error(
                    codes::UNKNOWN_NAME,
                    member.span,
                    format!("there is no field `{}`", member.value),
                )
                .mark("not a field of this record")
                .note(format!("its fields are {}", list_of(fields.iter().map(|(name, _)| name.as_str()))));
                self.report(with_near_miss(unknown, member, fields.iter().map(|(name, _)| name.as_str())));
                Value::Poison
            }
            Value::Instance(instance) => self.instance_member(instance, member),
            other => {
                let hint = if matches!(other, Value::None) { ": test it with `given` first" } else { "" };
                self.report(
                    Diagnostic::error(
                        codes::WRONG_KIND,
                        member.span,
                        format!("{} has no field `{}`{hint}", other.kind(), member.value),
                    )
                    .mark(format!("taken of {}", other.kind())),
                );
                Value::Poison
            }
        }
    }

    fn unary(
        &mut self,
        mark: UnaryOperator,
        operand: &'a ast::Expr,
        span: Span,
        env: &mut Environment<'a>,
    ) -> Value<'a> {
        if mark == UnaryOperator::Not {
            return self.truth(operand, env).map_or(Value::Poison, |truth| Value::Bool(!truth));
        }
        let value = self.unnamed(operand, env);
        match value {
            Value::Poison => Value::Poison,
            Value::Int(number) => number.checked_neg().map_or_else(|| self.too_big(span), Value::Int),
            Value::Float(number) => Value::Float(-number),
            Value::Dim(dim) => dim.scale(-1).map_or_else(|| self.too_big(span), Value::size),
            Value::Tensor(node) => self.apply(env, "negate", vec![node], Vec::new(), span, &[operand.span]),
            other => self.wrong_operand("-", &other, operand.span),
        }
    }

    fn binary(
        &mut self,
        left: &'a ast::Expr,
        mark: BinaryOperator,
        right: &'a ast::Expr,
        span: Span,
        env: &mut Environment<'a>,
    ) -> Value<'a> {
        // The right side is not looked at where the left one decides.
        if let BinaryOperator::And | BinaryOperator::Or = mark {
            let decided = mark == BinaryOperator::Or;
            return match self.truth(left, env) {
                None => Value::Poison,
                Some(truth) if truth == decided => Value::Bool(decided),
                Some(_) => self.truth(right, env).map_or(Value::Poison, Value::Bool),
            };
        }
        let a = self.unnamed(left, env);
        let b = self.unnamed(right, env);
        if a.is_poison() || b.is_poison() {
            return Value::Poison;
        }
        match (&a, &b) {
            (Value::Tensor(x), Value::Tensor(y)) => {
                self.infix(env, mark, *x, *y, span, [left.span, right.span])
            }
            (Value::Tensor(x), other) => match self.number(env, other, *x, right.span) {
                Some(y) => self.infix(env, mark, *x, y, span, [left.span, right.span]),
                None => self.wrong_operand(mark.mark(), other, right.span),
            },
            (other, Value::Tensor(y)) => match self.number(env, other, *y, left.span) {
                Some(x) => self.infix(env, mark, x, *y, span, [left.span, right.span]),
                None => self.wrong_operand(mark.mark(), other, left.span),
            },
            (Value::List(x), Value::List(y)) if mark == BinaryOperator::Add => {
                if !self.spend(x.len() + y.len(), span) {
                    return Value::Poison;
                }
                let items = Value::list(x.iter().chain(y.iter()).cloned().collect());
                self.bounded(items, span)
            }
            _ => self.arithmetic(&a, mark, &b, span, [left.span, right.span]),
        }
    }

    /// A number beside a tensor: a scalar of the tensor's dtype.
    pub(super) fn number(
        &mut self,
        env: &Environment<'a>,
        value: &Value<'a>,
        beside: NodeId,
        span: Span,
    ) -> Option<NodeId> {
        let number = value.as_number()?;
        let dtype = self.type_of(beside).dtype;
        if !dtype.is_float() && number.fract() != 0.0 {
            return None;
        }
        Some(self.constant(env, number, dtype, span))
    }

    fn infix(
        &mut self,
        env: &mut Environment<'a>,
        mark: BinaryOperator,
        left: NodeId,
        right: NodeId,
        span: Span,
        spans: [Span; 2],
    ) -> Value<'a> {
        match Op::for_symbol(mark.mark()) {
            Some(schema) => self.apply(env, schema.name, vec![left, right], Vec::new(), span, &spans),
            None => {
                let help = match mark {
                    BinaryOperator::GreaterOrEqual => {
                        "to compare element by element, write `greater_or_equal(a, b)`"
                    }
                    _ => {
                        "compare `rank`, `dtype` or `size` of tensors; what a tensor holds is not known when compiling"
                    }
                };
                self.report(
                    Diagnostic::error(
                        codes::WRONG_KIND,
                        span,
                        format!("`{}` does not work on tensors", mark.mark()),
                    )
                    .mark("decided when compiling")
                    .help(help),
                );
                Value::Poison
            }
        }
    }

    /// A condition that is known when compiling; `None` where it is not, reported.
    pub(super) fn truth(&mut self, expr: &'a ast::Expr, env: &mut Environment<'a>) -> Option<bool> {
        match self.unnamed(expr, env) {
            Value::Bool(truth) => Some(truth),
            Value::Poison => None,
            other => {
                let help = match other {
                    Value::Tensor(_) | Value::None => "`given(x)` says whether an optional value is there",
                    _ => "compare it with something",
                };
                self.report(
                    Diagnostic::error(
                        codes::WRONG_KIND,
                        expr.span,
                        format!("a condition is true or false, not {}", other.kind()),
                    )
                    .mark(format!("this is {}", other.kind()))
                    .help(help),
                );
                None
            }
        }
    }

    /// How often something is repeated; `None` where that is not known, reported.
    pub(super) fn count(&mut self, expr: &'a ast::Expr, env: &Environment<'a>) -> Option<i64> {
        let mut inner = Environment::new(env.scope, &env.written_in);
        lint::visit_names(expr, &mut |name| {
            if let Some(value) = env.values.get(name) {
                inner.values.insert(name.to_owned(), value.clone());
            }
            if let Some((symbol, dim)) = env.dims.get_key_value(name) {
                inner.dims.insert(symbol.clone(), dim.clone());
            }
        });
        let value = self.expr(expr, &mut inner);
        let count = as_count(&value);
        if count.is_none() && !value.is_poison() {
            self.report(
                Diagnostic::error(
                    codes::WRONG_KIND,
                    expr.span,
                    "a number of repetitions is between 0 and 1000000",
                )
                .mark(format!("this is {}", value.text())),
            );
        }
        count
    }
}
