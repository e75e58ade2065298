//! Calls: operators, functions, submodules, and the few questions a spec can
//! ask about a value (`given`, `rank`, `dtype`, `size`).

use super::{
    Resolver,
    environment::Environment,
    names::with_near_miss,
    types::{PortType, SETTING_TYPES, Shape, Solution},
    value::{Instance, Value},
};
use crate::{
    codes,
    diagnostic::Diagnostic,
    graph::NodeId,
    names::list_of,
    ops::{Attribute, AttributeError, Attributes, Op},
    span::Span,
    syntax::ast::{self, ExprKind},
    types::DType,
};
use std::rc::Rc;

/// Questions about a value that are answered when compiling.
pub(super) const QUESTIONS: [&str; 5] = ["given", "rank", "dtype", "size", "sqrt"];

/// Calls inside calls, at most.
const DEEPEST_CALL: usize = 64;

/// Something with ports that can be called.
pub(super) struct Callable<'a> {
    pub name: &'a ast::Name,
    pub ports: &'a [ast::Port],
    pub result: &'a ast::ResultType,
    pub body: &'a ast::Body,
}

impl<'a> Resolver<'a> {
    pub(super) fn call(
        &mut self,
        callee: &'a ast::Expr,
        arguments: &'a [ast::Argument],
        span: Span,
        env: &mut Environment<'a>,
    ) -> Value<'a> {
        let ExprKind::Name(name) = &callee.kind else {
            return match self.unnamed(callee, env) {
                Value::Instance(instance) => self.call_instance(&instance, arguments, span, env),
                Value::Poison => Value::Poison,
                other => self.not_callable(&other, callee.span),
            };
        };
        match env.values.get(name) {
            Some(Value::Instance(instance)) => {
                let instance = instance.clone();
                self.made_by.insert(span, (instance.placed, instance.name.clone()));
                return self.call_instance(&instance, arguments, span, env);
            }
            Some(Value::Instances(_)) => {
                self.report(
                    Diagnostic::error(
                        codes::WRONG_KIND,
                        callee.span,
                        format!("`{name}` is a row of submodules"),
                    )
                    .mark("call one of them")
                    .help(format!("take one by its index, as in `{name}[0](...)`, inside `for i in 0..n`")),
                );
                return Value::Poison;
            }
            Some(Value::Poison) => return Value::Poison,
            _ => {}
        }
        if let Some(question) = QUESTIONS.iter().find(|question| *question == name)
            && let Some(value) = self.question(question, arguments, span, env)
        {
            return value;
        }
        if let Some(function) = self.globals.functions.get(name.as_str()).copied() {
            let callable = Callable {
                name: &function.name,
                ports: &function.ports,
                result: &function.result,
                body: &function.body,
            };
            return self.call_body(&callable, arguments, span, env, None);
        }
        if let Some(schema) = Op::ALL.iter().find(|schema| schema.name == name) {
            return self.call_operator(schema.name, arguments, span, env);
        }
        self.unknown_callee(name, callee.span, env)
    }

    fn unknown_callee(&mut self, name: &str, span: Span, env: &Environment<'a>) -> Value<'a> {
        let name = ast::Name { value: name.to_owned(), span };
        if let Some(value) = env.values.get(&name.value) {
            let value = value.clone();
            return self.not_callable(&value, span);
        }
        let unknown = Diagnostic::error(
            codes::UNKNOWN_OPERATOR,
            span,
            format!("there is no operator, function or submodule `{}`", name.value),
        )
        .mark("not known here");
        let unknown = if self.globals.modules.contains_key(name.value.as_str()) {
            unknown.help(format!(
                "`{}` is a module: place it first, as in `name: {}(...)`, then call `name`",
                name.value, name.value
            ))
        } else if self.declared_elsewhere(&name.value, env) {
            unknown.help(
                "it is declared in an `if` whose condition does not hold for this config and these inputs",
            )
        } else {
            let known: Vec<&str> = Op::ALL
                .iter()
                .map(|schema| schema.name)
                .chain(self.globals.functions.keys().copied())
                .chain(env.values.keys().map(String::as_str))
                .chain(QUESTIONS)
                .collect();
            with_near_miss(unknown, &name, known)
        };
        self.report(unknown);
        Value::Poison
    }

    fn not_callable(&mut self, value: &Value<'a>, span: Span) -> Value<'a> {
        if !value.is_poison() {
            self.report(
                Diagnostic::error(codes::WRONG_KIND, span, format!("{} cannot be called", value.kind()))
                    .mark(format!("this is {}", value.kind())),
            );
        }
        Value::Poison
    }

    /// `None` where the question is an operator's after all.
    fn question(
        &mut self,
        question: &str,
        arguments: &'a [ast::Argument],
        span: Span,
        env: &mut Environment<'a>,
    ) -> Option<Value<'a>> {
        let wanted = if question == "size" { 2 } else { 1 };
        if arguments.len() != wanted {
            if question == "sqrt" {
                return None;
            }
            return Some(self.wrong_count(question, wanted, arguments.len(), span));
        }
        let values: Vec<Value<'a>> =
            arguments.iter().map(|argument| self.unnamed(&argument.value, env)).collect();
        let value = values.first()?.clone();
        let answer = match (question, &value, values.get(1)) {
            (_, Value::Poison, _) => Value::Poison,
            ("given", Value::None, _) => Value::Bool(false),
            ("given", ..) => Value::Bool(true),
            ("sqrt", Value::Tensor(_), _) => return None,
            ("sqrt", value, _) if value.as_number().is_some_and(|number| number >= 0.0) => {
                Value::Float(value.as_number()?.sqrt())
            }
            ("rank", Value::Tensor(node), _) => Value::Int(self.type_of(*node).rank() as i64),
            ("dtype", Value::Tensor(node), _) => Value::Str(self.type_of(*node).dtype.name().into()),
            ("size", Value::Tensor(node), Some(Value::Int(axis))) => {
                let shape = &self.type_of(*node).shape;
                let index = if *axis < 0 { *axis + shape.len() as i64 } else { *axis };
                match usize::try_from(index).ok().and_then(|index| shape.get(index)) {
                    Some(dim) => Value::size(dim.clone()),
                    None => {
                        let message = format!("there is no axis {axis}: the tensor has {} axes", shape.len());
                        self.report(
                            Diagnostic::error(codes::WRONG_KIND, span, message).mark("outside the shape"),
                        );
                        Value::Poison
                    }
                }
            }
            (_, other, _) => {
                let message = format!("`{question}` does not take {}", other.kind());
                self.report(
                    Diagnostic::error(codes::WRONG_KIND, span, message)
                        .mark(format!("given {}", other.kind())),
                );
                Value::Poison
            }
        };
        Some(answer)
    }

    fn wrong_count(&mut self, name: &str, wanted: usize, given: usize, span: Span) -> Value<'a> {
        let plural = if wanted == 1 { "" } else { "s" };
        self.report(
            Diagnostic::error(
                codes::OPERAND_COUNT,
                span,
                format!("`{name}` takes {wanted} operand{plural}, but {given} are given"),
            )
            .mark(format!("{given} given")),
        );
        Value::Poison
    }

    fn call_operator(
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
            poisoned |= value.has_poison();
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
                (number, Some(beside)) => self.number_beside(env, number, beside, *span),
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

    fn number_beside(
        &mut self,
        env: &Environment<'a>,
        value: &Value<'a>,
        beside: NodeId,
        span: Span,
    ) -> Option<NodeId> {
        let dtype = self.type_of(beside).dtype;
        let number = value.as_number().filter(|number| dtype.is_float() || number.fract() == 0.0)?;
        Some(self.constant(env, number, dtype, span))
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

    fn call_instance(
        &mut self,
        instance: &Rc<Instance<'a>>,
        arguments: &'a [ast::Argument],
        span: Span,
        env: &mut Environment<'a>,
    ) -> Value<'a> {
        let module = instance.module;
        let callable =
            Callable { name: &module.name, ports: &module.ports, result: &module.result, body: &module.body };
        self.call_body(&callable, arguments, span, env, Some(instance))
    }

    /// Evaluates a body with these arguments; `instance` is `None` for a function.
    fn call_body(
        &mut self,
        callable: &Callable<'a>,
        arguments: &'a [ast::Argument],
        span: Span,
        env: &mut Environment<'a>,
        instance: Option<&Rc<Instance<'a>>>,
    ) -> Value<'a> {
        if self.depth >= DEEPEST_CALL {
            let message = format!("calls are nested more than {DEEPEST_CALL} deep");
            self.report(Diagnostic::error(codes::MODEL_TOO_LARGE, span, message).mark("this call"));
            return Value::Poison;
        }
        let Some(given) = self.match_ports(callable, arguments, span, env) else { return Value::Poison };
        let scope = instance.map_or(env.scope, |instance| instance.scope);
        let mut body = Environment::new(scope, &callable.name.value);
        if let Some(instance) = instance {
            body.values.clone_from(&instance.settings);
        }
        let mut solution = Solution::default();
        let mut poisoned = false;
        for (port, (value, place)) in callable.ports.iter().zip(given) {
            let ty = self.port_type(&port.ty, &body);
            poisoned |= !self.accept(callable, port, &ty, &value, place, &mut solution);
            let value = match (value, instance) {
                (Value::Tensor(node), Some(instance)) => {
                    Value::Tensor(self.boundary(env, instance, &port.name.value, node, place))
                }
                (value, _) => value,
            };
            body.values.insert(port.name.value.clone(), value);
        }
        let closed = solution
            .retry()
            .and_then(|()| if solution.is_open() { self.close(&mut solution) } else { Ok(()) });
        if let Err(phrase) = closed
            && !poisoned
        {
            self.report(
                Diagnostic::error(
                    codes::SHAPE,
                    span,
                    format!("the operands of `{}` do not fit each other: one {phrase}", callable.name.value),
                )
                .mark("this call")
                .label(callable.name.span, "declared here"),
            );
            poisoned = true;
        }
        if poisoned {
            return Value::Poison;
        }
        body.dims.clone_from(&solution.dims);
        self.depth += 1;
        let value = self.body(callable.body, &mut body, instance);
        self.depth -= 1;
        match value {
            Some(value) => self.check_result(callable, value, &mut solution, &body),
            None if self.stopped => Value::Poison,
            None => {
                self.report(
                    Diagnostic::error(
                        codes::RESULT,
                        callable.body.span,
                        format!("`{}` returns nothing", callable.name.value),
                    )
                    .mark("no `return` is reached")
                    .label(span, "for this call"),
                );
                Value::Poison
            }
        }
    }

    /// The value for each port, by position and by name, with defaults.
    fn match_ports(
        &mut self,
        callable: &Callable<'a>,
        arguments: &'a [ast::Argument],
        span: Span,
        env: &mut Environment<'a>,
    ) -> Option<Vec<(Value<'a>, Span)>> {
        let name = &callable.name.value;
        let mut given: Vec<Option<(Value<'a>, Span)>> = vec![None; callable.ports.len()];
        let mut fine = true;
        let mut position = 0;
        for argument in arguments {
            let place = argument.value.span;
            let value = self.unnamed(&argument.value, env);
            let slot = match &argument.name {
                None => {
                    position += 1;
                    position - 1
                }
                Some(port) => match callable.ports.iter().position(|p| p.name.value == port.value) {
                    Some(slot) => slot,
                    None => {
                        let ports = || callable.ports.iter().map(|port| port.name.value.as_str());
                        let unknown = Diagnostic::error(
                            codes::ATTRIBUTE,
                            port.span,
                            format!("`{name}` has no port `{}`", port.value),
                        )
                        .mark("no such port")
                        .label(callable.name.span, "declared here")
                        .note(format!("its ports are {}", list_of(ports())));
                        self.report(with_near_miss(unknown, port, ports()));
                        fine = false;
                        continue;
                    }
                },
            };
            match given.get_mut(slot) {
                Some(entry @ None) => *entry = Some((value, place)),
                Some(Some(_)) => {
                    let port = callable.ports.get(slot).map_or("", |port| port.name.value.as_str());
                    self.report(
                        Diagnostic::error(
                            codes::OPERAND_COUNT,
                            place,
                            format!("`{port}` of `{name}` is given twice"),
                        )
                        .mark("given again here"),
                    );
                    fine = false;
                }
                None => {
                    let message =
                        format!("`{name}` takes {} operands, but more are given", callable.ports.len());
                    self.report(
                        Diagnostic::error(codes::OPERAND_COUNT, place, message)
                            .mark("one too many")
                            .label(callable.name.span, "declared here"),
                    );
                    return None;
                }
            }
        }
        let mut values = Vec::new();
        for (port, value) in callable.ports.iter().zip(given) {
            match (value, &port.default) {
                (Some(value), _) => values.push(value),
                (None, Some(default)) => {
                    let mut inner = Environment::new(env.scope, name);
                    values.push((self.expr(default, &mut inner), default.span));
                }
                (None, None) if port.ty.optional => values.push((Value::None, span)),
                // A port under a wrong name is probably this one.
                (None, None) if !fine => {}
                (None, None) => {
                    self.report(
                        Diagnostic::error(
                            codes::OPERAND_COUNT,
                            span,
                            format!("`{name}` is not given `{}`", port.name.value),
                        )
                        .mark(format!("`{}` is missing", port.name.value))
                        .label(port.name.span, "required here"),
                    );
                    fine = false;
                }
            }
        }
        fine.then_some(values)
    }

    /// Whether a value fits a port; reports where it does not.
    fn accept(
        &mut self,
        callable: &Callable<'a>,
        port: &'a ast::Port,
        ty: &PortType<'a>,
        value: &Value<'a>,
        place: Span,
        solution: &mut Solution,
    ) -> bool {
        match self.fits(ty, value, solution) {
            Fit::Yes => true,
            Fit::Silent => false,
            Fit::No(phrase) => {
                let wanted = self.sources.slice(port.ty.span).to_owned();
                let what = match value {
                    Value::Tensor(node) => format!("{}", self.type_of(*node)),
                    other => other.kind().to_owned(),
                };
                let diagnostic = Diagnostic::error(
                    codes::SHAPE,
                    place,
                    format!(
                        "`{}` expects `{}: {wanted}`, but is given {what}",
                        callable.name.value, port.name.value
                    ),
                )
                .mark(phrase)
                .label(port.name.span, format!("`{}` is declared here", port.name.value));
                let diagnostic = match self.made_by.get(&place) {
                    Some((placed, name)) => diagnostic.label(*placed, format!("`{name}` gives {what}")),
                    None => diagnostic,
                };
                self.report(if matches!(value, Value::None) {
                    diagnostic.help("an optional value is absent here: test it with `given` first, or make the port optional with `?`")
                } else {
                    diagnostic
                });
                false
            }
        }
    }

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
                        Err(phrase) => first = first.or(Some((pattern.text.clone(), phrase))),
                    }
                }
                match (first, patterns.len()) {
                    (Some((_, phrase)), 1) => Fit::No(phrase),
                    (Some((text, phrase)), count) => {
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
        fields: &Rc<Vec<(String, Value<'a>)>>,
        solution: &mut Solution,
    ) -> Fit {
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

    fn check_result(
        &mut self,
        callable: &Callable<'a>,
        value: Value<'a>,
        solution: &mut Solution,
        body: &Environment<'a>,
    ) -> Value<'a> {
        let name = &callable.name.value;
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
        given: &Rc<Vec<(String, Value<'a>)>>,
        solution: &mut Solution,
        body: &Environment<'a>,
        span: Span,
    ) -> (Fit, Span) {
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
