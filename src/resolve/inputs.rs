//! The inputs of a model: which tensors a call gives, and which of their types they have.

use super::{
    Given, GivenTensor, Resolver,
    environment::Environment,
    names::with_near_miss,
    types::{Pattern, PortType, Shape},
    value::Value,
};
use crate::{
    codes,
    diagnostic::Diagnostic,
    graph::{DimInfo, Input, NodeKind, ScopeId},
    names::{list_of, nearest},
    ops::{Full, Op},
    syntax::ast::{self, ExprKind},
    types::{Bindings, DType, Dim, Symbol, TensorType},
};
use std::collections::{BTreeMap, BTreeSet};

/// One tensor of the model's inputs: a field of a record in a list has its own.
pub(super) struct Leaf<'a> {
    name: String,
    input: &'a ast::Input,
    /// The input may be absent, or the record or field that it is in.
    optional: bool,
    /// The name of the optional field that it is in, without indices:
    /// `past_key_values.encoder`.
    field: Option<String>,
    /// The types it may have.
    patterns: Vec<Pattern>,
    /// The one it has in this call.
    chosen: Option<Pattern>,
}

impl Leaf<'_> {
    /// Its input is named, and, where it is in an optional field, that field, too.
    fn is_among(&self, names: &BTreeSet<String>) -> bool {
        let named = |field: &String| names.contains(field);
        names.contains(&self.input.name.value) && self.field.as_ref().is_none_or(named)
    }
}

/// `past_key_values.0.encoder` without the 0.
fn without_indices(name: &str) -> String {
    let parts = name.split('.').filter(|part| part.parse::<usize>().is_err());
    parts.collect::<Vec<_>>().join(".")
}

/// Tensors that a model takes, at most. A decoder of 24 layers with
/// cross-attention and a cache takes about a hundred.
const MOST_INPUTS: usize = 10_000;
/// Records one inside another in an input, at most.
const DEEPEST_RECORD: usize = 16;

/// The tensors that a call gives, by their full names.
pub(super) struct Chosen(BTreeMap<String, Pattern>);

impl Chosen {
    pub fn new(leaves: Vec<Leaf<'_>>) -> Chosen {
        Chosen(leaves.into_iter().filter_map(|leaf| Some((leaf.name, leaf.chosen?))).collect())
    }

    /// Whether an input, or a part of one, is given, at least in part.
    fn has(&self, name: &str) -> bool {
        let inside = format!("{name}.");
        self.0.contains_key(name)
            || self.0.range(inside.clone()..).next().is_some_and(|(name, _)| name.starts_with(&inside))
    }
}

impl<'a> Resolver<'a> {
    /// Every tensor that a call may give, by its full name.
    pub(super) fn leaves(&mut self, model: &'a ast::Model, env: &Environment<'a>) -> Vec<Leaf<'a>> {
        let mut leaves = Vec::new();
        for input in &model.inputs {
            let ty = self.port_type(&input.ty, env);
            let top = Leaf {
                name: input.name.value.clone(),
                input,
                optional: ty.optional,
                field: None,
                patterns: Vec::new(),
                chosen: None,
            };
            if !self.add_leaves(&ty, top, 0, env, &mut leaves) {
                break;
            }
        }
        leaves
    }

    /// Adds the tensors of a type; false once they are too many, reported. `at`
    /// is what is known of them so far.
    fn add_leaves(
        &mut self,
        ty: &PortType<'a>,
        at: Leaf<'a>,
        depth: usize,
        env: &Environment<'a>,
        leaves: &mut Vec<Leaf<'a>>,
    ) -> bool {
        if !self.spend(1 + at.name.len() / 8, at.input.name.span) {
            return false;
        }
        if leaves.len() >= MOST_INPUTS || depth > DEEPEST_RECORD {
            let message = format!(
                "a model takes at most {MOST_INPUTS} tensors, in records at most {DEEPEST_RECORD} deep"
            );
            self.report(
                Diagnostic::error(codes::MODEL_TOO_LARGE, at.input.name.span, message)
                    .mark("more than that")
                    .help("check the number of layers"),
            );
            return false;
        }
        let inside = |name: String, optional: bool| Leaf {
            optional: at.optional || optional,
            field: at.field.clone().or_else(|| optional.then(|| without_indices(&name))),
            name,
            patterns: Vec::new(),
            chosen: None,
            input: at.input,
        };
        if let Some(count) = ty.count {
            let one = PortType { count: None, ..ty.clone() };
            return (0..count).all(|index| {
                let element = inside(format!("{}.{index}", at.name), false);
                self.add_leaves(&one, element, depth, env, leaves)
            });
        }
        match &ty.shape {
            Shape::Tensor(patterns) => leaves.push(Leaf { patterns: patterns.clone(), ..at }),
            Shape::Record(record) => {
                for field in &record.fields {
                    let ty = self.port_type(&field.ty, env);
                    let field = inside(format!("{}.{}", at.name, field.name.value), ty.optional);
                    if !self.add_leaves(&ty, field, depth + 1, env, leaves) {
                        return false;
                    }
                }
            }
            Shape::Setting(kind) => {
                self.report(
                    Diagnostic::error(
                        codes::WRONG_KIND,
                        at.input.ty.span,
                        format!("an input is a tensor, not {kind}"),
                    )
                    .mark("not a tensor type")
                    .help("a size or choice comes from the config: declare it with `config`"),
                );
            }
            Shape::Unknown => {}
        }
        true
    }

    /// Decides which tensors are given and which of their types they have.
    pub(super) fn choose(&mut self, leaves: &mut [Leaf<'a>], model: &'a ast::Model) {
        let options = self.options;
        match &options.inputs {
            Given::Default => {
                for leaf in leaves.iter_mut().filter(|leaf| !leaf.optional) {
                    leaf.chosen = leaf.patterns.first().cloned();
                }
            }
            Given::With(names) => {
                for leaf in leaves.iter_mut() {
                    let input = leaf.input;
                    let replaced = input.unless.as_ref().is_some_and(|other| names.contains(&other.value));
                    if leaf.is_among(names) || (!leaf.optional && !replaced) {
                        leaf.chosen = leaf.patterns.first().cloned();
                    }
                }
            }
            Given::Only(names) => {
                let inputs = leaves.iter().map(|leaf| leaf.input.name.value.as_str());
                let fields = leaves.iter().filter_map(|leaf| leaf.field.as_deref());
                let known: BTreeSet<&str> = inputs.chain(fields).collect();
                for name in names.iter().filter(|name| !known.contains(name.as_str())) {
                    self.report_unknown(name, known.iter().copied(), model);
                }
                for leaf in leaves.iter_mut().filter(|leaf| leaf.is_among(names)) {
                    leaf.chosen = leaf.patterns.first().cloned();
                }
            }
            Given::Varied(name, alternative) => {
                for leaf in leaves.iter_mut() {
                    let input = leaf.input;
                    let varied = input.name.value == *name;
                    let replaced = input.unless.as_ref().is_some_and(|other| other.value == *name);
                    if varied || (!leaf.optional && !replaced) {
                        leaf.chosen = leaf.patterns.get(if varied { *alternative } else { 0 }).cloned();
                    }
                    // One past the last stands for the default.
                    let last = leaf.patterns.len().saturating_sub(usize::from(input.default.is_none()));
                    if varied && *alternative > last {
                        let message = format!("`{name}` has no type of number {alternative}");
                        self.report(Diagnostic::error(codes::INPUT, input.ty.span, message));
                        return;
                    }
                }
            }
            Given::Exactly(given) => {
                let known: BTreeSet<&str> = leaves.iter().map(|leaf| leaf.name.as_str()).collect();
                for name in given.keys().filter(|name| !known.contains(name.as_str())) {
                    self.report_unknown(name, known.iter().copied(), model);
                }
                let mut bindings = Bindings::new();
                // Those with one candidate bind the sizes that tell the others apart.
                for round in 0..2 {
                    for leaf in leaves.iter_mut().filter(|leaf| leaf.chosen.is_none()) {
                        let Some(tensor) = given.get(&leaf.name) else { continue };
                        let fitting = candidates(&leaf.patterns, tensor, &bindings);
                        if round == 1 || fitting.len() == 1 {
                            leaf.chosen = fitting.first().map(|pattern| (*pattern).clone());
                        }
                        if let Some(pattern) = &leaf.chosen {
                            bind(pattern, tensor, &mut bindings);
                        }
                    }
                }
                self.report_unfit(leaves, given, &bindings);
            }
        }
        self.report_missing(leaves, model);
    }

    /// Reports an input that the model does not have.
    fn report_unknown<'n>(
        &mut self,
        name: &str,
        known: impl Iterator<Item = &'n str>,
        model: &'a ast::Model,
    ) {
        let near = nearest(name, known);
        let inputs = model.inputs.iter().map(|input| input.name.value.as_str());
        let help = near.map_or_else(
            || format!("its inputs are {}", list_of(inputs)),
            |near| format!("did you mean `{near}`?"),
        );
        let message = format!("`{}` has no input `{name}`", model.name.value);
        let unknown = Diagnostic::error(codes::INPUT, model.name.span, message);
        self.report(unknown.mark("this model").help(help));
    }

    /// Reports given tensors that fit none of their types; `bindings` are the sizes
    /// that the others have told.
    fn report_unfit(
        &mut self,
        leaves: &[Leaf<'a>],
        given: &BTreeMap<String, GivenTensor>,
        bindings: &Bindings,
    ) {
        for leaf in leaves.iter().filter(|leaf| leaf.chosen.is_none()) {
            let Some(tensor) = given.get(&leaf.name) else { continue };
            let types = leaf.patterns.iter().map(|pattern| self.sources.slice(pattern.written));
            let wanted = list_of(types.collect::<BTreeSet<_>>());
            let mut unfit = Diagnostic::error(
                codes::INPUT,
                leaf.input.ty.span,
                format!("`{}` is given as {tensor}, which does not fit {wanted}", leaf.name),
            )
            .mark("its type");
            let types = in_call(&leaf.patterns, bindings);
            if !wanted.contains(&types) {
                unfit = unfit.note(format!("in this call that is {types}"));
            }
            let other = |pattern: &Pattern| !converts(tensor.dtype, pattern.dtype);
            if leaf.patterns.iter().all(other)
                && let Some(pattern) = leaf.patterns.first()
            {
                unfit = unfit.help(format!("store it as {}", pattern.dtype));
            }
            self.report(unfit);
        }
    }

    fn report_missing(&mut self, leaves: &[Leaf<'a>], model: &'a ast::Model) {
        let offered = match &self.options.inputs {
            Given::Exactly(given) => Some(given),
            Given::Default | Given::With(_) | Given::Only(_) | Given::Varied(..) => None,
        };
        // What is given and fits nothing has been reported.
        let is_given = |leaf: &Leaf<'a>| {
            leaf.chosen.is_some() || offered.is_some_and(|given| given.contains_key(&leaf.name))
        };
        let chosen = leaves.iter().filter(|leaf| is_given(leaf));
        let given: BTreeSet<&str> = chosen.map(|leaf| leaf.input.name.value.as_str()).collect();
        let given = |name: &str| given.contains(name);
        let mut absent: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for leaf in leaves.iter().filter(|leaf| !is_given(leaf) && !leaf.optional) {
            absent.entry(&leaf.input.name.value).or_default().push(&leaf.name);
        }
        let inputs: BTreeSet<&str> = model.inputs.iter().map(|input| input.name.value.as_str()).collect();
        for input in &model.inputs {
            let name = &input.name.value;
            if let Some(other) = &input.unless {
                if !inputs.contains(other.value.as_str()) {
                    let unknown = Diagnostic::error(
                        codes::UNKNOWN_NAME,
                        other.span,
                        format!("there is no input `{}`", other.value),
                    )
                    .mark("not an input")
                    .note(format!("the inputs are {}", list_of(inputs.iter().copied())));
                    self.report(with_near_miss(unknown, other, inputs.iter().copied()));
                } else if given(name) && given(&other.value) {
                    self.report(
                        Diagnostic::error(
                            codes::INPUT,
                            input.name.span,
                            format!("`{name}` and `{}` are both given", other.value),
                        )
                        .mark(format!("only where `{}` is absent", other.value))
                        .help("give one of them"),
                    );
                } else if !given(name) && !given(&other.value) {
                    self.report(
                        Diagnostic::error(
                            codes::INPUT,
                            input.name.span,
                            format!("neither `{name}` nor `{}` is given", other.value),
                        )
                        .mark("one of them is required"),
                    );
                }
                continue;
            }
            let required = !input.ty.optional && input.default.is_none();
            if let Some(absent) = absent.get(name.as_str()).filter(|_| required) {
                self.report(
                    Diagnostic::error(
                        codes::INPUT,
                        input.name.span,
                        format!("the input {} is not given", list_of(absent.iter().copied().take(4))),
                    )
                    .mark("required here"),
                );
            }
        }
    }

    /// Gives dims that no given input has their size from `else`.
    pub(super) fn bind_dims(&mut self, leaves: &[Leaf<'a>]) {
        let bound: BTreeSet<Symbol> = leaves
            .iter()
            .filter_map(|leaf| leaf.chosen.as_ref())
            .flat_map(|pattern| pattern.sizes.iter().filter_map(|dim| dim.as_symbol().cloned()))
            .collect();
        let dims: Vec<&'a ast::DimBinding> = self.globals.dims.clone();
        for binding in dims {
            let symbol: Symbol = binding.name.value.as_str().into();
            let mut product = None;
            match &binding.rule {
                ast::DimRule::Bound => {}
                ast::DimRule::Else(size) if !bound.contains(&symbol) => {
                    let mut env = Environment::new(ScopeId(0), "");
                    let value = self.expr(size, &mut env);
                    match value.as_dim() {
                        Some(dim) => {
                            self.model_dims.insert(symbol.clone(), dim);
                        }
                        None if value.is_poison() => {}
                        None => self.report(
                            Diagnostic::error(
                                codes::WRONG_KIND,
                                size.span,
                                format!("the size of a dim is a whole number, not {}", value.kind()),
                            )
                            .mark(format!("this is {}", value.kind())),
                        ),
                    }
                    continue;
                }
                ast::DimRule::Else(_) => {}
                ast::DimRule::Equals(expr) => match self.factors(expr) {
                    Some(factors) => product = Some(factors),
                    None => continue,
                },
            }
            self.graph.dims.push(DimInfo { symbol, product, span: binding.name.span });
        }
    }

    /// The factors of `dim rows = batch * choices`.
    fn factors(&mut self, expr: &'a ast::Expr) -> Option<Vec<Dim>> {
        match &expr.kind {
            ExprKind::Binary(left, mark, right) if mark.value == ast::BinaryOperator::Multiply => {
                let mut factors = self.factors(left)?;
                factors.extend(self.factors(right)?);
                Some(factors)
            }
            ExprKind::Group(inner) => self.factors(inner),
            _ => {
                let mut env = Environment::new(ScopeId(0), "");
                let value = self.expr(expr, &mut env);
                if value.as_dim().is_none() && !value.is_poison() {
                    self.report(
                        Diagnostic::error(
                            codes::WRONG_KIND,
                            expr.span,
                            format!("a factor is a dim or a whole number, not {}", value.kind()),
                        )
                        .mark(format!("this is {}", value.kind())),
                    );
                }
                value.as_dim().map(|dim| vec![dim])
            }
        }
    }

    /// The value of an input in the body.
    pub(super) fn input(
        &mut self,
        input: &'a ast::Input,
        chosen: &Chosen,
        env: &Environment<'a>,
    ) -> Value<'a> {
        let name = &input.name.value;
        let ty = self.port_type(&input.ty, env);
        if !chosen.has(name) {
            let Some(default) = &input.default else { return Value::None };
            return self.default(input, default, &ty.shape, env);
        }
        self.given(&PortType { optional: false, ..ty }, name, input, chosen, env)
    }

    /// The value of an input, or of the part of one that has this name.
    fn given(
        &mut self,
        ty: &PortType<'a>,
        name: &str,
        input: &'a ast::Input,
        chosen: &Chosen,
        env: &Environment<'a>,
    ) -> Value<'a> {
        if let Some(count) = ty.count {
            let one = PortType { count: None, ..ty.clone() };
            let items =
                (0..count).map(|index| self.given(&one, &format!("{name}.{index}"), input, chosen, env));
            let items = items.collect();
            return self.bounded(Value::list(items), input.name.span);
        }
        if let Shape::Record(record) = &ty.shape {
            if ty.optional && !chosen.has(name) {
                return Value::None;
            }
            let mut fields = Vec::new();
            for field in &record.fields {
                let ty = self.port_type(&field.ty, env);
                let value = self.given(&ty, &format!("{name}.{}", field.name.value), input, chosen, env);
                fields.push((field.name.value.clone(), value));
            }
            return self.bounded(Value::record(fields), input.name.span);
        }
        let Some(pattern) = chosen.0.get(name) else {
            let reported = |problem: &Diagnostic| problem.span == Some(input.name.span);
            if !ty.optional && !self.problems.iter().any(reported) {
                self.report(
                    Diagnostic::error(
                        codes::INPUT,
                        input.name.span,
                        format!(
                            "the input `{name}` is not given, though others of `{}` are",
                            input.name.value
                        ),
                    )
                    .mark("all of it or nothing"),
                );
            }
            return Value::None;
        };
        let sizes: Option<Vec<Dim>> =
            pattern.sizes.iter().map(|dim| dim.substitute(|symbol| Some(self.model_dim(symbol)))).collect();
        let Some(sizes) = sizes else { return Value::Poison };
        let ty = TensorType::new(pattern.dtype, sizes);
        let node =
            self.push_named(NodeKind::Input, Vec::new(), ty, name.to_owned(), ScopeId(0), input.name.span);
        self.graph.inputs.push(Input { name: name.to_owned(), node });
        Value::Tensor(node)
    }

    /// `= ones`, `= zeros`, or any expression.
    fn default(
        &mut self,
        input: &'a ast::Input,
        default: &'a ast::Expr,
        shape: &Shape<'a>,
        env: &Environment<'a>,
    ) -> Value<'a> {
        let fill = match &default.kind {
            ExprKind::Name(name) if name == "ones" => Some(1.0),
            ExprKind::Name(name) if name == "zeros" => Some(0.0),
            _ => None,
        };
        let mut inner = Environment::new(ScopeId(0), &env.written_in);
        inner.hint = Some(input.name.value.clone());
        let (Some(fill), Shape::Tensor(patterns)) = (fill, shape) else {
            return self.expr(default, &mut inner);
        };
        let Some(pattern) = patterns.first() else { return Value::Poison };
        let sizes: Option<Vec<Dim>> =
            pattern.sizes.iter().map(|dim| dim.substitute(|symbol| Some(self.model_dim(symbol)))).collect();
        let Some(sizes) = sizes else { return Value::Poison };
        let op = Full { shape: sizes.clone(), value: fill, dtype: pattern.dtype };
        let ty = TensorType::new(pattern.dtype, sizes);
        Value::Tensor(self.push_op(&inner, Op::Full(op), Vec::new(), ty, default.span))
    }
}

/// The types of a list that a given tensor can have, the best first.
fn candidates<'p>(patterns: &'p [Pattern], tensor: &GivenTensor, bindings: &Bindings) -> Vec<&'p Pattern> {
    let fits = |pattern: &&Pattern, exact: bool| {
        let dtype = if exact { pattern.dtype == tensor.dtype } else { converts(tensor.dtype, pattern.dtype) };
        dtype
            && pattern.sizes.len() == tensor.shape.len()
            && pattern.sizes.iter().zip(&tensor.shape).all(|(dim, size)| {
                dim.evaluate(bindings).is_none_or(|expected| usize::try_from(expected) == Ok(*size))
            })
    };
    let exact: Vec<&Pattern> = patterns.iter().filter(|pattern| fits(pattern, true)).collect();
    if !exact.is_empty() {
        return exact;
    }
    patterns.iter().filter(|pattern| fits(pattern, false)).collect()
}

/// The types with their sizes in this call, as far as those are known.
fn in_call(patterns: &[Pattern], bindings: &Bindings) -> String {
    let known = |dim: &Dim| dim.substitute(|symbol| bindings.get(symbol).copied().map(Dim::known));
    let types = patterns.iter().map(|pattern| {
        let sizes = pattern.sizes.iter().map(|dim| known(dim).unwrap_or_else(|| dim.clone()));
        TensorType::new(pattern.dtype, sizes.collect::<Vec<_>>()).to_string()
    });
    let types: Vec<String> = types.collect();
    types.join(" or ")
}

/// Whether a tensor can be given where another dtype is declared: nothing that
/// the numbers say may be lost.
fn converts(from: DType, to: DType) -> bool {
    use DType as D;
    match to {
        D::I64 => matches!(from, D::I64 | D::I32 | D::U8 | D::Bool),
        D::F32 => true,
        _ => from == to,
    }
}

fn bind(pattern: &Pattern, tensor: &GivenTensor, bindings: &mut Bindings) {
    for (dim, size) in pattern.sizes.iter().zip(&tensor.shape) {
        if let (Some(symbol), Ok(size)) = (dim.as_symbol(), i64::try_from(*size)) {
            bindings.entry(symbol.clone()).or_insert(size);
        }
    }
}
