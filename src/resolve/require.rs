//! `require`: what must hold, and saying so in the spec's words where it does not.

use super::{Resolver, environment::Environment, lint, value::Value};
use crate::{
    codes,
    diagnostic::Diagnostic,
    graph::Check,
    syntax::ast::{self, BinaryOperator, ExprKind},
    types::Dim,
};

/// Values shown with a requirement that does not hold, at most.
const MOST_NOTES: usize = 16;

impl<'a> Resolver<'a> {
    /// Checks a `require`; sizes bound later become a check of each call. False
    /// where it does not hold, or where that cannot be said; both are reported.
    pub(super) fn require(&mut self, require: &'a ast::Require, env: &mut Environment<'a>) -> bool {
        let condition = &require.condition;
        let truth = match &condition.kind {
            ExprKind::Binary(left, mark, right) if compares(mark.value) => {
                let (a, b) = (self.unnamed(left, env), self.unnamed(right, env));
                if a.is_poison() || b.is_poison() {
                    return false;
                }
                let symbolic = matches!(a, Value::Dim(_)) || matches!(b, Value::Dim(_));
                if let (true, Some(left), Some(right)) = (symbolic, a.as_dim(), b.as_dim()) {
                    let message = self.interpolate(&require.message, env);
                    let comparison = mark.value.mark();
                    let check = Check { left, comparison, right, message, span: require.span };
                    self.spend(self.graph.checks.len(), require.span);
                    if !self.graph.checks.contains(&check) {
                        self.graph.checks.push(check);
                    }
                    return true;
                }
                let value = self.arithmetic(&a, mark.value, &b, condition.span, [left.span, right.span]);
                if let Value::Bool(truth) = value { Some(truth) } else { None }
            }
            _ => self.truth(condition, env),
        };
        if truth == Some(false) {
            let message = self.interpolate(&require.message, env);
            let mut diagnostic =
                Diagnostic::error(codes::REQUIRE, condition.span, message).mark("does not hold");
            for (name, value) in self.values_in(condition, env) {
                diagnostic = diagnostic.note(format!("{name} = {value}"));
            }
            self.report(diagnostic);
        }
        truth == Some(true)
    }

    /// The message with `{expression}` replaced by its value.
    fn interpolate(&mut self, message: &ast::Name, env: &mut Environment<'a>) -> String {
        self.spend(1 + message.value.len() / 8, message.span);
        let mut text = String::new();
        let mut rest = message.value.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            let Some((inside, behind)) = after.split_once('}') else { break };
            text.push_str(before);
            text.push_str(&self.placeholder(inside.trim(), env));
            rest = behind;
        }
        text + rest
    }

    /// A sum or difference of names and numbers inside a message.
    fn placeholder(&mut self, inside: &str, env: &Environment<'a>) -> String {
        let mut sum = Dim::known(0);
        let mut sign = 1;
        for word in inside.split_whitespace() {
            let value = match word {
                "+" => {
                    sign = 1;
                    continue;
                }
                "-" => {
                    sign = -1;
                    continue;
                }
                number if number.parse::<i64>().is_ok() => Value::Int(number.parse().unwrap_or_default()),
                name => self.known(name, env),
            };
            let Some(dim) = value.as_dim() else { return value.text() };
            let Some(total) = dim.scale(sign).and_then(|dim| sum.add(&dim)) else { return inside.to_owned() };
            sum = total;
        }
        match sum.as_known() {
            Some(size) => size.to_string(),
            None => format!("{{{sum}}}"),
        }
    }

    fn known(&mut self, name: &str, env: &Environment<'a>) -> Value<'a> {
        env.values
            .get(name)
            .cloned()
            .or_else(|| env.dims.get(name).cloned().map(Value::size))
            .or_else(|| self.global_value(name))
            .or_else(|| self.globals.dim(name).is_some().then(|| Value::size(self.model_dim(&name.into()))))
            .unwrap_or_else(|| Value::Str(format!("{{{name}}}").as_str().into()))
    }

    /// The names in a condition with what they are, for a failed `require`.
    fn values_in(&mut self, expr: &'a ast::Expr, env: &Environment<'a>) -> Vec<(String, String)> {
        let mut names = Vec::new();
        lint::visit_names(expr, &mut |name| {
            if names.len() < MOST_NOTES && !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        });
        names
            .into_iter()
            .filter_map(|name| {
                let value = self.known(&name, env);
                let known = matches!(
                    value,
                    Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::Str(_) | Value::None
                );
                known.then(|| (name, value.text()))
            })
            .filter(|(name, text)| {
                !matches!(name.as_str(), "true" | "false" | "none") && !text.starts_with('{')
            })
            .collect()
    }
}

fn compares(mark: BinaryOperator) -> bool {
    use BinaryOperator as B;
    matches!(mark, B::Equal | B::NotEqual | B::Less | B::LessOrEqual | B::Greater | B::GreaterOrEqual)
}
