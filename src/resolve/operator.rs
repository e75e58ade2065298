//! Calls of operators: operands by position, attributes by name.

use super::{Resolver, environment::Environment, names::with_near_miss, value::Value};
use crate::{
    codes,
    diagnostic::Diagnostic,
    graph::NodeId,
    names::list_of,
    ops::{Attribute, AttributeError, Attributes, Op},
    span::Span,
    syntax::ast::{self},
    types::DType,
};

impl<'a> Resolver<'a> {
    pub(super) fn call_operator(
        &mut self,
        name: &'static str,
        arguments: &'a [ast::Argument],
        span: Span,
        env: &mut Environment<'a>,
    ) -> Value<'a> {
        let Some(schema) = Op::ALL.iter().find(|schema| schema.name == name) else { return Value::Poison };
        let mut operands = Vec::new();
        let mut attributes = Vec::new();
        let mut poisoned = false;
        for argument in arguments {
            let value = self.unnamed(&argument.value, env);
            poisoned |= value.is_poison();
            match &argument.name {
                Some(name) => attributes.push((name, value, argument.value.span)),
                None => operands.push((value, argument.value.span)),
            }
        }
        if operands.len() != schema.operands.len() {
            let ports = if schema.operands.is_empty() {
                String::new()
            } else {
                format!(": {}", list_of(schema.operands.iter().copied()))
            };
            let (wanted, given) = (schema.operands.len(), operands.len());
            let plural = if wanted == 1 { "" } else { "s" };
            let diagnostic = Diagnostic::error(
                codes::OPERAND_COUNT,
                span,
                format!("`{name}` takes {wanted} operand{plural}{ports}, but {given} are given"),
            )
            .mark(format!("{given} given"));
            self.report(if given > wanted && !schema.attributes.is_empty() {
                diagnostic.help(format!(
                    "attributes go by name: {}",
                    list_of(schema.attributes.iter().map(|attribute| attribute.name))
                ))
            } else {
                diagnostic
            });
            return Value::Poison;
        }
        if poisoned {
            return Value::Poison;
        }
        let beside = operands
            .iter()
            .find_map(|(value, _)| if let Value::Tensor(node) = value { Some(*node) } else { None });
        let mut nodes = Vec::new();
        for ((value, span), port) in operands.iter().zip(schema.operands) {
            let node = match (value, beside) {
                (Value::Tensor(node), _) => Some(*node),
                (number, Some(beside)) => self.number(env, number, beside, *span),
                _ => None,
            };
            let Some(node) = node else {
                let help = if matches!(value, Value::None) {
                    "an optional value is absent here: test it with `given` first"
                } else {
                    "operands are tensors"
                };
                self.report(
                    Diagnostic::error(
                        codes::WRONG_KIND,
                        *span,
                        format!("`{port}` of `{name}` is a tensor, not {}", value.kind()),
                    )
                    .mark(format!("this is {}", value.kind()))
                    .help(help),
                );
                return Value::Poison;
            };
            nodes.push(node);
        }
        let spans: Vec<Span> = operands.iter().map(|(_, span)| *span).collect();
        let mut list = Vec::new();
        for (name, value, span) in attributes {
            self.spend(value.count(), span);
            if let Value::List(items) = &value
                && !self.has_few_axes(items.len(), span)
            {
                return Value::Poison;
            }
            let Some(attribute) = to_attribute(&value) else {
                self.report(
                    Diagnostic::error(
                        codes::ATTRIBUTE,
                        span,
                        format!("`{}` cannot be {}", name.value, value.kind()),
                    )
                    .mark("not a number, string or list"),
                );
                return Value::Poison;
            };
            list.push((name, attribute, span));
        }
        self.apply(env, name, nodes, list, span, &spans)
    }

    /// An operator over nodes: checks attributes and operands, adds the node.
    pub(super) fn apply(
        &mut self,
        env: &mut Environment<'a>,
        name: &'static str,
        operands: Vec<NodeId>,
        attributes: Vec<(&'a ast::Name, Attribute, Span)>,
        span: Span,
        spans: &[Span],
    ) -> Value<'a> {
        let given = attributes.iter().map(|(name, value, _)| (name.value.clone(), value.clone())).collect();
        let op = match Op::build(name, Attributes::new(given)) {
            Some(Ok(op)) => op,
            Some(Err(error)) => return self.wrong_attribute(name, &error, &attributes, span),
            None => return Value::Poison,
        };
        let types: Vec<_> = operands.iter().map(|node| self.type_of(*node).clone()).collect();
        match op.semantics().infer(&types) {
            Ok(ty) if !self.has_few_axes(ty.rank(), span) => Value::Poison,
            Ok(ty) => Value::Tensor(self.push_op(env, op, operands, ty, span)),
            Err(mismatch) => {
                let mut diagnostic =
                    Diagnostic::error(codes::OPERANDS, span, format!("`{name}`: {}", mismatch.message))
                        .mark("does not fit");
                for ((ty, operand), port) in types.iter().zip(spans).zip(op.schema().operands) {
                    diagnostic = diagnostic.label(*operand, format!("`{port}` is {ty}"));
                }
                if let Some(help) = mismatch.help {
                    diagnostic = diagnostic.help(help);
                }
                self.report(diagnostic);
                Value::Poison
            }
        }
    }

    fn wrong_attribute(
        &mut self,
        operator: &str,
        error: &AttributeError,
        given: &[(&'a ast::Name, Attribute, Span)],
        span: Span,
    ) -> Value<'a> {
        let known: Vec<&str> = Op::ALL
            .iter()
            .find(|schema| schema.name == operator)
            .map(|schema| schema.attributes.iter().map(|attribute| attribute.name).collect())
            .unwrap_or_default();
        let find = |wanted: &str| given.iter().find(|(name, ..)| name.value == wanted);
        let diagnostic = match error {
            AttributeError::Unknown { name } => {
                let place = find(name).map_or(span, |(name, ..)| name.span);
                let written = ast::Name { value: name.clone(), span: place };
                let diagnostic = Diagnostic::error(
                    codes::ATTRIBUTE,
                    place,
                    format!("`{operator}` has no attribute `{name}`"),
                )
                .mark("no such attribute")
                .note(format!("its attributes are {}", list_of(known.iter().copied())));
                with_near_miss(diagnostic, &written, known)
            }
            AttributeError::Missing { name } => Diagnostic::error(
                codes::ATTRIBUTE,
                span,
                format!("`{operator}` needs the attribute `{name}`"),
            )
            .mark(format!("`{name}` is not given"))
            .help(format!("add `{name}: ...`")),
            AttributeError::Wrong { name, expected, given } => {
                let place = find(name).map_or(span, |(_, _, span)| *span);
                Diagnostic::error(
                    codes::ATTRIBUTE,
                    place,
                    format!("`{name}` of `{operator}` is {expected}, not {given}"),
                )
                .mark(format!("this is {given}"))
            }
        };
        self.report(diagnostic);
        Value::Poison
    }
}

fn to_attribute(value: &Value<'_>) -> Option<Attribute> {
    Some(match value {
        Value::Int(number) => Attribute::Dim((*number).into()),
        Value::Dim(dim) => Attribute::Dim(dim.clone()),
        Value::Float(number) => Attribute::Float(*number),
        Value::Bool(truth) => Attribute::Bool(*truth),
        Value::Str(text) => {
            DType::from_name(text).map_or_else(|| Attribute::Str(text.to_string()), Attribute::DType)
        }
        Value::List(items) => Attribute::List(items.iter().map(to_attribute).collect::<Option<_>>()?),
        _ => return None,
    })
}
