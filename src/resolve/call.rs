//! Calls: who is called, and the few questions a spec can ask about a value.

use super::{
    Resolver,
    environment::Environment,
    names::with_near_miss,
    types::Solution,
    value::{Instance, Value},
};
use crate::{
    codes,
    diagnostic::Diagnostic,
    ops::Op,
    span::Span,
    syntax::ast::{self, ExprKind},
};
use std::rc::Rc;

/// Questions about a value that are answered when compiling.
pub(super) const QUESTIONS: [&str; 5] = ["given", "rank", "dtype", "size", "sqrt"];

/// What a call costs, in steps.
const CALL: usize = 8;
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
        let settings = instance.map_or(0, |instance| instance.settings.len());
        self.spend(CALL + callable.ports.len() * (1 + arguments.len()) + settings, span);
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
                    let caller = (env.scope, env.written_in.as_str());
                    Value::Tensor(self.boundary(caller, instance, &port.name.value, node, place))
                }
                (value, _) => value,
            };
            body.values.insert(port.name.value.clone(), value);
        }
        let closed = solution
            .retry(self.sources)
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
}
