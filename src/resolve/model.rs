//! The model: its body, and the outputs that a call wants.

use super::{
    Resolver, environment::Environment, fit::Fit, inputs::Chosen, names::with_near_miss, types::Solution,
    value::Value,
};
use crate::{
    answer::{Answer, AnswerKind},
    codes,
    diagnostic::Diagnostic,
    graph::{Output, Scope, ScopeId},
    names::{list_of, nearest},
    syntax::ast::{self, ExprKind, Statement},
    types::Symbol,
};

impl<'a> Resolver<'a> {
    /// Builds the graph of the model, as far as its problems let it.
    pub(super) fn model(&mut self, model: &'a ast::Model) {
        self.graph.name.clone_from(&model.name.value);
        self.graph.scopes.push(Scope {
            path: String::new(),
            module: model.name.value.clone(),
            parent: None,
            placed: model.name.span,
        });
        let before = self.problems.len();
        let mut env = Environment::new(ScopeId(0), &model.name.value);
        let mut leaves = self.leaves(model, &env);
        self.choose(&mut leaves, model);
        self.bind_dims(&leaves);
        if self.problems.len() > before {
            return;
        }
        let chosen = Chosen::new(leaves);
        for input in &model.inputs {
            let value = self.input(input, &chosen, &env);
            env.values.insert(input.name.value.clone(), value);
        }
        if self.problems.len() > before {
            return;
        }
        let answers = model.body.statements.iter().filter_map(|statement| match statement {
            Statement::Answer(answer) => Some(answer),
            _ => None,
        });
        for answer in answers {
            self.answer(answer, model);
        }
        let value = self.model_body(model, &mut env);
        match value {
            Some(Value::Record(fields)) => self.outputs(model, &fields, &env),
            Some(Value::Poison) => {}
            None if self.stopped || self.problems.has_errors() => {}
            other => {
                let what = other.map_or("nothing", |value| value.kind());
                self.report(
                    Diagnostic::error(
                        codes::RESULT,
                        self.last_return.unwrap_or(model.name.span),
                        format!("`{}` returns {what}, not its outputs by name", model.name.value),
                    )
                    .mark("not a record")
                    .help(format!(
                        "write `return ({}: ...)`",
                        model.outputs.first().map_or("logits", |output| output.name.value.as_str())
                    )),
                );
            }
        }
    }

    fn model_body(&mut self, model: &'a ast::Model, env: &mut Environment<'a>) -> Option<Value<'a>> {
        for statement in &model.body.statements {
            if matches!(statement, Statement::Answer(_)) {
                continue;
            }
            let wrapped = self.statement(statement, env, None);
            if wrapped.is_some() || self.stopped {
                return wrapped;
            }
        }
        None
    }

    /// Names the outputs that this call makes.
    fn outputs(&mut self, model: &'a ast::Model, fields: &[(String, Value<'a>)], env: &Environment<'a>) {
        let place = self.last_return.unwrap_or(model.name.span);
        self.spend(model.outputs.len() * (1 + fields.len()), place);
        for (name, value) in fields.iter() {
            self.spend(value.count(), place);
            if !model.outputs.iter().any(|output| output.name.value == *name) {
                let known = model.outputs.iter().map(|output| output.name.value.as_str());
                self.report(
                    Diagnostic::error(
                        codes::RESULT,
                        place,
                        format!("`{}` declares no output `{name}`", model.name.value),
                    )
                    .mark("returned here")
                    .note(format!("its outputs are {}", list_of(known))),
                );
            }
        }
        let mut solution = Solution::default();
        for binding in &self.globals.dims {
            let symbol: Symbol = binding.name.value.as_str().into();
            let dim = self.model_dim(&symbol);
            solution.dims.insert(symbol, dim);
        }
        for output in &model.outputs {
            let name = &output.name.value;
            let value = fields
                .iter()
                .find(|(field, _)| field == name)
                .map_or(Value::None, |(_, value)| value.clone());
            let ty = self.port_type(&output.ty, env);
            match self.fits(&ty, &value, &mut solution) {
                Fit::Yes => {}
                Fit::Silent => continue,
                Fit::No(phrase) => {
                    let what = if let Value::Tensor(node) = &value {
                        self.type_of(*node).to_string()
                    } else {
                        value.kind().to_owned()
                    };
                    self.report(
                        Diagnostic::error(
                            codes::RESULT,
                            place,
                            format!(
                                "the output `{name}` is {what}, but is declared as `{}`",
                                self.sources.slice(output.ty.span)
                            ),
                        )
                        .mark(phrase)
                        .label(output.name.span, "declared here"),
                    );
                    continue;
                }
            }
            let wanted = !output.on_request || self.options.outputs.contains(name);
            if wanted {
                self.flatten(name, &value);
            }
        }
        for name in &self.options.outputs.clone() {
            let declared = model.outputs.iter().find(|output| output.name.value == *name);
            let made = self
                .graph
                .outputs
                .iter()
                .any(|output| output.name == *name || output.name.starts_with(&format!("{name}.")));
            match declared {
                None => {
                    let known: Vec<&str> =
                        model.outputs.iter().map(|output| output.name.value.as_str()).collect();
                    let near = nearest(name, known.iter().copied());
                    let help = near.map_or_else(
                        || format!("its outputs are {}", list_of(known)),
                        |near| format!("did you mean `{near}`?"),
                    );
                    self.report(
                        Diagnostic::error(
                            codes::OUTPUT,
                            model.name.span,
                            format!("`{}` has no output `{name}`", model.name.value),
                        )
                        .mark("this model")
                        .help(help),
                    );
                }
                Some(output) if !made && !self.problems.has_errors() => {
                    self.report(
                        Diagnostic::error(
                            codes::OUTPUT,
                            output.name.span,
                            format!("the output `{name}` is absent for this config and these inputs"),
                        )
                        .mark("declared here")
                        .help("only a decoder has a cache (`is_decoder`), only a call with labels a loss"),
                    );
                }
                Some(_) => {}
            }
        }
    }

    fn flatten(&mut self, name: &str, value: &Value<'a>) {
        match value {
            Value::Tensor(node) => self.graph.outputs.push(Output { name: name.to_owned(), node: *node }),
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.flatten(&format!("{name}.{index}"), item);
                }
            }
            Value::Record(fields) => {
                for (field, value) in fields.iter() {
                    self.flatten(&format!("{name}.{field}"), value);
                }
            }
            _ => {}
        }
    }

    /// `answer KIND(OUTPUTS)`.
    fn answer(&mut self, answer: &'a ast::Answer, model: &'a ast::Model) {
        let Some((kind, _, count)) =
            AnswerKind::ALL.into_iter().find(|(_, name, _)| *name == answer.kind.value)
        else {
            let names = AnswerKind::ALL.map(|(_, name, _)| name);
            let unknown = Diagnostic::error(
                codes::ANSWER,
                answer.kind.span,
                format!("there is no answer `{}`", answer.kind.value),
            )
            .mark("no such reading")
            .note(format!("the readings are {}", list_of(names)));
            self.report(with_near_miss(unknown, &answer.kind, names));
            return;
        };
        if answer.arguments.len() != count {
            let given = answer.arguments.len();
            self.report(
                Diagnostic::error(
                    codes::ANSWER,
                    answer.span,
                    format!("`{}` reads {count} outputs, but {given} are named", answer.kind.value),
                )
                .mark("wrong number of outputs"),
            );
            return;
        }
        let mut outputs = Vec::new();
        for argument in &answer.arguments {
            let known = model.outputs.iter().map(|output| output.name.value.as_str());
            match &argument.value.kind {
                ExprKind::Name(name) if known.clone().any(|output| output == name) => {
                    outputs.push(name.clone())
                }
                _ => {
                    let text = self.sources.slice(argument.value.span).to_owned();
                    let written = ast::Name { value: text.clone(), span: argument.value.span };
                    let unknown = Diagnostic::error(
                        codes::ANSWER,
                        argument.value.span,
                        format!("`{text}` is no output of `{}`", model.name.value),
                    )
                    .mark("an answer reads outputs by name");
                    self.report(with_near_miss(unknown, &written, known));
                    return;
                }
            }
        }
        self.graph.answers.push(Answer { kind, outputs });
    }
}
