//! Types as written against types as they are: which alternative, and what the
//! dims of a signature are in one call.

use super::{Resolver, environment::Environment, lint, names::with_near_miss, value::Value};
use crate::{
    codes,
    diagnostic::Diagnostic,
    source::Sources,
    span::Span,
    syntax::ast::{self, Size, TypeAlternative},
    types::{DType, Dim, Symbol, TensorType},
};
use std::collections::BTreeMap;

/// A tensor type of a signature, its sizes over the signature's own dims.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pub dtype: DType,
    /// The shape begins with `...`.
    pub leading: bool,
    /// The sizes after `...`, or all of them.
    pub sizes: Vec<Dim>,
    /// Where the same sizes are written.
    pub names: Vec<Span>,
    /// Where the whole type is written.
    pub written: Span,
}

/// A type of a signature.
#[derive(Clone, Debug)]
pub(super) enum Shape<'a> {
    /// One of these.
    Tensor(Vec<Pattern>),
    Record(&'a ast::Record),
    /// `int`, `float`, `bool`, `str`.
    Setting(&'static str),
    /// Already reported.
    Unknown,
}

/// A type of a signature with its count and whether it may be absent.
#[derive(Clone, Debug)]
pub(super) struct PortType<'a> {
    pub shape: Shape<'a>,
    pub count: Option<i64>,
    pub optional: bool,
}

/// What a call has found out about the dims of a signature.
#[derive(Clone, Debug, Default)]
pub(super) struct Solution {
    pub dims: BTreeMap<Symbol, Dim>,
    leading: Option<Vec<Dim>>,
    /// Sizes with several unknowns, to be tried again: pattern, where written, actual.
    open: Vec<(Dim, Span, Dim)>,
}

/// Types that stand for one another, at most.
const DEEPEST_ALIAS: usize = 64;

/// Names of settings that are no tensors.
pub(super) const SETTING_TYPES: [&str; 4] = ["int", "float", "bool", "str"];

impl<'a> Resolver<'a> {
    /// What a written type means, its dims left as patterns.
    pub(super) fn port_type(&mut self, ty: &'a ast::TypeExpr, env: &Environment<'a>) -> PortType<'a> {
        let count = ty.repeat.as_ref().and_then(|repeat| self.count(repeat, env));
        let mut patterns = Vec::new();
        let mut shape = None;
        for alternative in &ty.alternatives {
            match self.alternative(alternative, ty.span, env, 0) {
                Shape::Tensor(list) => patterns.extend(list),
                Shape::Unknown => return PortType { shape: Shape::Unknown, count, optional: ty.optional },
                other => shape = Some(other),
            }
        }
        let shape = match shape {
            Some(shape) if patterns.is_empty() => shape,
            None => Shape::Tensor(patterns),
            Some(_) => {
                self.report(
                    Diagnostic::error(
                        codes::WRONG_KIND,
                        ty.span,
                        "only tensor types can be alternatives of each other",
                    )
                    .mark("mixes tensors with something else"),
                );
                Shape::Unknown
            }
        };
        PortType { shape, count, optional: ty.optional }
    }

    fn alternative(
        &mut self,
        ty: &'a TypeAlternative,
        span: Span,
        env: &Environment<'a>,
        depth: usize,
    ) -> Shape<'a> {
        if !self.spend(1, span) {
            return Shape::Unknown;
        }
        let name = match ty {
            TypeAlternative::Tensor(tensor) => {
                return self
                    .pattern(tensor, env)
                    .map_or(Shape::Unknown, |pattern| Shape::Tensor(vec![pattern]));
            }
            TypeAlternative::Named(name) => name,
        };
        if let Some(setting) = SETTING_TYPES.iter().find(|setting| **setting == name.value) {
            return Shape::Setting(setting);
        }
        if let Some(record) = self.globals.records.get(name.value.as_str()) {
            return Shape::Record(record);
        }
        let Some(alias) = self.globals.types.get(name.value.as_str()).copied() else {
            let unknown = Diagnostic::error(
                codes::UNKNOWN_NAME,
                name.span,
                format!("there is no type `{}`", name.value),
            )
            .mark("not declared by `type` or `record`");
            let names: Vec<&str> = self.globals.type_names().chain(SETTING_TYPES).collect();
            self.report(with_near_miss(unknown, name, names));
            return Shape::Unknown;
        };
        if depth > DEEPEST_ALIAS {
            let message = format!("type names stand for one another more than {DEEPEST_ALIAS} deep");
            self.report(
                Diagnostic::error(codes::MODEL_TOO_LARGE, alias.name.span, message).mark("one too many"),
            );
            return Shape::Unknown;
        }
        let mut patterns = Vec::new();
        for alternative in &alias.ty.alternatives {
            match self.alternative(alternative, alias.ty.span, env, depth + 1) {
                Shape::Tensor(list) if self.spend(list.len(), name.span) => patterns.extend(list),
                Shape::Tensor(_) => return Shape::Unknown,
                other => return other,
            }
        }
        Shape::Tensor(patterns)
    }

    /// A tensor type as a pattern; `None` where it has an error.
    pub(super) fn pattern(&mut self, ty: &'a ast::TensorTypeExpr, env: &Environment<'a>) -> Option<Pattern> {
        let dtype = DType::from_name(&ty.dtype.value)?;
        if !self.has_few_axes(ty.shape.len(), ty.span) {
            return None;
        }
        let mut sizes = Vec::new();
        let mut leading = false;
        for (index, size) in ty.shape.iter().enumerate() {
            match size {
                Size::Ellipsis(_) if index == 0 => leading = true,
                Size::Ellipsis(span) => {
                    self.report(
                        Diagnostic::error(
                            codes::WRONG_KIND,
                            *span,
                            "`...` stands for leading sizes: it comes first",
                        )
                        .mark("not the first size"),
                    );
                    return None;
                }
                Size::Expr(expr) => sizes.push(self.size(expr, env)?),
            }
        }
        let names = ty.shape.iter().filter_map(|size| match size {
            Size::Expr(expr) => Some(expr.span),
            Size::Ellipsis(_) => None,
        });
        Some(Pattern { dtype, leading, sizes, names: names.collect(), written: ty.span })
    }

    /// A size of a signature: dims are symbols, settings and config fields numbers.
    fn size(&mut self, expr: &'a ast::Expr, env: &Environment<'a>) -> Option<Dim> {
        let mut signature = Environment::new(env.scope, &env.written_in);
        lint::visit_names(expr, &mut |name| {
            if let Some(value) = env.values.get(name).filter(|value| value.as_dim().is_some()) {
                signature.values.insert(name.to_owned(), value.clone());
            } else if self.globals.dim(name).is_some() {
                let symbol: Symbol = name.into();
                signature.dims.insert(symbol.clone(), Dim::symbol(symbol));
            }
        });
        let value = self.expr(expr, &mut signature);
        if value.is_poison() {
            return None;
        }
        let Some(dim) = value.as_dim() else {
            self.report(
                Diagnostic::error(
                    codes::WRONG_KIND,
                    expr.span,
                    format!("a size is a whole number or a dim, not {}", value.kind()),
                )
                .mark(format!("this is {}", value.kind())),
            );
            return None;
        };
        if dim.as_known().is_some_and(|size| !(0..=MOST_ELEMENTS).contains(&size)) {
            self.report(
                Diagnostic::error(
                    codes::DIM_ARITHMETIC,
                    expr.span,
                    format!("a size is between 0 and {MOST_ELEMENTS}, not {dim}"),
                )
                .mark(format!("this is {dim}")),
            );
            return None;
        }
        Some(dim)
    }

    /// Whether a tensor type fits a pattern; learns the signature's dims on the
    /// way. `Err` says how it does not, as a phrase about the tensor.
    pub(super) fn fit(
        &self,
        pattern: &Pattern,
        actual: &TensorType,
        solution: &mut Solution,
    ) -> Result<(), String> {
        if pattern.dtype != actual.dtype {
            return Err(format!("holds {}, not {}", actual.dtype, pattern.dtype));
        }
        let extra = actual.rank().checked_sub(pattern.sizes.len());
        let Some(extra) = extra.filter(|extra| pattern.leading || *extra == 0) else {
            let (has, wants) = (actual.rank(), pattern.sizes.len());
            let axes = if has == 1 { "axis" } else { "axes" };
            let least = if pattern.leading { "at least " } else { "" };
            return Err(format!("has {has} {axes}, not {least}{wants}"));
        };
        let (leading, sizes) = actual.shape.split_at(extra);
        if pattern.leading && !pattern.sizes.is_empty() {
            match &solution.leading {
                Some(known) if known != leading => {
                    return Err(format!(
                        "has leading sizes {}, not {}",
                        crate::types::Shape(leading),
                        crate::types::Shape(known)
                    ));
                }
                _ => solution.leading = Some(leading.to_vec()),
            }
        }
        let last = actual.rank().saturating_sub(1);
        for (axis, ((size, name), actual)) in pattern.sizes.iter().zip(&pattern.names).zip(sizes).enumerate()
        {
            solution.size(size, *name, actual).map_err(|expected| {
                let place = if axis + extra == last {
                    "last axis".to_owned()
                } else {
                    format!("axis {}", axis + extra)
                };
                format!("{place} is {actual}, not {}", named(self.sources.slice(*name), &expected))
            })?;
        }
        Ok(())
    }

    /// Takes what is still open to be the model's own dims. `Err` as for `fit`.
    pub(super) fn close(&self, solution: &mut Solution) -> Result<(), String> {
        for (pattern, name, actual) in std::mem::take(&mut solution.open) {
            let expected = pattern
                .substitute(|symbol| {
                    Some(solution.dims.get(symbol).cloned().unwrap_or_else(|| self.model_dim(symbol)))
                })
                .ok_or_else(|| format!("has {actual}, but `{pattern}` is no whole number"))?;
            if expected != actual {
                return Err(format!("has {actual}, not {}", named(self.sources.slice(name), &expected)));
            }
        }
        Ok(())
    }

    /// What a dim is in the model: itself, or its size where no given input has it.
    pub(super) fn model_dim(&self, symbol: &Symbol) -> Dim {
        self.model_dims.get(symbol).cloned().unwrap_or_else(|| Dim::symbol(symbol.clone()))
    }
}

/// Elements of one axis, at most: what an index of 40 bits reaches.
pub(super) const MOST_ELEMENTS: i64 = 1 << 40;

impl Solution {
    /// One size of a pattern against one of a tensor. `Err`: what was expected.
    fn size(&mut self, pattern: &Dim, name: Span, actual: &Dim) -> Result<(), Dim> {
        let unknown: Vec<&Symbol> =
            pattern.symbols().filter(|symbol| !self.dims.contains_key(*symbol)).collect();
        match unknown.as_slice() {
            [] => match pattern.substitute(|symbol| self.dims.get(symbol).cloned()) {
                Some(expected) if expected == *actual => Ok(()),
                Some(expected) => Err(expected),
                None => Err(pattern.clone()),
            },
            [symbol] => {
                // The actual size has symbols of its own, perhaps of the same name.
                let marked: Symbol = format!("{symbol}'").into();
                let solved = pattern
                    .substitute(|s| {
                        if s == *symbol {
                            Some(Dim::symbol(marked.clone()))
                        } else {
                            self.dims.get(s).cloned()
                        }
                    })
                    .and_then(|dim| dim.solve(&marked, actual))
                    .filter(|size| size.as_known().is_none_or(|size| size >= 0));
                let symbol = (*symbol).clone();
                self.dims.insert(symbol, solved.ok_or_else(|| pattern.clone())?);
                Ok(())
            }
            _ => {
                self.open.push((pattern.clone(), name, actual.clone()));
                Ok(())
            }
        }
    }

    /// Tries the sizes with several unknowns again. `Err` as a phrase about the tensor.
    pub fn retry(&mut self, sources: &Sources) -> Result<(), String> {
        for (pattern, name, actual) in std::mem::take(&mut self.open) {
            self.size(&pattern, name, &actual)
                .map_err(|expected| format!("has {actual}, not {}", named(sources.slice(name), &expected)))?;
        }
        Ok(())
    }

    /// Whether sizes are still open.
    pub fn is_open(&self) -> bool {
        !self.open.is_empty()
    }
}

/// A size by the name it has in the signature, and what that is in this call.
fn named(name: &str, value: &Dim) -> String {
    let value = value.to_string();
    if name == value { value } else { format!("{name} = {value}") }
}

/// The value as a count of repetitions.
pub(super) fn as_count(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Int(count) if (0..=1_000_000).contains(count) => Some(*count),
        _ => None,
    }
}
