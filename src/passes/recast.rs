//! Computes in another float type: f16 or bf16 in place of f32.

use crate::{
    graph::{Graph, Node, NodeId, NodeKind},
    ops::Op,
    types::DType,
};
use std::collections::HashSet;

/// The graph with every `f32` made `to`, except ranges of quantizers. Numbers
/// beyond the type are brought to its largest, so that the lowest score of a
/// mask stays a number.
pub fn recast(mut graph: Graph, to: DType) -> Graph {
    if to == DType::F32 {
        return graph;
    }
    let largest = match to {
        DType::F16 => f64::from(half::f16::MAX),
        _ => f64::from(half::bf16::MAX),
    };
    let ranges = ranges(&graph);
    for (index, node) in graph.nodes.iter_mut().enumerate() {
        if node.ty.dtype != DType::F32 || ranges.contains(&index) {
            continue;
        }
        node.ty.dtype = to;
        match &mut node.kind {
            NodeKind::Constant(value) => *value = value.clamp(-largest, largest),
            NodeKind::Op(Op::Cast(cast)) => cast.to = to,
            NodeKind::Op(Op::Full(full)) => {
                full.dtype = to;
                full.value = full.value.clamp(-largest, largest);
            }
            _ => {}
        }
    }
    graph
}

/// The nodes that ranges of quantizers are made of.
fn ranges(graph: &Graph) -> HashSet<usize> {
    let range = |node: &Node| match (&node.kind, node.operands.as_slice()) {
        (NodeKind::Op(Op::FakeQuantize(_)), [_, range]) => Some(*range),
        _ => None,
    };
    let mut waiting: Vec<NodeId> = graph.nodes.iter().filter_map(range).collect();
    let mut found = HashSet::new();
    while let Some(id) = waiting.pop() {
        if found.insert(id.index()) {
            waiting.extend(&graph.node(id).operands);
        }
    }
    found
}
