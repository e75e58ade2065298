//! What must hold of a graph after every pass.

use super::{Graph, Node, NodeKind};
use crate::types::{Symbol, TensorType};
use std::{collections::BTreeSet, ops::Deref};

/// A graph that [`verify`] has accepted: the only kind that engines and emitters take.
#[derive(Clone, Debug)]
pub struct Checked(Graph);

impl Checked {
    /// Verifies the graph.
    ///
    /// # Errors
    /// What does not hold.
    pub fn new(graph: Graph) -> Result<Checked, Fault> {
        verify(&graph).map(|()| Checked(graph))
    }

    /// The graph, to be changed and verified again.
    pub fn into_inner(self) -> Graph {
        self.0
    }
}

impl Deref for Checked {
    type Target = Graph;

    fn deref(&self) -> &Graph {
        &self.0
    }
}

/// Checks that nodes are in order and of the types their operators give, that
/// names are unique, that inputs and outputs exist, and that every dim is bound
/// by an input. `Err` says what does not hold: a fault of qdqc, or, for a dim
/// that no input binds, of the spec.
pub fn verify(graph: &Graph) -> Result<(), Fault> {
    let mut names = BTreeSet::new();
    for (id, node) in graph.iter() {
        if !names.insert(node.name.as_str()) {
            return Err(Fault::inside(node, "two nodes have this name"));
        }
        if node.operands.iter().any(|operand| *operand >= id) {
            return Err(Fault::inside(node, "an operand comes after its use"));
        }
        let operands: Vec<TensorType> =
            node.operands.iter().map(|operand| graph.node(*operand).ty.clone()).collect();
        match &node.kind {
            NodeKind::Op(op) => {
                if op.schema().operands.len() != operands.len() {
                    return Err(Fault::inside(node, "the operator has another number of operands"));
                }
                match op.semantics().infer(&operands) {
                    Ok(ty) if ty == node.ty => {}
                    Ok(ty) => {
                        return Err(Fault::inside(
                            node,
                            &format!("the operator gives {ty}, the node says {}", node.ty),
                        ));
                    }
                    Err(mismatch) => return Err(Fault::inside(node, &mismatch.message)),
                }
            }
            NodeKind::Boundary => {
                if operands.first() != Some(&node.ty) || operands.len() != 1 {
                    return Err(Fault::inside(node, "a boundary has the type of its one operand"));
                }
            }
            NodeKind::Input | NodeKind::Parameter(_) | NodeKind::Constant(_) => {
                if !operands.is_empty() {
                    return Err(Fault::inside(node, "a source has no operands"));
                }
            }
        }
    }
    let exists = |node: super::NodeId| node.index() < graph.nodes.len();
    if !graph.inputs.iter().all(|input| exists(input.node))
        || !graph.outputs.iter().all(|output| exists(output.node))
    {
        return Err(Fault { message: "an input or output has no node".into(), node: None, unbound: None });
    }
    bound(graph)
}

/// Every symbol in a type is one that the inputs bind.
fn bound(graph: &Graph) -> Result<(), Fault> {
    let mut known: BTreeSet<&Symbol> = BTreeSet::new();
    for input in &graph.inputs {
        known.extend(graph.node(input.node).ty.shape.iter().filter_map(|dim| dim.as_symbol()));
    }
    for dim in &graph.dims {
        let factors = dim.product.iter().flatten();
        if dim.product.is_some()
            && factors.flat_map(|factor| factor.symbols()).all(|symbol| known.contains(symbol))
        {
            known.insert(&dim.symbol);
        }
    }
    for node in &graph.nodes {
        for dim in &node.ty.shape {
            if let Some(symbol) = dim.symbols().find(|symbol| !known.contains(symbol)) {
                return Err(Fault {
                    message: format!(
                        "the dim `{symbol}` of `{}` ({}) is the size of no given input",
                        node.name, node.ty
                    ),
                    node: Some(Box::new(node.clone())),
                    unbound: Some(symbol.clone()),
                });
            }
        }
    }
    Ok(())
}

/// What does not hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// One sentence.
    pub message: String,
    /// The node it shows at.
    pub node: Option<Box<Node>>,
    /// The dim that no input binds: the spec's fault.
    pub unbound: Option<Symbol>,
}

impl Fault {
    fn inside(node: &Node, message: &str) -> Fault {
        Fault {
            message: format!("`{}`: {message}", node.name),
            node: Some(Box::new(node.clone())),
            unbound: None,
        }
    }
}
