//! Symbolic sizes as values that are computed when the model runs.

use super::{Form, Mismatch, NodeAttribute, Value};
use crate::types::{Dim, Symbol};
use std::collections::BTreeMap;

/// Where a model finds the sizes that are known only when it runs.
#[derive(Clone, Debug, Default)]
pub struct Sizes {
    sources: BTreeMap<Symbol, Source>,
    /// Those that are computed already.
    made: BTreeMap<Dim, Value>,
}

/// Where the size of a symbol comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// The size of this axis of an input.
    Axis(String, i64),
    /// The product of these.
    Product(Vec<Dim>),
}

impl Sizes {
    /// Sizes from these sources, none computed yet.
    pub fn new(sources: BTreeMap<Symbol, Source>) -> Sizes {
        Sizes { sources, made: BTreeMap::new() }
    }
}

/// The size as `i64[1]`, computed once in a model.
pub(super) fn symbolic(form: &mut Form<'_>, dim: &Dim) -> Result<Value, Mismatch> {
    if let Some(made) = form.sizes.made.get(dim) {
        return Ok(made.clone());
    }
    let made = match dim.as_symbol() {
        Some(symbol) => source(form, symbol)?,
        None => sum(form, dim)?,
    };
    form.sizes.made.insert(dim.clone(), made.clone());
    Ok(made)
}

/// The size that is nothing but a symbol.
fn source(form: &mut Form<'_>, symbol: &Symbol) -> Result<Value, Mismatch> {
    match form.sizes.sources.get(symbol).cloned() {
        None => Err(Mismatch::new(format!("the size `{symbol}` is that of no input"))),
        Some(Source::Axis(input, axis)) => {
            let input = Value(input);
            if form.dialect.opset >= 15 {
                let ends = [("start", axis), ("end", axis + 1)];
                let attributes = ends.map(|(name, at)| (name, NodeAttribute::Integer(at)));
                return Ok(form.labelled("Shape", &[&input], attributes, symbol));
            }
            let shape = form.plain("Shape", &[&input]);
            let axis = form.integers("axis", &[axis])?;
            Ok(form.labelled("Gather", &[&shape, &axis], [], symbol))
        }
        Some(Source::Product(factors)) => {
            let mut product = form.integers("one", &[1])?;
            for factor in &factors {
                let factor = form.size(factor)?;
                product = form.labelled("Mul", &[&product, &factor], [], symbol);
            }
            Ok(product)
        }
    }
}

/// `(c + Σ kᵢ·sᵢ) / d`, term by term.
fn sum(form: &mut Form<'_>, dim: &Dim) -> Result<Value, Mismatch> {
    let (terms, constant, divisor) = dim.parts();
    let mut sum: Option<Value> = None;
    for (symbol, factor) in terms {
        let mut term = symbolic(form, &Dim::symbol(symbol.clone()))?;
        if *factor != 1 {
            let factor = form.integers("factor", &[*factor])?;
            term = form.plain("Mul", &[&term, &factor]);
        }
        sum = Some(match sum {
            Some(sum) => form.plain("Add", &[&sum, &term]),
            None => term,
        });
    }
    let mut sum = match sum {
        Some(sum) if constant == 0 => sum,
        Some(sum) => {
            let constant = form.integers("constant", &[constant])?;
            form.plain("Add", &[&sum, &constant])
        }
        None => form.integers("constant", &[constant])?,
    };
    if divisor != 1 {
        let divisor = form.integers("divisor", &[divisor])?;
        sum = form.plain("Div", &[&sum, &divisor]);
    }
    Ok(sum)
}
