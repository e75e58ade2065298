//! Expressions.

use super::weave::Weave;
use crate::syntax::ast::{Argument, BinaryOperator, Expr, ExprKind, UnaryOperator};

impl Weave<'_> {
    pub(super) fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Int(value) => self.token(value.to_string()),
            ExprKind::Float(_, text) => self.token(text),
            ExprKind::Str(value) => self.string(value),
            ExprKind::Name(name) => self.token(name),
            ExprKind::List(values) => self.list(["[", "]"], values, Weave::expr),
            ExprKind::Record(fields) => self.list(["(", ")"], fields, |weave, (name, value)| {
                weave.token(&name.value);
                weave.word(":");
                weave.expr(value);
            }),
            ExprKind::Group(inner) => {
                self.token("(");
                self.expr(inner);
                self.token(")");
            }
            ExprKind::Call(callee, arguments) => {
                self.expr(callee);
                self.arguments(arguments);
            }
            ExprKind::Index(of, index) => {
                self.expr(of);
                self.token("[");
                self.expr(index);
                self.token("]");
            }
            ExprKind::Member(of, name) => {
                self.expr(of);
                self.token(".");
                self.token(&name.value);
            }
            ExprKind::Unary(operator, operand) => {
                match operator.value {
                    UnaryOperator::Negate => self.token("-"),
                    UnaryOperator::Not => self.word("not"),
                }
                self.expr(operand);
            }
            ExprKind::Binary(..) => {
                self.group(|weave| weave.indented(|weave| weave.chain(expr, None)));
            }
            ExprKind::If(..) => self.group(|weave| weave.indented(|weave| weave.choice(expr))),
        }
    }

    /// `if a then b else if c then d else e`, parted before `else` first.
    fn choice(&mut self, expr: &Expr) {
        let ExprKind::If(condition, then, otherwise) = &expr.kind else {
            self.expr(expr);
            return;
        };
        self.group(|weave| {
            weave.word("if");
            weave.expr(condition);
            weave.soft(" ");
            weave.word("then");
            weave.expr(then);
        });
        self.soft(" ");
        self.word("else");
        self.choice(otherwise);
    }

    /// Operands of operators that bind alike, in one group with the chain that
    /// they carry on; others in a group of their own.
    fn chain(&mut self, expr: &Expr, within: Option<BinaryOperator>) {
        match &expr.kind {
            ExprKind::Binary(left, operator, right)
                if within.is_none_or(|other| strength(other) == strength(operator.value)) =>
            {
                self.chain(left, Some(operator.value));
                self.soft(" ");
                self.word(operator.value.mark());
                self.expr(right);
            }
            _ => self.expr(expr),
        }
    }

    /// `(a, axis: 1)`
    pub(super) fn arguments(&mut self, arguments: &[Argument]) {
        self.list(["(", ")"], arguments, |weave, argument| {
            if let Some(name) = &argument.name {
                weave.token(&name.value);
                weave.word(":");
            }
            weave.expr(&argument.value);
        });
    }
}

/// How strongly an operator binds, as in the grammar.
fn strength(operator: BinaryOperator) -> u8 {
    match operator {
        BinaryOperator::Or => 0,
        BinaryOperator::And => 1,
        BinaryOperator::Equal
        | BinaryOperator::NotEqual
        | BinaryOperator::Less
        | BinaryOperator::LessOrEqual
        | BinaryOperator::Greater
        | BinaryOperator::GreaterOrEqual => 2,
        BinaryOperator::Add | BinaryOperator::Subtract => 3,
        BinaryOperator::Multiply
        | BinaryOperator::Divide
        | BinaryOperator::Remainder
        | BinaryOperator::Matmul => 4,
    }
}
