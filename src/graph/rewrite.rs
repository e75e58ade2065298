//! Making a graph from another: nodes dropped, replaced and added, every
//! reference carried over.

use super::{Graph, Node, NodeId, SiteTarget};

/// A graph being made from an old one, node by node, in order.
pub struct Rewrite {
    /// The new nodes so far.
    pub nodes: Vec<Node>,
    /// What each old node has become.
    becomes: Vec<Option<NodeId>>,
}

impl Rewrite {
    /// Nothing carried over yet.
    pub fn new(old: &Graph) -> Rewrite {
        Rewrite { nodes: Vec::with_capacity(old.nodes.len()), becomes: vec![None; old.nodes.len()] }
    }

    /// Adds a node whose operands are new ids.
    pub fn add(&mut self, node: Node) -> NodeId {
        let id = NodeId(self.nodes.len() as u32);
        self.nodes.push(node);
        id
    }

    /// What an old node has become; `None` if it was dropped or is not reached yet.
    pub fn get(&self, old: NodeId) -> Option<NodeId> {
        self.becomes.get(old.index()).copied().flatten()
    }

    /// Says what an old node becomes.
    pub fn map(&mut self, old: NodeId, new: NodeId) {
        if let Some(entry) = self.becomes.get_mut(old.index()) {
            *entry = Some(new);
        }
    }

    /// Carries a node over, its operands mapped. Operands come before their
    /// users, so a kept node's operands are mapped already.
    pub fn keep(&mut self, old: NodeId, node: &Node) -> NodeId {
        let operands = node.operands.iter().filter_map(|operand| self.get(*operand)).collect();
        let new = self.add(Node { operands, ..node.clone() });
        self.map(old, new);
        new
    }

    /// The new graph: inputs, outputs, sites and quantizers refer to what their nodes have
    /// become; those dropped are gone.
    pub fn finish(self, old: Graph) -> Graph {
        let becomes = |id: NodeId| self.becomes.get(id.index()).copied().flatten();
        let mut graph = old;
        graph.inputs.retain_mut(|input| becomes(input.node).map(|node| input.node = node).is_some());
        graph.outputs.retain_mut(|output| becomes(output.node).map(|node| output.node = node).is_some());
        for site in &mut graph.sites {
            site.target = site.target.and_then(|target| {
                Some(match target {
                    SiteTarget::Operand(node, index) => SiteTarget::Operand(becomes(node)?, index),
                    SiteTarget::Boundary(node) => SiteTarget::Boundary(becomes(node)?),
                })
            });
        }
        graph.attached.retain_mut(|(node, _)| becomes(*node).map(|new| *node = new).is_some());
        graph.nodes = self.nodes;
        graph
    }
}
