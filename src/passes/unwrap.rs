//! Removes the boundaries of modules, which do nothing once quantizers are in.

use crate::{
    diagnostic::Diagnostics,
    graph::{Graph, NodeKind, Rewrite, SiteTarget},
};

/// The graph without boundary nodes; their users take what lies behind.
pub fn unwrap(mut graph: Graph) -> (Graph, Diagnostics) {
    for site in &mut graph.sites {
        if matches!(site.target, Some(SiteTarget::Boundary(_))) {
            site.target = None;
        }
    }
    let mut rewrite = Rewrite::new(&graph);
    for (id, node) in graph.iter() {
        let behind = match (&node.kind, node.operands.as_slice()) {
            (NodeKind::Boundary, [operand]) => rewrite.get(*operand),
            _ => None,
        };
        match behind {
            Some(behind) => rewrite.map(id, behind),
            None => {
                rewrite.keep(id, node);
            }
        }
    }
    (rewrite.finish(graph), Diagnostics::default())
}
