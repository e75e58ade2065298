//! What can be said of a body without evaluating it, in every branch: unknown
//! and duplicate names, submodules never used, modules that contain themselves.

use super::{
    Resolver,
    call::QUESTIONS,
    names::{duplicate, with_near_miss},
    place,
};
use crate::{
    codes,
    diagnostic::Diagnostic,
    ops::Op,
    span::Span,
    syntax::ast::{self, DeclarationKind, Expr, ExprKind, Statement},
    types::DType,
};
use std::collections::{BTreeSet, HashMap};

impl<'a> Resolver<'a> {
    /// Checks every body, and that no module or function contains itself; false
    /// where one does, so that it can't be unfolded.
    pub(super) fn lint(&mut self) -> bool {
        let functions: Vec<&'a ast::Function> =
            sorted(self.globals.functions.values().copied(), |f| f.name.span);
        let modules: Vec<&'a ast::Module> = sorted(self.globals.modules.values().copied(), |m| m.name.span);
        for function in functions {
            let names = function.ports.iter().map(|port| &port.name);
            self.lint_body(&function.body, names.collect());
        }
        for module in modules {
            let ports = module.ports.iter().map(|port| &port.name);
            let settings = module.settings.iter().map(|setting| &setting.name);
            self.lint_body(&module.body, ports.chain(settings).collect());
        }
        let models: Vec<&'a ast::Model> = self.globals.models.clone();
        for model in models {
            self.lint_body(&model.body, model.inputs.iter().map(|input| &input.name).collect());
        }
        let before = self.problems.len();
        self.lint_cycles();
        self.problems.len() == before
    }

    fn lint_body(&mut self, body: &'a ast::Body, outer: Vec<&'a ast::Name>) {
        let mut seen: HashMap<&'a str, &'a ast::Name> = HashMap::new();
        for name in outer {
            if let Some(first) = seen.insert(&name.value, name) {
                self.report(duplicate(name, first));
            }
        }
        let own = declared_in(body);
        for name in seen.values().copied().chain(own.iter().copied()).collect::<Vec<_>>() {
            // What another file declares cannot know the names used here.
            let first = self.globals.value_name(&name.value);
            if let Some(first) = first.filter(|first| first.span.file == name.span.file) {
                self.report(duplicate(name, first));
            }
        }
        let mut names: BTreeSet<&str> = own.iter().map(|name| name.value.as_str()).collect();
        names.extend(seen.keys());
        self.lint_declarations(body, &mut seen);
        let mut used: BTreeSet<String> = BTreeSet::new();
        let mut unknown = Vec::new();
        visit_body(body, &mut |expr, called| match &expr.kind {
            ExprKind::Name(name) => {
                used.insert(name.clone());
                if !names.contains(name.as_str()) {
                    unknown.push((ast::Name { value: name.clone(), span: expr.span }, called));
                }
            }
            ExprKind::Member(_, member) => {
                used.insert(member.value.clone());
            }
            _ => {}
        });
        for (name, called) in unknown {
            self.lint_name(&name, called, &names);
        }
        for declaration in place::declarations(body) {
            if !used.contains(&declaration.name.value) {
                let what = match &declaration.kind {
                    DeclarationKind::Parameter(_) => "parameter",
                    DeclarationKind::Placement(_) => "submodule",
                };
                self.report(
                    Diagnostic::error(
                        codes::UNUSED,
                        declaration.name.span,
                        format!("the {what} `{}` is never used", declaration.name.value),
                    )
                    .mark("declared, but never called or read")
                    .help("use it or remove it: a checkpoint's tensor would be loaded for nothing"),
                );
            }
        }
    }

    /// Names declared twice, and modules that are not there. `seen` is what is
    /// declared around the body; it is left as it was.
    fn lint_declarations(&mut self, body: &'a ast::Body, seen: &mut HashMap<&'a str, &'a ast::Name>) {
        let mut added = Vec::new();
        for statement in &body.statements {
            match statement {
                Statement::Declaration(declaration) => {
                    let name = &declaration.name;
                    match seen.insert(&name.value, name) {
                        Some(first) => {
                            seen.insert(&name.value, first);
                            self.report(duplicate(name, first));
                        }
                        None => added.push(name.value.as_str()),
                    }
                    if let DeclarationKind::Placement(placement) = &declaration.kind {
                        self.lint_module_name(&placement.module);
                    }
                }
                Statement::If(branch) => {
                    for body in std::iter::once(&branch.then).chain(&branch.otherwise) {
                        self.lint_declarations(body, seen);
                    }
                }
                Statement::For(repeat) => self.lint_declarations(&repeat.body, seen),
                _ => {}
            }
        }
        for name in added {
            seen.remove(name);
        }
    }

    fn lint_module_name(&mut self, name: &ast::Name) {
        if self.stopped || self.globals.modules.contains_key(name.value.as_str()) {
            return;
        }
        let unknown =
            Diagnostic::error(codes::UNKNOWN_NAME, name.span, format!("there is no module `{}`", name.value))
                .mark("not declared by `module`");
        let known: Vec<&str> = self.globals.modules.keys().copied().collect();
        self.report(with_near_miss(unknown, name, known));
    }

    fn lint_name(&mut self, name: &ast::Name, called: bool, local: &BTreeSet<&str>) {
        if self.stopped {
            return;
        }
        let text = name.value.as_str();
        let operators = || Op::ALL.iter().map(|schema| schema.name);
        let callable = || operators().chain(self.globals.functions.keys().copied()).chain(QUESTIONS);
        let can_be_called = self.globals.functions.contains_key(text)
            || operators().chain(QUESTIONS).any(|known| known == text);
        if called {
            if can_be_called {
                return;
            }
            let unknown = Diagnostic::error(
                codes::UNKNOWN_OPERATOR,
                name.span,
                format!("there is no operator, function or submodule `{text}`"),
            )
            .mark("not known here");
            let known: Vec<&str> = callable().chain(local.iter().copied()).collect();
            let unknown = if self.globals.modules.contains_key(text) {
                unknown.help(format!(
                    "`{text}` is a module: place it first, as in `name: {text}(...)`, then call `name`"
                ))
            } else {
                with_near_miss(unknown, name, known)
            };
            self.report(unknown);
            return;
        }
        let literal =
            matches!(text, "true" | "false" | "none" | "ones" | "zeros") || DType::from_name(text).is_some();
        if literal || self.globals.is_value(text) {
            return;
        }
        let unknown =
            Diagnostic::error(codes::UNKNOWN_NAME, name.span, format!("there is no value `{text}` here"))
                .mark("not known here");
        let known: Vec<&str> = local.iter().copied().chain(self.globals.value_names()).collect();
        let unknown = if can_be_called {
            unknown.help(format!("`{text}` is called: `{text}(...)`"))
        } else {
            with_near_miss(unknown, name, known)
        };
        self.report(unknown);
    }

    /// Declarations that contain themselves, however far down.
    fn lint_cycles(&mut self) {
        let mut edges: Edges<'a> = HashMap::new();
        for (name, module) in &self.globals.modules {
            let placed = place::declarations(&module.body).into_iter().filter_map(|declaration| {
                match &declaration.kind {
                    DeclarationKind::Placement(placement) => {
                        Some((placement.module.value.as_str(), placement.module.span))
                    }
                    DeclarationKind::Parameter(_) => None,
                }
            });
            edges.insert(name, placed.collect());
        }
        for (name, function) in &self.globals.functions {
            let mut called = Vec::new();
            visit_body(&function.body, &mut |expr, is_call| {
                if let (ExprKind::Name(callee), true) = (&expr.kind, is_call) {
                    called.push((callee.as_str(), expr.span));
                }
            });
            called.retain(|(callee, _)| self.globals.functions.contains_key(callee));
            edges.insert(name, called);
        }
        for (name, record) in &self.globals.records {
            edges.insert(name, record.fields.iter().flat_map(|field| types_in(&field.ty)).collect());
        }
        for (name, alias) in &self.globals.types {
            edges.insert(name, types_in(&alias.ty).collect());
        }
        let mut done: BTreeSet<&str> = BTreeSet::new();
        let mut starts: Vec<&'a str> = edges.keys().copied().collect();
        starts.sort_unstable();
        for start in starts {
            if let Some(cycle) = find_cycle(start, &edges, &mut done) {
                self.report_cycle(&cycle);
            }
        }
    }

    fn report_cycle(&mut self, cycle: &[(&'a str, Span)]) {
        let Some((first, span)) = cycle.first() else { return };
        let (does, help) = if self.globals.modules.contains_key(first) {
            ("contains itself", "repeat a submodule with `name: Module * count`")
        } else if self.globals.functions.contains_key(first) {
            ("calls itself", "compute in a `for`, which takes as many turns as it is told")
        } else if self.globals.records.contains_key(first) {
            ("contains itself", "a value holds a list with `Record * count`")
        } else {
            ("stands for itself", "let one of them stand for a tensor type or a record")
        };
        let mut diagnostic = Diagnostic::error(codes::SELF_REFERENCE, *span, format!("`{first}` {does}"))
            .mark(format!("leads back to `{first}`"))
            .help(help);
        if cycle.len() > 1 {
            let mut route: Vec<String> = cycle.iter().take(8).map(|(name, _)| format!("`{name}`")).collect();
            if cycle.len() > route.len() {
                route.push(format!("{} more", cycle.len() - route.len()));
            }
            diagnostic = diagnostic.note(format!("the way is {} and again `{first}`", route.join(", ")));
        }
        for (name, span) in cycle.iter().skip(1).take(7) {
            diagnostic = diagnostic.label(*span, format!("by way of `{name}`"));
        }
        self.report(diagnostic);
    }
}

/// The names in a type.
fn types_in(ty: &ast::TypeExpr) -> impl Iterator<Item = (&str, Span)> {
    ty.alternatives.iter().filter_map(|alternative| match alternative {
        ast::TypeAlternative::Named(name) => Some((name.value.as_str(), name.span)),
        ast::TypeAlternative::Tensor(_) => None,
    })
}

type Edges<'a> = HashMap<&'a str, Vec<(&'a str, Span)>>;

/// A way from `start` that comes back to one of its own stations, each with the
/// place that leads on to it. Works on a stack of its own, so that a long chain
/// of modules is no deep recursion.
fn find_cycle<'a>(
    start: &'a str,
    edges: &Edges<'a>,
    done: &mut BTreeSet<&'a str>,
) -> Option<Vec<(&'a str, Span)>> {
    if done.contains(start) {
        return None;
    }
    let mut route: Vec<(&'a str, usize)> = vec![(start, 0)];
    let mut on_route: BTreeSet<&'a str> = BTreeSet::from([start]);
    while let Some((name, next)) = route.last_mut() {
        let name = *name;
        let Some((target, _)) = edges.get(name).and_then(|list| list.get(*next)).copied() else {
            done.insert(name);
            on_route.remove(name);
            route.pop();
            continue;
        };
        *next += 1;
        if on_route.contains(target) {
            let from = route.iter().position(|(station, _)| *station == target)?;
            let stations = route.get(from..)?;
            let cycle = stations
                .iter()
                .filter_map(|(station, next)| {
                    let (_, span) = edges.get(station)?.get(next.checked_sub(1)?)?;
                    Some((*station, *span))
                })
                .collect();
            done.extend(on_route);
            return Some(cycle);
        }
        if !done.contains(target) && edges.contains_key(target) {
            on_route.insert(target);
            route.push((target, 0));
        }
    }
    None
}

fn sorted<'a, T>(items: impl Iterator<Item = &'a T>, key: impl Fn(&T) -> Span) -> Vec<&'a T> {
    let mut list: Vec<&'a T> = items.collect();
    list.sort_by_key(|item| key(item));
    list
}

/// Every name that a body declares, those in branches and loops included.
pub(super) fn names_of(body: &ast::Body) -> BTreeSet<&str> {
    declared_in(body).into_iter().map(|name| name.value.as_str()).collect()
}

/// The same names, each time and where they are declared.
fn declared_in(body: &ast::Body) -> Vec<&ast::Name> {
    let mut names = Vec::new();
    for statement in &body.statements {
        match statement {
            Statement::Declaration(declaration) => names.push(&declaration.name),
            Statement::Let(value) => names.push(&value.name),
            Statement::If(branch) => {
                names.extend(declared_in(&branch.then));
                names.extend(branch.otherwise.iter().flat_map(declared_in));
            }
            Statement::For(repeat) => {
                names.push(&repeat.name);
                names.extend(declared_in(&repeat.body));
            }
            _ => {}
        }
    }
    names
}

/// Calls `visit` with every expression of a body, and whether it is called.
pub(super) fn visit_body<'a>(body: &'a ast::Body, visit: &mut impl FnMut(&'a Expr, bool)) {
    for statement in &body.statements {
        match statement {
            Statement::Declaration(declaration) => match &declaration.kind {
                DeclarationKind::Parameter(ty) => {
                    for size in &ty.shape {
                        if let ast::Size::Expr(expr) = size {
                            visit_expr(expr, false, visit);
                        }
                    }
                }
                DeclarationKind::Placement(placement) => {
                    for argument in placement.settings.iter().chain(&placement.with).flatten() {
                        visit_expr(&argument.value, false, visit);
                    }
                    if let Some(repeat) = &placement.repeat {
                        visit_expr(repeat, false, visit);
                    }
                }
            },
            Statement::Let(value) | Statement::Set(value) => visit_expr(&value.value, false, visit),
            Statement::Return(value) => visit_expr(&value.value, false, visit),
            Statement::Require(require) => visit_expr(&require.condition, false, visit),
            Statement::If(branch) => {
                visit_expr(&branch.condition, false, visit);
                visit_body(&branch.then, visit);
                if let Some(otherwise) = &branch.otherwise {
                    visit_body(otherwise, visit);
                }
            }
            Statement::For(repeat) => {
                visit_expr(&repeat.from, false, visit);
                visit_expr(&repeat.to, false, visit);
                visit_body(&repeat.body, visit);
            }
            // An answer names outputs, which are no values of the body.
            Statement::Answer(_) => {}
        }
    }
}

fn visit_expr<'a>(expr: &'a Expr, called: bool, visit: &mut impl FnMut(&'a Expr, bool)) {
    visit(expr, called);
    match &expr.kind {
        ExprKind::Int(_) | ExprKind::Float(..) | ExprKind::Str(_) | ExprKind::Name(_) => {}
        ExprKind::List(items) => items.iter().for_each(|item| visit_expr(item, false, visit)),
        ExprKind::Record(fields) => fields.iter().for_each(|(_, value)| visit_expr(value, false, visit)),
        ExprKind::Group(inner) | ExprKind::Unary(_, inner) | ExprKind::Member(inner, _) => {
            visit_expr(inner, false, visit)
        }
        ExprKind::Call(callee, arguments) => {
            visit_expr(callee, true, visit);
            arguments.iter().for_each(|argument| visit_expr(&argument.value, false, visit));
        }
        ExprKind::Index(list, index) => {
            visit_expr(list, false, visit);
            visit_expr(index, false, visit);
        }
        ExprKind::Binary(left, _, right) => {
            visit_expr(left, false, visit);
            visit_expr(right, false, visit);
        }
        ExprKind::If(condition, then, otherwise) => {
            visit_expr(condition, false, visit);
            visit_expr(then, false, visit);
            visit_expr(otherwise, false, visit);
        }
    }
}

/// Calls `visit` with every name in an expression.
pub(super) fn visit_names(expr: &Expr, visit: &mut impl FnMut(&str)) {
    visit_expr(expr, false, &mut |expr, called| {
        if let (ExprKind::Name(name), false) = (&expr.kind, called) {
            visit(name);
        }
    });
}
