//! Computes in another float type: f16 or bf16 in place of f32.

use crate::{
    graph::{Graph, NodeKind},
    ops::Op,
    types::DType,
};

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
    for node in &mut graph.nodes {
        let is_range =
            matches!(&node.kind, NodeKind::Parameter(parameter) if parameter.path.ends_with("_amax"));
        if node.ty.dtype != DType::F32 || is_range {
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
