//! Whether a value fits a type, at a port or as a result.

use super::{
    Resolver,
    call::Callable,
    environment::Environment,
    types::{PortType, SETTING_TYPES, Shape, Solution},
    value::Value,
};
use crate::{
    codes,
    diagnostic::Diagnostic,
    names::list_of,
    span::Span,
    syntax::ast::{self},
};

impl<'a> Resolver<'a> {
    /// Whether a value fits a type; learns dims on the way.
    pub(super) fn fits(&mut self, ty: &PortType<'a>, value: &Value<'a>, solution: &mut Solution) -> Fit {
        match (value, ty.count) {
            (Value::Poison, _) => return Fit::Silent,
            (Value::None, _) if ty.optional => return Fit::Yes,
            (Value::None, _) => return Fit::No("is absent".into()),
            (Value::List(items), Some(count)) => {
                if items.len() as i64 != count {
                    return Fit::No(format!("has {} elements, not {count}", items.len()));
                }
                let one = PortType { count: None, optional: false, shape: ty.shape.clone() };
                for (index, item) in items.iter().enumerate() {
                    match self.fits(&one, item, solution) {
                        Fit::No(phrase) => return Fit::No(format!("element {index} {phrase}")),
                        Fit::Silent => return Fit::Silent,
                        Fit::Yes => {}
                    }
                }
                return Fit::Yes;
            }
            (_, Some(_)) => return Fit::No(format!("is {}, not a list", value.kind())),
            _ => {}
        }
        match (&ty.shape, value) {
            (Shape::Unknown, _) => Fit::Silent,
            (Shape::Tensor(patterns), Value::Tensor(node)) => {
                let actual = self.type_of(*node).clone();
                let mut first = None;
                for pattern in patterns {
                    let mut attempt = solution.clone();
                    match self.fit(pattern, &actual, &mut attempt) {
                        Ok(()) => {
                            *solution = attempt;
                            return Fit::Yes;
                        }
                        Err(phrase) => first = first.or(Some((pattern.written, phrase))),
                    }
                }
                match (first, patterns.len()) {
                    (Some((_, phrase)), 1) => Fit::No(phrase),
                    (Some((written, phrase)), count) => {
                        let text = self.sources.slice(written);
                        Fit::No(format!("fits none of {count} types; for `{text}` it {phrase}"))
                    }
                    (None, _) => Fit::Silent,
                }
            }
            (Shape::Record(record), Value::Record(fields)) => self.fits_record(record, fields, solution),
            (Shape::Setting(setting), value) if fits_setting(setting, value) => Fit::Yes,
            (Shape::Setting(setting), value) => Fit::No(format!("is {}, not {setting}", value.kind())),
            (Shape::Tensor(_), value) => Fit::No(format!("is {}, not a tensor", value.kind())),
            (Shape::Record(record), value) => {
                Fit::No(format!("is {}, not a `{}`", value.kind(), record.name.value))
            }
        }
    }

    fn fits_record(
        &mut self,
        record: &'a ast::Record,
        fields: &[(String, Value<'a>)],
        solution: &mut Solution,
    ) -> Fit {
        self.spend(record.fields.len() * (1 + fields.len()), record.name.span);
        let env = Environment::new(crate::graph::ScopeId(0), &record.name.value);
        if let Some((stray, _)) =
            fields.iter().find(|(name, _)| !record.fields.iter().any(|field| field.name.value == *name))
        {
            return Fit::No(format!("has a field `{stray}` that `{}` has not", record.name.value));
        }
        for field in &record.fields {
            let value = fields
                .iter()
                .find(|(name, _)| *name == field.name.value)
                .map_or(Value::None, |(_, value)| value.clone());
            let ty = self.port_type(&field.ty, &env);
            match self.fits(&ty, &value, solution) {
                Fit::Yes => {}
                Fit::Silent => return Fit::Silent,
                Fit::No(phrase) => return Fit::No(format!("field `{}` {phrase}", field.name.value)),
            }
        }
        Fit::Yes
    }

    pub(super) fn check_result(
        &mut self,
        callable: &Callable<'a>,
        value: Value<'a>,
        solution: &mut Solution,
        body: &Environment<'a>,
    ) -> Value<'a> {
        let name = &callable.name.value;
        self.spend(value.count(), callable.name.span);
        let fits = match callable.result {
            ast::ResultType::One(ty) => {
                let port = self.port_type(ty, body);
                (self.fits(&port, &value, solution), ty.span)
            }
            ast::ResultType::Fields(fields) => match &value {
                Value::Record(given) => self.check_fields(fields, given, solution, body, callable.name.span),
                Value::Poison => (Fit::Silent, callable.name.span),
                other => (
                    Fit::No(format!(
                        "is {}, not a record with {}",
                        other.kind(),
                        list_of(fields.iter().map(|f| f.name.value.as_str()))
                    )),
                    callable.name.span,
                ),
            },
        };
        let closed = self.close(solution);
        let phrase = match (fits, closed) {
            ((Fit::No(phrase), span), _) => (phrase, span),
            ((Fit::Yes, span), Err(phrase)) => (phrase, span),
            ((Fit::Silent, _), _) => return Value::Poison,
            ((Fit::Yes, _), Ok(())) => return value,
        };
        let (phrase, span) = phrase;
        let what = match &value {
            Value::Tensor(node) => self.type_of(*node).to_string(),
            other => other.kind().to_owned(),
        };
        let place = self.last_return.unwrap_or(span);
        self.report(
            Diagnostic::error(
                codes::RESULT,
                place,
                format!("`{name}` returns {what}, which is not what it declares"),
            )
            .mark(phrase)
            .label(span, "declared here"),
        );
        Value::Poison
    }

    fn check_fields(
        &mut self,
        fields: &'a [ast::Field],
        given: &[(String, Value<'a>)],
        solution: &mut Solution,
        body: &Environment<'a>,
        span: Span,
    ) -> (Fit, Span) {
        self.spend(fields.len() * (1 + given.len()), span);
        if let Some((stray, _)) =
            given.iter().find(|(name, _)| !fields.iter().any(|field| field.name.value == *name))
        {
            return (Fit::No(format!("has a field `{stray}` that is not declared")), span);
        }
        for field in fields {
            let value = given
                .iter()
                .find(|(name, _)| *name == field.name.value)
                .map_or(Value::None, |(_, value)| value.clone());
            let ty = self.port_type(&field.ty, body);
            match self.fits(&ty, &value, solution) {
                Fit::Yes => {}
                Fit::Silent => return (Fit::Silent, field.name.span),
                Fit::No(phrase) => {
                    return (Fit::No(format!("`{}` {phrase}", field.name.value)), field.ty.span);
                }
            }
        }
        (Fit::Yes, span)
    }
}

/// Whether a value fits a type.
pub(super) enum Fit {
    Yes,
    /// How it does not, as a phrase about the value.
    No(String),
    /// It does not, and that has been reported.
    Silent,
}

/// Whether a value is an `int`, `float`, `bool` or `str`.
pub(super) fn fits_setting(setting: &str, value: &Value<'_>) -> bool {
    debug_assert!(SETTING_TYPES.contains(&setting));
    match setting {
        "int" => matches!(value, Value::Int(_) | Value::Dim(_)),
        "float" => matches!(value, Value::Int(_) | Value::Float(_)),
        "bool" => matches!(value, Value::Bool(_)),
        _ => matches!(value, Value::Str(_)),
    }
}
