//! Fake quantizers that do the same to the same value, which need doing once.
//!
//! QDQBERT gives query, key, value and the residual sum a quantizer each, on one
//! tensor; calibrated on the same data, their ranges are the same.

use crate::{
    graph::{Graph, Node, NodeId, NodeKind},
    ops::Op,
};
use candle_core::Tensor;
use std::collections::HashMap;

/// The ranges of a graph's quantizers that do not change.
pub(in crate::backends) struct Ranges<'a> {
    graph: &'a Graph,
    weights: &'a HashMap<String, Tensor>,
    /// The fake quantizers met so far, by the value that they quantize.
    met: HashMap<NodeId, Vec<NodeId>>,
}

impl<'a> Ranges<'a> {
    /// Those in `weights` and in the graph itself.
    pub(in crate::backends) fn new(graph: &'a Graph, weights: &'a HashMap<String, Tensor>) -> Ranges<'a> {
        Ranges { graph, weights, met: HashMap::new() }
    }

    /// The fake quantizer met before that makes of `value` what the node does.
    pub(in crate::backends) fn earlier(&mut self, id: NodeId, value: NodeId) -> Option<NodeId> {
        let node = self.graph.node(id);
        let NodeKind::Op(Op::FakeQuantize(_)) = &node.kind else { return None };
        let known = self.met.get(&value).into_iter().flatten().copied();
        let same = known.into_iter().find(|other| {
            let other = self.graph.node(*other);
            other.kind == node.kind && other.ty == node.ty && self.same_range(other, node).unwrap_or(false)
        });
        if same.is_none() {
            self.met.entry(value).or_default().push(id);
        }
        same
    }

    /// Whether two fake quantizers have one range, as far as that is known.
    fn same_range(&self, a: &Node, b: &Node) -> Option<bool> {
        let (a, b) = (*a.operands.get(1)?, *b.operands.get(1)?);
        if a == b {
            return Some(true);
        }
        match (&self.graph.node(a).kind, &self.graph.node(b).kind) {
            (NodeKind::Constant(a), NodeKind::Constant(b)) => Some(a == b),
            (NodeKind::Parameter(a), NodeKind::Parameter(b)) => {
                let (a, b) = (self.weights.get(&a.path)?, self.weights.get(&b.path)?);
                let numbers = |range: &Tensor| range.flatten_all()?.to_vec1::<f32>();
                Some(a.dims() == b.dims() && numbers(a).ok()? == numbers(b).ok()?)
            }
            _ => None,
        }
    }
}
