//! Steps joined where a CPU has a loop for several at once.
//!
//! Each joint step computes what its parts would have computed one by one; it only
//! spares the memory between them. Products of codes are joined as others are.

use super::plan::{Product, Step, Work};
use crate::{
    graph::{Graph, NodeId, NodeKind},
    ops::Op,
    types::DType,
};
use std::collections::HashMap;

/// The steps, some of them joined. Values that others use too, those in `whole`, and
/// for `gradients` what these need stay steps of their own.
pub(super) fn fuse(graph: &Graph, steps: Vec<Step>, whole: &[NodeId], gradients: bool) -> Vec<Step> {
    let mut uses: HashMap<NodeId, usize> = HashMap::new();
    for id in steps.iter().flat_map(|step| &step.operands).chain(whole) {
        *uses.entry(*id).or_default() += 1;
    }
    let mut fusion = Fusion { graph, uses, gradients, pending: HashMap::new() };
    let order: Vec<_> = steps.iter().map(|step| step.node).collect();
    for step in steps {
        let joined = fusion.join(&step).unwrap_or(step);
        fusion.pending.insert(joined.node, joined);
    }
    order.into_iter().filter_map(|id| fusion.pending.remove(&id)).collect()
}

struct Fusion<'a> {
    graph: &'a Graph,
    /// How many operands, and outputs, each value is.
    uses: HashMap<NodeId, usize>,
    /// The steps will be gone through backwards.
    gradients: bool,
    /// Steps that may still become part of later ones, by their node.
    pending: HashMap<NodeId, Step>,
}

impl Fusion<'_> {
    /// The step joined with those before it, which are then no longer pending.
    fn join(&mut self, step: &Step) -> Option<Step> {
        let node = self.graph.node(step.node);
        let NodeKind::Op(op) = &node.kind else { return None };
        if node.ty.dtype != DType::F32 {
            return None;
        }
        match op {
            Op::Add(_) => self.linear(step),
            // The gradient of GELU follows from its operand.
            Op::Gelu(_) if !self.gradients => self.gelu(step),
            Op::LayerNorm(norm) => self.add_norm(step, norm.eps as f32),
            Op::Softmax(softmax) if is_last(softmax.axis, node.ty.rank()) => self.masked_softmax(step),
            _ => None,
        }
    }

    /// `lhs @ rhs + bias`, on either side.
    fn linear(&mut self, step: &Step) -> Option<Step> {
        let [a, b] = <[NodeId; 2]>::try_from(step.operands.as_slice()).ok()?;
        let result = &self.graph.node(step.node).ty;
        for (product, bias) in [(a, b), (b, a)] {
            let columns = result.shape.last().map(std::slice::from_ref)?;
            let fits = self.graph.node(bias).ty.shape == columns && self.graph.node(product).ty == *result;
            let known = self.pending.get(&product).filter(|_| fits && self.is_only_here(product));
            let work = match (known.map(|known| known.work), self.operator(product)) {
                (Some(Work::Operator), Some(Op::Matmul(_))) => Work::Linear { gelu: false },
                (Some(Work::Product(product @ Product { bias: false, gelu: false, .. })), _) => {
                    Work::Product(Product { bias: true, ..product })
                }
                _ => continue,
            };
            let mut operands = self.pending.remove(&product)?.operands;
            operands.push(bias);
            return Some(Step { operands, work, ..step.clone() });
        }
        None
    }

    fn gelu(&mut self, step: &Step) -> Option<Step> {
        let x = *step.operands.first()?;
        let work = match self.pending.get(&x).filter(|_| self.is_only_here(x))?.work {
            Work::Linear { gelu: false } => Work::Linear { gelu: true },
            Work::Product(product @ Product { gelu: false, .. }) => {
                Work::Product(Product { gelu: true, ..product })
            }
            _ => return None,
        };
        let operands = self.pending.remove(&x)?.operands;
        Some(Step { operands, work, ..step.clone() })
    }

    /// The layer norm of a sum of tensors of one shape.
    fn add_norm(&mut self, step: &Step, eps: f32) -> Option<Step> {
        let [sum, weight, bias] = <[NodeId; 3]>::try_from(step.operands.as_slice()).ok()?;
        let parts = self.addends(sum)?;
        let ty = &self.graph.node(sum).ty;
        if parts.iter().any(|part| self.graph.node(*part).ty != *ty) {
            return None;
        }
        self.pending.remove(&sum);
        let operands = [parts.as_slice(), &[weight, bias]].concat();
        Some(Step { operands, work: Work::AddNorm { eps }, ..step.clone() })
    }

    /// The softmax of scores, divided by a number or not, plus a mask.
    fn masked_softmax(&mut self, step: &Step) -> Option<Step> {
        let sum = *step.operands.first()?;
        let [a, b] = self.addends(sum)?;
        let result = &self.graph.node(step.node).ty;
        let is_whole = |id: NodeId| self.graph.node(id).ty == *result;
        let (scores, mask) = if is_whole(a) { (a, b) } else { (b, a) };
        if !is_whole(scores) || self.graph.node(mask).ty.shape.last() != result.shape.last() {
            return None;
        }
        self.pending.remove(&sum);
        let (scores, divisor) = self.quotient(scores).unwrap_or((scores, 1.0));
        Some(Step { operands: vec![scores, mask], work: Work::MaskedSoftmax { divisor }, ..step.clone() })
    }

    /// What is divided by a number, and the number.
    fn quotient(&mut self, id: NodeId) -> Option<(NodeId, f32)> {
        let Some(Op::Divide(_)) = self.op(id).filter(|_| self.is_only_here(id)) else { return None };
        let [x, divisor] = <[NodeId; 2]>::try_from(self.pending.get(&id)?.operands.as_slice()).ok()?;
        match self.graph.node(divisor).kind {
            NodeKind::Constant(value) => {
                self.pending.remove(&id);
                Some((x, value as f32))
            }
            _ => None,
        }
    }

    /// What a pending sum adds, if nothing else needs it.
    fn addends(&self, id: NodeId) -> Option<[NodeId; 2]> {
        match self.op(id).filter(|_| self.is_only_here(id))? {
            Op::Add(_) => self.pending.get(&id)?.operands.as_slice().try_into().ok(),
            _ => None,
        }
    }

    /// The operator of a step that is pending and not joined with others.
    fn op(&self, id: NodeId) -> Option<&Op> {
        self.pending.get(&id).filter(|step| step.work == Work::Operator)?;
        self.operator(id)
    }

    fn operator(&self, id: NodeId) -> Option<&Op> {
        match &self.graph.node(id).kind {
            NodeKind::Op(op) => Some(op),
            _ => None,
        }
    }

    fn is_only_here(&self, id: NodeId) -> bool {
        self.uses.get(&id) == Some(&1)
    }
}

fn is_last(axis: i64, rank: usize) -> bool {
    axis == -1 || i64::try_from(rank).is_ok_and(|rank| axis + 1 == rank)
}
