//! The typed graph that every later phase meets.
//!
//! A node is an input, a parameter, a number, or an operator over earlier
//! nodes; each has one value, with a type. Nodes are in an order in which they
//! can be run. Dumps show names, never indices; the places in the spec are in a
//! table of their own, so that the printed graph does not move with them.

pub mod print;
mod rewrite;
mod rules;
mod verify;

pub use rewrite::Rewrite;
pub use rules::{AttachRule, LimitRule, PathPattern, Rules, SiteRule, TieRule};
pub use verify::{Checked, Fault, verify};

use crate::{
    answer::Answer,
    ops::Op,
    quant::Scheme,
    span::Span,
    types::{Dim, Symbol, TensorType},
};
use serde::Serialize;

/// Which node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

impl NodeId {
    /// Its place in [`Graph::nodes`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Which module instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScopeId(pub u32);

/// A model with its sizes from a config, for one way of calling it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// The model's name.
    pub name: String,
    /// In an order in which they can be run.
    pub nodes: Vec<Node>,
    /// Module instances; the first is the model itself.
    pub scopes: Vec<Scope>,
    /// Named inputs, in the model's order.
    pub inputs: Vec<Input>,
    /// Named outputs, in the model's order.
    pub outputs: Vec<Output>,
    /// Symbolic dims that the types mention.
    pub dims: Vec<DimInfo>,
    /// What must hold of the sizes of a call.
    pub checks: Vec<Check>,
    /// Places where a quantizer can be, in the order of the nodes.
    pub sites: Vec<Site>,
    /// Quantizers with a site.
    pub quantizers: Vec<Quantizer>,
    /// Sites and the quantizers that go there, by position, until they are attached.
    pub placed: Vec<(usize, usize)>,
    /// Nodes and the quantizers, by position, that they belong to: fake quantizers
    /// once they are attached, or the values that these would see.
    pub attached: Vec<(NodeId, usize)>,
    /// Rules not yet applied.
    pub rules: Rules,
    /// How the outputs are read for people.
    pub answers: Vec<Answer>,
}

/// One value and how it comes about.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// How its value comes about.
    pub kind: NodeKind,
    /// Earlier nodes it works on.
    pub operands: Vec<NodeId>,
    /// Unique: the instance's state-dict path and the value's name in the spec.
    pub name: String,
    /// The type of its value.
    pub ty: TensorType,
    /// The module instance whose body it is written in.
    pub scope: ScopeId,
    /// Where it is written.
    pub span: Span,
}

/// How the value of a node comes about.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeKind {
    /// Given by the caller under the node's name.
    Input,
    /// Loaded from the checkpoint.
    Parameter(Parameter),
    /// One number, of the node's dtype.
    Constant(f64),
    /// Computed.
    Op(Op),
    /// The operand, unchanged: the boundary of a module, where a quantizer may sit.
    Boundary,
}

/// A tensor of the checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its state-dict path.
    pub path: String,
    /// Paths of tied copies that a checkpoint may hold besides.
    pub tied: Vec<String>,
}

/// A module instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Scope {
    /// Its state-dict path; empty for the model.
    pub path: String,
    /// The module, or the model.
    pub module: String,
    /// The instance whose body it is placed in.
    pub parent: Option<u32>,
    /// Where it is placed.
    #[serde(skip)]
    pub placed: Span,
}

/// A named input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// HuggingFace's argument name; parts of records and lists follow after dots.
    pub name: String,
    /// Its node.
    pub node: NodeId,
}

/// A named output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// HuggingFace's name; list elements as `hidden_states.0`.
    pub name: String,
    /// Its node.
    pub node: NodeId,
}

/// A symbolic dim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DimInfo {
    /// Its name.
    pub symbol: Symbol,
    /// Its factors, if it is a product of others.
    pub product: Option<Vec<Dim>>,
    /// Where it is declared.
    pub span: Span,
}

/// What must hold of the sizes of a call: `left <= right` and the like.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// Left side.
    pub left: Dim,
    /// `==`, `!=`, `<`, `<=`, `>` or `>=`.
    pub comparison: &'static str,
    /// Right side.
    pub right: Dim,
    /// What to say if it does not hold; `{name}` stands for a dim.
    pub message: String,
    /// The `require`.
    pub span: Span,
}

/// A place where a quantizer can be: one port of one operator or instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Site {
    /// `lhs`, `input`, `weight`: the port.
    pub port: String,
    /// What rules may call its owner: the operator or module, the submodule's
    /// name, the value's name.
    pub owners: Vec<String>,
    /// The state-dict path that quantizer names start with and `at` looks at.
    pub path: String,
    /// The stem of the default quantizer name: `_input` gives `_input_quantizer`.
    pub stem: String,
    /// The module in whose body the site is written.
    pub written_in: String,
    /// The instance in whose body the site is written.
    pub scope: ScopeId,
    /// Where it attaches; `None` once the boundaries are gone.
    pub target: Option<SiteTarget>,
    /// Type of the value there.
    pub ty: TensorType,
    /// Where it is written.
    pub span: Span,
}

/// What of the graph a site is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteTarget {
    /// Operand `1` of node `0`.
    Operand(NodeId, usize),
    /// Every use of a boundary node.
    Boundary(NodeId),
}

/// A quantizer at a site.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantizer {
    /// Its state-dict path: `...query._input_quantizer`.
    pub name: String,
    /// What it does.
    pub scheme: Scheme,
    /// The largest range allowed.
    pub limit: Option<f64>,
    /// Quantizers with the same tie share one range.
    pub tie: Option<u32>,
    /// Its place in [`Graph::sites`].
    pub site: usize,
    /// The rule that put it there.
    pub rule: Span,
    /// The name of the quantizer in the spec.
    pub kind: String,
}

impl Graph {
    /// The node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// Nodes with their ids, in order.
    pub fn iter(&self) -> impl Iterator<Item = (NodeId, &Node)> {
        self.nodes.iter().enumerate().map(|(index, node)| (NodeId(index as u32), node))
    }
}
