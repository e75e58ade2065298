//! Takes the fake quantizers out again, and remembers what each would see.

use crate::graph::{Graph, NodeId, NodeKind, Rewrite};
use std::collections::HashMap;

/// The graph in float, without ranges. [`Graph::attached`] then names, for each
/// quantizer, the value that it would see.
pub fn observe(graph: Graph) -> Graph {
    let quantizers: HashMap<NodeId, usize> = graph.attached.iter().copied().collect();
    let live = live(&graph, &quantizers);
    let mut rewrite = Rewrite::new(&graph);
    for (id, node) in graph.iter() {
        let seen = node.operands.first().and_then(|operand| rewrite.get(*operand));
        match seen.filter(|_| quantizers.contains_key(&id)) {
            Some(seen) => rewrite.map(id, seen),
            None if live.get(id.index()) == Some(&true) || node.kind == NodeKind::Input => {
                rewrite.keep(id, node);
            }
            None => {}
        }
    }
    rewrite.finish(graph)
}

/// By node: an output needs it, where quantizers need only what they see.
fn live(graph: &Graph, quantizers: &HashMap<NodeId, usize>) -> Vec<bool> {
    let mut live = vec![false; graph.nodes.len()];
    let mut waiting: Vec<NodeId> = graph.outputs.iter().map(|output| output.node).collect();
    while let Some(id) = waiting.pop() {
        match live.get_mut(id.index()) {
            Some(flag) if !*flag => *flag = true,
            _ => continue,
        }
        let needed = if quantizers.contains_key(&id) { 1 } else { usize::MAX };
        waiting.extend(graph.node(id).operands.iter().take(needed));
    }
    live
}
