//! Bodies: parameters, submodules, values, and the choices decided when compiling.

use super::{
    Resolver,
    build::join,
    call::fits_setting,
    environment::Environment,
    names::with_near_miss,
    value::{Instance, Value},
};
use crate::{
    codes,
    diagnostic::Diagnostic,
    graph::{NodeKind, Scope, ScopeId},
    names::list_of,
    span::Span,
    syntax::ast::{self, DeclarationKind, ExprKind, Statement},
    types::{Dim, TensorType},
};
use std::{collections::HashMap, rc::Rc};

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
                let value = self.declare(declaration, env, instance);
                env.values.insert(declaration.name.value.clone(), value);
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
            Statement::Require(require) => self.require(require, env),
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
        let before: Vec<String> = env.values.keys().cloned().collect();
        for index in *from..*to {
            if !self.spend(1, repeat.span) {
                return None;
            }
            env.values.insert(repeat.name.value.clone(), Value::Int(index));
            if let Some(value) = self.body(&repeat.body, env, instance) {
                return Some(value);
            }
            // What the body names is new in the next turn.
            env.values.retain(|name, _| before.contains(name));
        }
        None
    }

    /// A parameter or submodule; the same one wherever its path is used.
    fn declare(
        &mut self,
        declaration: &'a ast::Declaration,
        env: &mut Environment<'a>,
        instance: Option<&Rc<Instance<'a>>>,
    ) -> Value<'a> {
        let path =
            self.graph.scopes.get(env.scope.0 as usize).map_or(String::new(), |scope| scope.path.clone());
        match &declaration.kind {
            DeclarationKind::Parameter(ty) => {
                let Some(pattern) = self.pattern(ty, env) else { return Value::Poison };
                let shape: Option<Vec<Dim>> = (!pattern.leading).then(|| pattern.sizes.clone());
                let Some(shape) = shape.filter(|shape| shape.iter().all(|dim| dim.as_known().is_some()))
                else {
                    self.report(
                        Diagnostic::error(
                            codes::WRONG_KIND,
                            ty.span,
                            "the sizes of a parameter are known when compiling",
                        )
                        .mark("has a size that is bound when the model runs"),
                    );
                    return Value::Poison;
                };
                self.declare_parameter(
                    declaration,
                    &path,
                    TensorType::new(pattern.dtype, shape),
                    env,
                    instance,
                )
            }
            DeclarationKind::Placement(placement) => self.place(declaration, placement, &path, env),
        }
    }

    fn declare_parameter(
        &mut self,
        declaration: &'a ast::Declaration,
        path: &str,
        ty: TensorType,
        env: &Environment<'a>,
        instance: Option<&Rc<Instance<'a>>>,
    ) -> Value<'a> {
        let name = &declaration.name.value;
        let own = join(path, name);
        let Some(instance) = instance else {
            return Value::Tensor(self.parameter(own, ty, env.scope, declaration.span));
        };
        let node = match instance.tied.get(name) {
            None => self.parameter(own, ty, env.scope, declaration.span),
            Some((node, with)) => {
                let given = self.type_of(*node).clone();
                if given != ty {
                    let span = with.span;
                    self.report(
                        Diagnostic::error(
                            codes::SHAPE,
                            span,
                            format!("`{name}` is {ty}, but is tied to {given}"),
                        )
                        .mark(format!("this is {given}"))
                        .label(declaration.span, format!("declared as {ty}")),
                    );
                    return Value::Poison;
                }
                if let Some(NodeKind::Parameter(parameter)) =
                    self.graph.nodes.get_mut(node.index()).map(|node| &mut node.kind)
                    && parameter.path != own
                    && !parameter.tied.contains(&own)
                {
                    parameter.tied.push(own);
                }
                *node
            }
        };
        let caller = self.callers.get(&instance.path).cloned().unwrap_or_default();
        let mut place = Environment::new(caller.scope, &caller.written_in);
        place.hint = None;
        Value::Tensor(self.boundary(&place, instance, name, node, declaration.span))
    }

    fn place(
        &mut self,
        declaration: &'a ast::Declaration,
        placement: &'a ast::Placement,
        path: &str,
        env: &mut Environment<'a>,
    ) -> Value<'a> {
        let name = &placement.module;
        let Some(module) = self.globals.modules.get(name.value.as_str()).copied() else {
            let unknown = Diagnostic::error(
                codes::UNKNOWN_NAME,
                name.span,
                format!("there is no module `{}`", name.value),
            )
            .mark("not declared by `module`");
            let known: Vec<&str> = self.globals.modules.keys().copied().collect();
            self.report(with_near_miss(unknown, name, known));
            return Value::Poison;
        };
        let Some(settings) = self.settings(module, placement, env) else { return Value::Poison };
        let Some(tied) = self.tied(module, placement, env) else { return Value::Poison };
        let prefix = match &placement.from {
            Some(from) => from.value.clone(),
            None => join(path, &declaration.name.value),
        };
        let Some(repeat) = &placement.repeat else {
            return Value::Instance(self.instance(module, prefix, declaration, settings, tied, env));
        };
        let Some(count) = self.count(repeat, env) else { return Value::Poison };
        let mut list = Vec::new();
        for index in 0..count {
            if !self.spend(1, placement.span) {
                return Value::Poison;
            }
            let path = join(&prefix, &index.to_string());
            list.push(self.instance(module, path, declaration, settings.clone(), tied.clone(), env));
        }
        Value::Instances(Rc::new(list))
    }

    /// The instance at a path: made at its first placement.
    fn instance(
        &mut self,
        module: &'a ast::Module,
        path: String,
        declaration: &'a ast::Declaration,
        settings: HashMap<String, Value<'a>>,
        tied: HashMap<String, (crate::graph::NodeId, ast::Name)>,
        env: &Environment<'a>,
    ) -> Rc<Instance<'a>> {
        if let Some(instance) = self.instances.get(&path)
            && std::ptr::eq(instance.module, module)
        {
            return instance.clone();
        }
        let scope = ScopeId(self.graph.scopes.len() as u32);
        self.graph.scopes.push(Scope {
            path: path.clone(),
            module: module.name.value.clone(),
            parent: Some(env.scope.0),
        });
        let instance = Rc::new(Instance {
            module,
            path: path.clone(),
            name: declaration.name.value.clone(),
            placed: declaration.span,
            scope,
            settings,
            tied,
        });
        self.callers
            .insert(path.clone(), super::Caller { scope: env.scope, written_in: env.written_in.clone() });
        self.instances.insert(path, instance.clone());
        instance
    }

    /// The settings of a placement, by position and by name, with defaults.
    fn settings(
        &mut self,
        module: &'a ast::Module,
        placement: &'a ast::Placement,
        env: &mut Environment<'a>,
    ) -> Option<HashMap<String, Value<'a>>> {
        let mut given: HashMap<&'a str, (Value<'a>, Span)> = HashMap::new();
        let mut fine = true;
        for (position, argument) in placement.settings.iter().flatten().enumerate() {
            let value = self.unnamed(&argument.value, env);
            let name = match &argument.name {
                Some(name) => module.settings.iter().find(|setting| setting.name.value == name.value),
                None => module.settings.get(position),
            };
            let Some(setting) = name else {
                let what = argument
                    .name
                    .as_ref()
                    .map_or("so many settings".to_owned(), |name| format!("setting `{}`", name.value));
                let known: Vec<&str> =
                    module.settings.iter().map(|setting| setting.name.value.as_str()).collect();
                let diagnostic = Diagnostic::error(
                    codes::SETTING,
                    argument.value.span,
                    format!("`{}` has no {what}", module.name.value),
                )
                .mark("not a setting")
                .label(module.name.span, "declared here")
                .note(format!("its settings are {}", list_of(known.iter().copied())));
                self.report(match &argument.name {
                    Some(name) => with_near_miss(diagnostic, name, known),
                    None => diagnostic,
                });
                fine = false;
                continue;
            };
            given.insert(&setting.name.value, (value, argument.value.span));
        }
        let mut settings = HashMap::new();
        for setting in &module.settings {
            let (value, span) = match (given.remove(setting.name.value.as_str()), &setting.default) {
                (Some(given), _) => given,
                (None, Some(default)) => (self.unnamed(default, env), default.span),
                (None, None) if setting.optional => (Value::None, setting.name.span),
                (None, None) => {
                    self.report(
                        Diagnostic::error(
                            codes::SETTING,
                            placement.span,
                            format!("`{}` is not given `{}`", module.name.value, setting.name.value),
                        )
                        .mark(format!("`{}` is missing", setting.name.value))
                        .label(
                            setting.name.span,
                            format!("`{}: {}` is required", setting.name.value, setting.ty.value),
                        ),
                    );
                    fine = false;
                    continue;
                }
            };
            let absent = setting.optional && matches!(value, Value::None);
            if !super::types::SETTING_TYPES.contains(&setting.ty.value.as_str()) {
                self.report(
                    Diagnostic::error(
                        codes::UNKNOWN_NAME,
                        setting.ty.span,
                        format!("there is no kind of setting `{}`", setting.ty.value),
                    )
                    .mark("a setting is `int`, `float`, `bool` or `str`"),
                );
                fine = false;
            } else if value.is_poison() {
                fine = false;
            } else if !absent && !fits_setting(&setting.ty.value, &value) {
                self.report(
                    Diagnostic::error(
                        codes::SETTING,
                        span,
                        format!(
                            "`{}` of `{}` is {}, not {}",
                            setting.name.value,
                            module.name.value,
                            setting.ty.value,
                            value.kind()
                        ),
                    )
                    .mark(format!("this is {}", value.kind()))
                    .label(setting.name.span, "declared here"),
                );
                fine = false;
            }
            settings.insert(setting.name.value.clone(), value);
        }
        fine.then_some(settings)
    }

    fn tied(
        &mut self,
        module: &'a ast::Module,
        placement: &'a ast::Placement,
        env: &mut Environment<'a>,
    ) -> Option<HashMap<String, (crate::graph::NodeId, ast::Name)>> {
        let mut tied = HashMap::new();
        for argument in placement.with.iter().flatten() {
            let value = self.unnamed(&argument.value, env);
            let known: Vec<&str> = parameter_names(&module.body).collect();
            let Some(name) = argument.name.as_ref().filter(|name| known.contains(&name.value.as_str()))
            else {
                self.report(
                    Diagnostic::error(
                        codes::SETTING,
                        argument.value.span,
                        format!("`with` names a parameter of `{}`", module.name.value),
                    )
                    .mark("names none")
                    .note(format!("its parameters are {}", list_of(known.iter().copied()))),
                );
                return None;
            };
            match value {
                Value::Tensor(node) => {
                    let node = self.behind_boundaries(node);
                    tied.insert(name.value.clone(), (node, name.clone()));
                }
                Value::Poison => return None,
                other => {
                    self.report(
                        Diagnostic::error(
                            codes::WRONG_KIND,
                            argument.value.span,
                            format!("`{}` is tied to a tensor, not to {}", name.value, other.kind()),
                        )
                        .mark(format!("this is {}", other.kind())),
                    );
                    return None;
                }
            }
        }
        Some(tied)
    }

    /// The node itself, where boundaries lie between.
    fn behind_boundaries(&self, mut node: crate::graph::NodeId) -> crate::graph::NodeId {
        while let (NodeKind::Boundary, [operand]) =
            (&self.graph.node(node).kind, self.graph.node(node).operands.as_slice())
        {
            node = *operand;
        }
        node
    }

    /// A parameter or submodule of an instance, by name, whether or not the
    /// instance has been called yet.
    pub(super) fn instance_member(
        &mut self,
        instance: &Rc<Instance<'a>>,
        member: &'a ast::Name,
    ) -> Value<'a> {
        let Some(declaration) = find_declaration(&instance.module.body, &member.value) else {
            let known: Vec<&str> = declaration_names(&instance.module.body);
            let unknown = Diagnostic::error(
                codes::UNKNOWN_NAME,
                member.span,
                format!("`{}` has no part `{}`", instance.module.name.value, member.value),
            )
            .mark("no such parameter or submodule")
            .label(instance.module.name.span, "declared here");
            self.report(with_near_miss(unknown, member, known));
            return Value::Poison;
        };
        let mut env = Environment::new(instance.scope, &instance.module.name.value);
        env.values.clone_from(&instance.settings);
        match &declaration.kind {
            // The parameter itself: a boundary belongs to the uses inside the instance.
            DeclarationKind::Parameter(_) => match instance.tied.get(&member.value) {
                Some((node, _)) => Value::Tensor(*node),
                None => self.declare(declaration, &mut env, None),
            },
            DeclarationKind::Placement(_) => self.declare(declaration, &mut env, Some(instance)),
        }
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
        module.or(function).or(model).is_some_and(|body| super::lint::names_of(body).contains(name))
    }

    /// Checks a `require`; sizes bound later become a check of each call.
    pub(super) fn require(&mut self, require: &'a ast::Require, env: &mut Environment<'a>) {
        if let ExprKind::Binary(left, mark, right) = &require.condition.kind {
            let steps = self.steps;
            let comparison = matches!(mark.value.mark(), "==" | "!=" | "<" | "<=" | ">" | ">=");
            if comparison {
                let (a, b) = (self.unnamed(left, env), self.unnamed(right, env));
                if a.is_poison() || b.is_poison() {
                    return;
                }
                let symbolic = matches!(a, Value::Dim(_)) || matches!(b, Value::Dim(_));
                if let (true, Some(left), Some(right)) = (symbolic, a.as_dim(), b.as_dim()) {
                    let message = self.interpolate(&require.message, env);
                    let check = crate::graph::Check {
                        left,
                        comparison: mark.value.mark(),
                        right,
                        message,
                        span: require.span,
                    };
                    if !self.graph.checks.contains(&check) {
                        self.graph.checks.push(check);
                    }
                    return;
                }
            }
            self.steps = steps;
        }
        if self.truth(&require.condition, env) == Some(false) {
            let message = self.interpolate(&require.message, env);
            let values = self.values_in(&require.condition, env);
            let mut diagnostic =
                Diagnostic::error(codes::REQUIRE, require.condition.span, message).mark("does not hold");
            for (name, value) in values {
                diagnostic = diagnostic.note(format!("{name} = {value}"));
            }
            self.report(diagnostic);
        }
    }

    /// The message with `{expression}` replaced by its value.
    fn interpolate(&mut self, message: &ast::Name, env: &mut Environment<'a>) -> String {
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
        super::lint::visit_names(expr, &mut |name| {
            if !names.contains(&name.to_owned()) {
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

/// The parameters that a body declares.
fn parameter_names(body: &ast::Body) -> impl Iterator<Item = &str> {
    declarations(body)
        .into_iter()
        .filter(|declaration| matches!(declaration.kind, DeclarationKind::Parameter(_)))
        .map(|declaration| declaration.name.value.as_str())
}

fn declaration_names(body: &ast::Body) -> Vec<&str> {
    declarations(body).into_iter().map(|declaration| declaration.name.value.as_str()).collect()
}

fn find_declaration<'a>(body: &'a ast::Body, name: &str) -> Option<&'a ast::Declaration> {
    declarations(body).into_iter().find(|declaration| declaration.name.value == name)
}

/// Every declaration of a body, those in branches included.
pub(super) fn declarations(body: &ast::Body) -> Vec<&ast::Declaration> {
    let mut list = Vec::new();
    for statement in &body.statements {
        match statement {
            Statement::Declaration(declaration) => list.push(declaration),
            Statement::If(branch) => {
                list.extend(declarations(&branch.then));
                list.extend(branch.otherwise.iter().flat_map(declarations));
            }
            Statement::For(repeat) => list.extend(declarations(&repeat.body)),
            _ => {}
        }
    }
    list
}
