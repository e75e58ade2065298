//! Configuration fields, constants and top-level `require`s.

use super::{Resolver, environment::Environment, value::Value};
use crate::{
    codes,
    diagnostic::Diagnostic,
    graph::ScopeId,
    names::{list_of, nearest, shortened},
    syntax::ast::{self, ConfigKind},
};
use serde_json::Value as Json;

/// Constants that depend on one another and stand in the wrong order, at most.
const DEEPEST_CONSTANT: usize = 64;

impl<'a> Resolver<'a> {
    /// Reads every configuration field and checks the top-level `require`s;
    /// false where the model cannot be built.
    pub(super) fn settle(&mut self) -> bool {
        let before = self.problems.len();
        for field in self.globals.configs.clone() {
            self.global_value(&field.name.value);
        }
        for require in self.globals.requires.clone() {
            self.require(require, &mut Environment::new(ScopeId(0), ""));
        }
        if self.problems.len() == before {
            for constant in self.globals.consts.clone() {
                self.global_value(&constant.name.value);
            }
        }
        self.problems.len() == before
    }

    /// The value of a configuration field or constant, computed when it is first
    /// asked for; `None` if there is none of that name.
    pub(super) fn global_value(&mut self, name: &str) -> Option<Value<'a>> {
        if let Some(value) = self.settled.get(name) {
            return Some(value.clone());
        }
        let (field, constant) = (self.globals.config(name), self.globals.constant(name));
        let declared = field.map(|field| &field.name).or(constant.map(|constant| &constant.name))?;
        if !self.can_settle(declared) {
            return Some(Value::Poison);
        }
        self.settling.push(declared);
        let value = match (field, constant) {
            (Some(field), _) => self.field(field),
            (None, Some(constant)) => self.expr(&constant.value, &mut Environment::new(ScopeId(0), "")),
            (None, None) => Value::Poison,
        };
        self.settling.pop();
        self.settled.insert(&declared.value, value.clone());
        Some(value)
    }

    /// Whether a field or constant is not being computed already; reports where it is.
    fn can_settle(&mut self, name: &'a ast::Name) -> bool {
        let again = self.settling.iter().position(|waiting| waiting.value == name.value);
        let problem = match again.and_then(|from| self.settling.get(from..)) {
            Some(way) => {
                let route = list_of(way.iter().map(|name| name.value.as_str()));
                let message = format!("the value of `{}` depends on itself", name.value);
                let problem = Diagnostic::error(codes::SELF_REFERENCE, name.span, message)
                    .mark("needed for its own value");
                let steps = way.iter().skip(1).take(8);
                let problem = steps.fold(problem, |problem, step| problem.label(step.span, "by way of this"));
                if way.len() > 1 {
                    problem.note(format!("the way is {route} and again `{}`", name.value))
                } else {
                    problem
                }
            }
            None if self.settling.len() >= DEEPEST_CONSTANT => {
                let message = format!("values depend on one another more than {DEEPEST_CONSTANT} deep");
                Diagnostic::error(codes::MODEL_TOO_LARGE, name.span, message)
                    .mark("one too many")
                    .help("declare each before those that depend on it")
            }
            None => return true,
        };
        self.report(problem);
        false
    }

    fn field(&mut self, field: &'a ast::ConfigField) -> Value<'a> {
        let name = &field.name.value;
        if let Some(json) = self.options.config.get(name).cloned() {
            return self.read(field, &json);
        }
        match &field.default {
            Some(default) => {
                let mut env = Environment::new(ScopeId(0), "");
                self.expr(default, &mut env)
            }
            None if field.ty.optional => Value::None,
            None => {
                let origin = self.options.config.origin.clone();
                self.report(
                    Diagnostic::error(codes::CONFIG, field.name.span, format!("the config has no `{name}`"))
                        .mark("required here")
                        .note(format!("looked for in {origin}"))
                        .help(format!("give it, as in `--set {name}=...`, or a default in the spec")),
                );
                Value::Poison
            }
        }
    }

    /// A field as the spec types it.
    fn read(&mut self, field: &'a ast::ConfigField, json: &Json) -> Value<'a> {
        let name = &field.name.value;
        let wrong = |expected: String, help: Option<String>| {
            let text = shortened(&json.to_string());
            let mut diagnostic = Diagnostic::error(
                codes::CONFIG,
                field.ty.span,
                format!("`{name}` of the config is {expected}, not {text}"),
            )
            .mark(format!("declared as {expected}"));
            if let Some(help) = help {
                diagnostic = diagnostic.help(help);
            }
            diagnostic
        };
        let diagnostic = match &field.ty.kind {
            ConfigKind::OneOf(choices) => match json.as_str() {
                Some(text) if choices.iter().any(|choice| choice.value == text) => {
                    return Value::Str(text.into());
                }
                text => {
                    let near = text
                        .and_then(|text| nearest(text, choices.iter().map(|choice| choice.value.as_str())));
                    let expected =
                        format!("one of {}", list_of(choices.iter().map(|choice| choice.value.as_str())));
                    wrong(expected, near.map(|near| format!("did you mean `{near}`?")))
                }
            },
            ConfigKind::Named(kind) => {
                let value = match kind.value.as_str() {
                    "int" => json.as_i64().map(Value::Int),
                    "float" => json.as_f64().map(Value::Float),
                    "bool" => json.as_bool().map(Value::Bool),
                    "str" => json.as_str().map(|text| Value::Str(text.into())),
                    other => {
                        self.report(
                            Diagnostic::error(
                                codes::UNKNOWN_NAME,
                                kind.span,
                                format!("there is no kind of config field `{other}`"),
                            )
                            .mark("a field is `int`, `float`, `bool`, `str`, or one of some strings"),
                        );
                        return Value::Poison;
                    }
                };
                match value {
                    Some(value) => return value,
                    None => wrong(described(&kind.value).into(), None),
                }
            }
        };
        let origin = self.options.config.origin_of(name).to_owned();
        self.report(diagnostic.note(format!("read from {origin}")));
        Value::Poison
    }
}

fn described(kind: &str) -> &'static str {
    match kind {
        "int" => "a whole number",
        "float" => "a number",
        "bool" => "true or false",
        _ => "a string",
    }
}
