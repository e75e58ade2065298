//! Tree to typed graph: names, sizes, state-dict paths, quantizer rules.
//!
//! A spec is evaluated for one config and one way of calling the model: what
//! that decides (which layers, which branches, which inputs) is computed here,
//! and only tensors are left in the graph. Every problem found is reported; a
//! value with a problem is poison, and what uses it says nothing more.

mod arithmetic;
mod body;
mod build;
mod call;
mod environment;
mod expr;
mod fit;
mod inputs;
mod lint;
mod model;
mod names;
mod operator;
mod place;
mod ports;
mod require;
mod rules;
mod settings;
mod types;
mod value;

use crate::{
    codes,
    config::Config,
    diagnostic::{Diagnostic, Diagnostics},
    graph::{Graph, NodeId},
    source::Sources,
    span::Span,
    stack,
    syntax::ast,
    types::{DType, Dim, Symbol},
};
use names::Globals;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    rc::Rc,
};
use value::{Instance, Value};

/// For which config, and for which way of calling the model.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Fields of `config.json`; those absent have the spec's defaults.
    pub config: Config,
    /// What the caller gives.
    pub inputs: Given,
    /// Outputs `on request` that the caller wants.
    pub outputs: BTreeSet<String>,
}

/// Which inputs a call gives.
#[derive(Clone, Debug, Default)]
pub enum Given {
    /// Those that are not optional, each with the first of its types.
    #[default]
    Default,
    /// The same with these inputs besides, by name; an optional field of a record is
    /// given where it is named, too: `past_key_values.encoder`.
    With(BTreeSet<String>),
    /// These inputs and no others, by name, each with the first of its types.
    Only(BTreeSet<String>),
    /// The usual ones, with one input more or of another type: its name, and which of
    /// its types, from 0.
    Varied(String, usize),
    /// These tensors.
    Exactly(BTreeMap<String, GivenTensor>),
}

/// What is known of a tensor that a caller gives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GivenTensor {
    /// Element type.
    pub dtype: DType,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
}

impl fmt::Display for GivenTensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.dtype, self.shape)
    }
}

struct Resolver<'a> {
    sources: &'a Sources,
    options: &'a Options,
    globals: Globals<'a>,
    problems: Diagnostics,
    graph: Graph,
    /// Configuration fields and constants by name.
    settled: HashMap<&'a str, Value<'a>>,
    /// Fields and constants being computed.
    settling: Vec<&'a ast::Name>,
    /// Dims that have their size from `else`.
    model_dims: BTreeMap<Symbol, Dim>,
    node_names: HashMap<String, usize>,
    parameters: HashMap<String, NodeId>,
    /// By state-dict path and where the module is declared.
    instances: HashMap<(String, Span), Rc<Instance<'a>>>,
    /// Calls of submodules, and where each submodule is placed: for messages about what a call gives.
    made_by: HashMap<Span, (Span, String)>,
    /// The expression of the `return` evaluated last.
    last_return: Option<Span>,
    depth: usize,
    steps: usize,
    stopped: bool,
}

/// What became of a spec.
pub struct Resolved {
    /// Complete where no error is reported; its quantizer sites are listed, its
    /// rules not yet applied.
    pub graph: Graph,
    /// Everything found wrong.
    pub problems: Diagnostics,
    /// How much work it was: expressions evaluated, nodes made.
    pub steps: usize,
}

/// Evaluates the one model of the files.
pub fn resolve(files: &[ast::SpecFile], sources: &Sources, options: &Options) -> Resolved {
    stack::deep(|| resolve_here(files, sources, options))
}

fn resolve_here(files: &[ast::SpecFile], sources: &Sources, options: &Options) -> Resolved {
    let mut problems = Diagnostics::default();
    let globals = Globals::collect(files, &mut problems);
    let mut resolver = Resolver {
        sources,
        options,
        globals,
        stopped: problems.is_full(),
        problems,
        graph: Graph::default(),
        settled: HashMap::new(),
        settling: Vec::new(),
        model_dims: BTreeMap::new(),
        node_names: HashMap::new(),
        parameters: HashMap::new(),
        instances: HashMap::new(),
        made_by: HashMap::new(),
        last_return: None,
        depth: 0,
        steps: 0,
    };
    let finite = resolver.lint();
    let settled = resolver.settle();
    resolver.rules();
    match resolver.globals.models.as_slice() {
        [model] if finite && settled && !resolver.stopped => {
            let model = *model;
            resolver.model(model);
        }
        [_] => {}
        [] => {
            let place =
                files.first().and_then(|file| file.items.first()).map_or(Span::default(), |item| item.span);
            let message = "the spec declares no model";
            resolver.report(
                Diagnostic::error(codes::MODEL_COUNT, Span { end: place.start, ..place }, message)
                    .help("add `model NAME(...) -> (...) { ... }`, or name a spec that has one"),
            );
        }
        [first, second, ..] => {
            let (first, second) = (*first, *second);
            resolver.report(
                Diagnostic::error(
                    codes::MODEL_COUNT,
                    second.name.span,
                    format!("a spec declares one model, and `{}` is a second", second.name.value),
                )
                .mark("the second")
                .label(first.name.span, "the first"),
            );
        }
    }
    Resolved { graph: resolver.graph, problems: resolver.problems, steps: resolver.steps }
}
