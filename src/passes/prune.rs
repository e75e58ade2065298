//! Drops the nodes, sites and checks that no output needs.

use crate::{
    diagnostic::Diagnostics,
    graph::{Graph, NodeKind, Rewrite},
};

/// The graph with what its outputs need. Inputs stay: the caller gives them.
pub fn prune(graph: Graph) -> (Graph, Diagnostics) {
    let mut live = vec![false; graph.nodes.len()];
    for output in &graph.outputs {
        if let Some(flag) = live.get_mut(output.node.index()) {
            *flag = true;
        }
    }
    for (id, node) in graph.iter().collect::<Vec<_>>().into_iter().rev() {
        if live.get(id.index()) == Some(&true) {
            for operand in &node.operands {
                if let Some(flag) = live.get_mut(operand.index()) {
                    *flag = true;
                }
            }
        }
    }
    let mut rewrite = Rewrite::new(&graph);
    for (id, node) in graph.iter() {
        if live.get(id.index()) == Some(&true) || node.kind == NodeKind::Input {
            rewrite.keep(id, node);
        }
    }
    let mut graph = rewrite.finish(graph);
    graph.sites.retain(|site| site.target.is_some());
    (graph, Diagnostics::default())
}
