//! Configuration fields, constants and top-level `require`s.

use super::{Resolver, environment::Environment, value::Value};
use crate::{
    codes,
    diagnostic::Diagnostic,
    graph::ScopeId,
    names::{list_of, nearest},
    syntax::ast::{self, ConfigKind},
};
use serde_json::Value as Json;

impl<'a> Resolver<'a> {
    /// Reads every configuration field and checks the top-level `require`s;
    /// false where the model cannot be built.
    pub(super) fn settle(&mut self) -> bool {
        let before = self.problems.len();
        let fields: Vec<&'a ast::ConfigField> = self.globals.configs.clone();
        for field in fields {
            let value = self.field(field);
            self.settled.insert(field.name.value.as_str(), value);
        }
        let requires: Vec<&'a ast::Require> = self.globals.requires.clone();
        for require in requires {
            let mut env = Environment::new(ScopeId(0), "");
            self.require(require, &mut env);
        }
        let consts: Vec<&'a str> = self.globals.consts.keys().copied().collect();
        if self.problems.len() == before {
            for name in consts {
                self.global_value(name);
            }
        }
        self.problems.len() == before
    }

    /// The value of a configuration field or constant; `None` if there is none
    /// of that name.
    pub(super) fn global_value(&mut self, name: &str) -> Option<Value<'a>> {
        if let Some(value) = self.settled.get(name) {
            return Some(value.clone());
        }
        let (key, constant) = self.globals.consts.get_key_value(name).map(|(key, value)| (*key, *value))?;
        // While it is computed, a use of itself finds this.
        self.settled.insert(key, Value::Poison);
        if self.settling.contains(&key) {
            return Some(Value::Poison);
        }
        self.settling.push(key);
        let mut env = Environment::new(ScopeId(0), "");
        let value = self.expr(&constant.value, &mut env);
        self.settling.pop();
        self.settled.insert(key, value.clone());
        Some(value)
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
            let text = shorten(&json.to_string());
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

/// A value for a message, not longer than a line.
fn shorten(text: &str) -> String {
    if text.chars().count() <= 60 {
        text.to_owned()
    } else {
        text.chars().take(57).collect::<String>() + "..."
    }
}
