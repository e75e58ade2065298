//! The arguments of a call against the ports of what is called.

use super::{
    Resolver,
    call::Callable,
    environment::Environment,
    fit::Fit,
    names::with_near_miss,
    types::{PortType, Solution},
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
    /// The value for each port, by position and by name, with defaults.
    pub(super) fn match_ports(
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
    pub(super) fn accept(
        &mut self,
        callable: &Callable<'a>,
        port: &'a ast::Port,
        ty: &PortType<'a>,
        value: &Value<'a>,
        place: Span,
        solution: &mut Solution,
    ) -> bool {
        self.spend(value.count(), place);
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
}
