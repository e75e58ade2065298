//! Which nodes are run, in what order, and when their values are freed.

use crate::{
    graph::{Graph, Node, NodeId, NodeKind},
    ops::{Attribute, Op},
    types::Dim,
};

/// One node to run.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// The node.
    pub(super) node: NodeId,
    /// Whose values it works on; boundaries are looked through.
    pub(super) operands: Vec<NodeId>,
    /// Values that no later step and no output needs.
    pub(super) last_used: Vec<NodeId>,
}

/// What running a graph takes.
#[derive(Debug)]
pub(super) struct Plan {
    steps: Vec<Step>,
    /// By node: an output depends on it.
    live: Vec<bool>,
    /// By node: the node whose value it has; another one for boundaries.
    sources: Vec<NodeId>,
}

/// Largest result, in numbers, that is computed once although it is larger than
/// what it is computed from.
const SMALL: i64 = 1 << 16;

impl Plan {
    /// The plan for every output.
    pub(super) fn new(graph: &Graph) -> Plan {
        let mut plan = Plan { steps: Vec::new(), live: vec![false; graph.nodes.len()], sources: Vec::new() };
        for (id, node) in graph.iter() {
            let source = match (&node.kind, node.operands.first()) {
                (NodeKind::Boundary, Some(operand)) => plan.source(*operand),
                _ => id,
            };
            plan.sources.push(source);
        }
        let outputs: Vec<_> = graph.outputs.iter().map(|output| plan.source(output.node)).collect();
        plan.mark_live(graph, &outputs);
        for (id, node) in graph.iter() {
            if plan.is_live(id) && matches!(node.kind, NodeKind::Op(_)) {
                let operands = node.operands.iter().map(|operand| plan.source(*operand)).collect();
                plan.steps.push(Step { node: id, operands, last_used: Vec::new() });
            }
        }
        free_at_last_use(&mut plan.steps, &outputs, graph.nodes.len());
        plan
    }

    /// An output depends on the node.
    pub(super) fn is_live(&self, id: NodeId) -> bool {
        self.live.get(id.index()).copied().unwrap_or(false)
    }

    /// The node whose value this one has.
    pub(super) fn source(&self, id: NodeId) -> NodeId {
        self.sources.get(id.index()).copied().unwrap_or(id)
    }

    /// The steps of a call, in order.
    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Removes and returns the steps whose results are the same in every call, but
    /// for those that would only make large tensors out of small ones.
    pub(super) fn take_constant(&mut self, graph: &Graph) -> Vec<Step> {
        let mut constant: Vec<_> = graph
            .nodes
            .iter()
            .map(|node| matches!(node.kind, NodeKind::Parameter(_) | NodeKind::Constant(_)))
            .collect();
        let (folded, kept) = std::mem::take(&mut self.steps).into_iter().partition(|step| {
            let node = graph.node(step.node);
            let fold = step.operands.iter().all(|id| constant.get(id.index()).copied().unwrap_or(false))
                && is_known(node)
                && is_worth_keeping(graph, step);
            if let Some(slot) = constant.get_mut(step.node.index()) {
                *slot = fold;
            }
            fold
        });
        self.steps = kept;
        let folded: Vec<Step> = folded;
        self.share(folded, &constant)
    }

    /// Frees after a folded step only what no call needs, and in a call only what
    /// that call computed.
    fn share(&mut self, mut folded: Vec<Step>, constant: &[bool]) -> Vec<Step> {
        let is_constant = |id: &NodeId| constant.get(id.index()).copied().unwrap_or(false);
        let needed: std::collections::HashSet<NodeId> =
            self.steps.iter().flat_map(|step| step.operands.iter().copied()).collect();
        for step in &mut folded {
            step.last_used.retain(|id| !needed.contains(id));
        }
        for step in &mut self.steps {
            step.last_used.retain(|id| !is_constant(id));
        }
        folded
    }

    fn mark_live(&mut self, graph: &Graph, outputs: &[NodeId]) {
        let mut waiting = outputs.to_vec();
        while let Some(id) = waiting.pop() {
            if self.is_live(id) {
                continue;
            }
            if let Some(live) = self.live.get_mut(id.index()) {
                *live = true;
            }
            waiting.extend(graph.node(id).operands.iter().map(|operand| self.source(*operand)));
        }
    }
}

/// Notes in each step which values it is the last to use.
fn free_at_last_use(steps: &mut [Step], outputs: &[NodeId], nodes: usize) {
    let mut used_later = vec![false; nodes];
    let mut mark =
        |id: NodeId| used_later.get_mut(id.index()).is_some_and(|used| !std::mem::replace(used, true));
    for output in outputs {
        mark(*output);
    }
    for step in steps.iter_mut().rev() {
        step.last_used = step.operands.iter().copied().filter(|operand| mark(*operand)).collect();
    }
}

/// Neither the type nor an attribute depends on the sizes of a call.
fn is_known(node: &Node) -> bool {
    let known = |dim: &Dim| dim.as_known().is_some();
    let NodeKind::Op(op) = &node.kind else { return false };
    node.ty.shape.iter().all(known) && attributes_known(op)
}

fn attributes_known(op: &Op) -> bool {
    fn known(attribute: &Attribute) -> bool {
        match attribute {
            Attribute::Dim(dim) => dim.as_known().is_some(),
            Attribute::List(list) => list.iter().all(known),
            _ => true,
        }
    }
    op.attributes().iter().all(|(_, attribute)| known(attribute))
}

fn is_worth_keeping(graph: &Graph, step: &Step) -> bool {
    let count = |id: &NodeId| {
        let sizes = graph.node(*id).ty.shape.iter().map(|dim| dim.as_known().unwrap_or(i64::MAX));
        sizes.fold(1_i64, i64::saturating_mul)
    };
    let given = step.operands.iter().map(count).fold(0, i64::saturating_add);
    count(&step.node) <= given.max(SMALL)
}
