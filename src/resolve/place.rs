//! Parameters and submodules: instances at their state-dict paths.

use super::{
    Resolver,
    build::join,
    environment::Environment,
    fit::fits_setting,
    names::with_near_miss,
    value::{Instance, Value},
};
use crate::{
    codes,
    diagnostic::Diagnostic,
    graph::{NodeId, NodeKind, Scope, ScopeId},
    names::list_of,
    span::Span,
    syntax::ast::{self, DeclarationKind, Statement},
    types::{Dim, TensorType},
};
use std::{collections::HashMap, rc::Rc};

/// What an instance costs, in steps.
const INSTANCE: usize = 20;
/// Letters of a `from`, at most.
const LONGEST_PREFIX: usize = 256;

/// A placement with everything it says.
struct Placed<'a, 'e> {
    module: &'a ast::Module,
    declaration: &'a ast::Declaration,
    placement: &'a ast::Placement,
    settings: HashMap<String, Value<'a>>,
    tied: HashMap<String, (NodeId, ast::Name)>,
    env: &'e Environment<'a>,
}

impl<'a> Resolver<'a> {
    /// A parameter or submodule; the same one wherever its path is used.
    pub(super) fn declare(
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
            let node = self.parameter(own, ty, env.scope, declaration.span);
            return node.map_or(Value::Poison, Value::Tensor);
        };
        let node = match instance.tied.get(name) {
            None => match self.parameter(own, ty, env.scope, declaration.span) {
                Some(node) => node,
                None => return Value::Poison,
            },
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
        let caller = (instance.placed_in, instance.written_in.as_str());
        Value::Tensor(self.boundary(caller, instance, name, node, declaration.span))
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
        self.spend(module.settings.len() * (1 + placement.settings.iter().flatten().count()), name.span);
        let Some(settings) = self.settings(module, placement, env) else { return Value::Poison };
        let Some(tied) = self.tied(module, placement, env) else { return Value::Poison };
        let prefix = match &placement.from {
            Some(from) if self.is_path(from) => from.value.clone(),
            Some(_) => return Value::Poison,
            None => join(path, &declaration.name.value),
        };
        let placed = Placed { module, declaration, placement, settings, tied, env };
        let Some(repeat) = &placement.repeat else {
            return self.instance(prefix, &placed).map_or(Value::Poison, Value::Instance);
        };
        let Some(count) = self.count(repeat, placed.env) else { return Value::Poison };
        let mut list = Vec::new();
        for index in 0..count {
            let Some(instance) = self.instance(join(&prefix, &index.to_string()), &placed) else {
                return Value::Poison;
            };
            list.push(instance);
        }
        Value::Instances(Rc::new(list))
    }

    /// The instance at a path: made at its first placement, found again at others;
    /// `None` where there can be none, reported.
    fn instance(&mut self, path: String, placed: &Placed<'a, '_>) -> Option<Rc<Instance<'a>>> {
        let Placed { module, declaration, placement, env, .. } = *placed;
        if !self.spend(INSTANCE + path.len() / 8, placement.span) {
            return None;
        }
        let key = (path, module.name.span);
        if let Some(instance) = self.instances.get(&key).cloned() {
            let same = |(name, value): (&String, &Value<'a>)| {
                instance.settings.get(name).is_some_and(|other| value.is_same_setting(other))
            };
            if placed.settings.iter().all(same) {
                return Some(instance);
            }
            let message = format!("two submodules with other settings have the state-dict path `{}`", key.0);
            self.report(
                Diagnostic::error(codes::DUPLICATE_NAME, placement.span, message)
                    .mark("the second")
                    .label(instance.placed, "the first")
                    .help("a `for` places one submodule again and again: write `name: Module * count` outside it"),
            );
            return None;
        }
        let scope = ScopeId(self.graph.scopes.len() as u32);
        self.graph.scopes.push(Scope {
            path: key.0.clone(),
            module: module.name.value.clone(),
            parent: Some(env.scope.0),
            placed: declaration.span,
        });
        let instance = Rc::new(Instance {
            module,
            path: key.0.clone(),
            name: declaration.name.value.clone(),
            placed: declaration.span,
            placed_in: env.scope,
            written_in: env.written_in.clone(),
            scope,
            settings: placed.settings.clone(),
            tied: placed.tied.clone(),
        });
        self.instances.insert(key, instance.clone());
        Some(instance)
    }

    /// Whether a prefix can stand before names of a state dict; reports where it cannot.
    fn is_path(&mut self, from: &'a ast::Name) -> bool {
        let segment = |segment: &str| {
            !segment.is_empty() && segment.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
        };
        let fine = from.value.len() <= LONGEST_PREFIX && from.value.split('.').all(segment);
        if !fine && !from.value.is_empty() {
            self.report(
                Diagnostic::error(codes::SETTING, from.span, "the prefix is no path of a state dict")
                    .mark("not words joined by dots")
                    .help(format!(
                        "write it as in `from \"bert.encoder\"`, in at most {LONGEST_PREFIX} letters, or `from \"\"` for none"
                    )),
            );
        }
        fine || from.value.is_empty()
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
    ) -> Option<HashMap<String, (NodeId, ast::Name)>> {
        let mut tied = HashMap::new();
        for argument in placement.with.iter().flatten() {
            let value = self.unnamed(&argument.value, env);
            let known: Vec<&str> = parameter_names(&module.body).collect();
            self.spend(known.len(), placement.span);
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
    fn behind_boundaries(&self, mut node: NodeId) -> NodeId {
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
        let declared = declarations(&instance.module.body);
        self.spend(declared.len(), member.span);
        let Some(declaration) = declared.iter().copied().find(|known| known.name.value == member.value)
        else {
            let known = declared.iter().map(|declaration| declaration.name.value.as_str());
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
}

/// The parameters that a body declares.
fn parameter_names(body: &ast::Body) -> impl Iterator<Item = &str> {
    declarations(body)
        .into_iter()
        .filter(|declaration| matches!(declaration.kind, DeclarationKind::Parameter(_)))
        .map(|declaration| declaration.name.value.as_str())
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
