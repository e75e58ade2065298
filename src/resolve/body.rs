//! Bodies: values, and the choices decided when compiling.

use super::{
    Resolver,
    environment::Environment,
    lint,
    value::{Instance, Value},
};
use crate::{
    codes,
    diagnostic::Diagnostic,
    syntax::ast::{self, Statement},
};
use std::rc::Rc;

impl<'a> Resolver<'a> {
    /// Evaluates a body up to its `return`; `None` where none is reached.
    pub(super) fn body(
        &mut self,
        body: &'a ast::Body,
        env: &mut Environment<'a>,
        instance: Option<&Rc<Instance<'a>>>,
    ) -> Option<Value<'a>> {
        for statement in &body.statements {
            if self.stopped {
                return None;
            }
            if let Some(value) = self.statement(statement, env, instance) {
                return Some(value);
            }
        }
        None
    }

    pub(super) fn statement(
        &mut self,
        statement: &'a Statement,
        env: &mut Environment<'a>,
        instance: Option<&Rc<Instance<'a>>>,
    ) -> Option<Value<'a>> {
        match statement {
            Statement::Declaration(declaration) => {
                let name = &declaration.name;
                self.spend(1, name.span);
                // A name given twice stands for neither, so that nothing follows from the mistake.
                let value = if env.values.contains_key(&name.value) {
                    self.report(
                        Diagnostic::error(
                            codes::DUPLICATE_NAME,
                            name.span,
                            format!("`{}` is declared twice", name.value),
                        )
                        .mark("declared again here"),
                    );
                    Value::Poison
                } else {
                    self.declare(declaration, env, instance)
                };
                env.values.insert(name.value.clone(), value);
            }
            Statement::Let(value) => {
                let name = &value.name.value;
                if env.values.contains_key(name) {
                    self.report(
                        Diagnostic::error(
                            codes::DUPLICATE_NAME,
                            value.name.span,
                            format!("`{name}` has a value already"),
                        )
                        .mark("named again")
                        .help(format!(
                            "choose another name, or write `set {name} = ...` to give it a new value"
                        )),
                    );
                }
                let worth = self.hinted(&value.value, env, name);
                env.values.insert(name.clone(), worth);
            }
            Statement::Set(value) => {
                let name = &value.name.value;
                let worth = self.hinted(&value.value, env, name);
                if env.values.insert(name.clone(), worth).is_none() {
                    env.values.remove(name);
                    let unknown = Diagnostic::error(
                        codes::UNKNOWN_NAME,
                        value.name.span,
                        format!("there is no value `{name}` to set"),
                    )
                    .mark("not named by a `let` before")
                    .help(format!("write `let {name} = ...` first"));
                    self.report(unknown);
                }
            }
            Statement::Return(value) => {
                let worth = self.unnamed(&value.value, env);
                self.last_return = Some(value.value.span);
                return Some(worth);
            }
            // What follows a requirement rests on it.
            Statement::Require(require) => return (!self.require(require, env)).then_some(Value::Poison),
            Statement::If(branch) => {
                let taken = match self.truth(&branch.condition, env)? {
                    true => Some(&branch.then),
                    false => branch.otherwise.as_ref(),
                };
                return taken.and_then(|body| self.body(body, env, instance));
            }
            Statement::For(repeat) => return self.repeat(repeat, env, instance),
            Statement::Answer(answer) => {
                self.report(
                    Diagnostic::error(
                        codes::WRONG_KIND,
                        answer.span,
                        "`answer` belongs in the body of a model",
                    )
                    .mark("not in a model"),
                );
            }
        }
        None
    }

    fn hinted(&mut self, expr: &'a ast::Expr, env: &mut Environment<'a>, name: &str) -> Value<'a> {
        let before = env.hint.replace(name.to_owned());
        let value = self.expr(expr, env);
        env.hint = before;
        value
    }

    fn repeat(
        &mut self,
        repeat: &'a ast::For,
        env: &mut Environment<'a>,
        instance: Option<&Rc<Instance<'a>>>,
    ) -> Option<Value<'a>> {
        let from = self.unnamed(&repeat.from, env);
        let to = self.unnamed(&repeat.to, env);
        let (Value::Int(from), Value::Int(to)) = (&from, &to) else {
            if !from.is_poison() && !to.is_poison() {
                self.report(
                    Diagnostic::error(
                        codes::WRONG_KIND,
                        repeat.from.span.merge(repeat.to.span),
                        "the bounds of `for` are whole numbers known when compiling",
                    )
                    .mark(format!("from {} to {}", from.text(), to.text())),
                );
            }
            return None;
        };
        let mut inner = lint::names_of(&repeat.body);
        inner.insert(&repeat.name.value);
        self.spend(inner.len(), repeat.span);
        inner.retain(|name| !env.values.contains_key(*name));
        for index in *from..*to {
            if !self.spend(1 + inner.len(), repeat.span) {
                return None;
            }
            env.values.insert(repeat.name.value.clone(), Value::Int(index));
            if let Some(value) = self.body(&repeat.body, env, instance) {
                return Some(value);
            }
            // What the body names is new in the next turn.
            for name in &inner {
                env.values.remove(*name);
            }
        }
        None
    }

    /// Whether a name that is unknown now is declared in a branch not taken.
    pub(super) fn declared_elsewhere(&self, name: &str, env: &Environment<'a>) -> bool {
        let module = self.globals.modules.get(env.written_in.as_str()).map(|module| &module.body);
        let function = self.globals.functions.get(env.written_in.as_str()).map(|function| &function.body);
        let model = self
            .globals
            .models
            .iter()
            .find(|model| model.name.value == env.written_in)
            .map(|model| &model.body);
        module.or(function).or(model).is_some_and(|body| lint::names_of(body).contains(name))
    }
}
