//! Which nodes are run, in what order, and when their values are freed.

use super::{
    exact::by_codes,
    fuse::fuse,
    share::Ranges,
    weights::{self, Packed},
};
use crate::{
    graph::{Graph, Node, NodeId, NodeKind},
    ops::{Attribute, Op, kernels::Right},
    types::Dim,
};
use candle_core::Tensor;
use std::collections::{BTreeSet, HashSet};

/// One value to compute.
#[derive(Clone, Debug)]
pub(in crate::backends) struct Step {
    /// The node whose value it is.
    pub(in crate::backends) node: NodeId,
    /// Whose values it works on; boundaries are looked through.
    pub(in crate::backends) operands: Vec<NodeId>,
    /// How.
    pub(in crate::backends) work: Work,
    /// The right side of its product is packed, and has so many columns.
    pub(in crate::backends) packed: Option<usize>,
    /// Values that no later step and no output needs.
    pub(in crate::backends) last_used: Vec<NodeId>,
}

impl Step {
    /// The right side of its product.
    pub(super) fn right<'a>(&self, rhs: &'a Tensor) -> Right<'a> {
        self.packed.map_or(Right::Matrices(rhs), |columns| Right::Packed(rhs, columns))
    }

    /// The step where only some quantizers are at work.
    pub(in crate::backends) fn switched(&self, is_on: impl Fn(NodeId) -> bool) -> Step {
        let work = match self.work {
            Work::Product(product) => {
                let is_float = !product.sides.iter().all(|side| is_on(side.quantizer));
                Work::Product(Product { is_float, ..product })
            }
            work => work,
        };
        Step { work, ..self.clone() }
    }
}

/// How a step computes its value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::backends) enum Work {
    /// As the node's operator says.
    Operator,
    /// `operands[0] @ operands[1] + operands[2]`, and then GELU.
    Linear {
        /// Takes the GELU.
        gelu: bool,
    },
    /// The layer norm of `operands[0] + operands[1]` with weight `operands[2]` and
    /// bias `operands[3]`.
    AddNorm {
        /// What is added to the variance.
        eps: f32,
    },
    /// The softmax of `operands[0] / divisor + operands[1]`.
    MaskedSoftmax {
        /// What the first operand is divided by.
        divisor: f32,
    },
    /// The codes that a fake quantizer makes, as whole numbers in f32, in place of what they
    /// stand for.
    Codes,
    /// The exact product of codes.
    Product(Product),
}

/// `operands[0] @ operands[1] + operands[4]`, and then GELU, of quantized values whose ranges are
/// `operands[2]` and `operands[3]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::backends) struct Product {
    pub(in crate::backends) sides: [Side; 2],
    /// A side is not quantized now: they are multiplied as they are.
    pub(in crate::backends) is_float: bool,
    /// There is something to add: a number for each column.
    pub(in crate::backends) bias: bool,
    /// Takes the GELU.
    pub(in crate::backends) gelu: bool,
}

/// One side of a product of quantized values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::backends) struct Side {
    /// The fake quantizer.
    pub(in crate::backends) quantizer: NodeId,
    /// The operand is the codes; else what they stand for.
    pub(in crate::backends) is_codes: bool,
}

/// What running a graph takes.
#[derive(Debug)]
pub(in crate::backends) struct Plan {
    /// Steps whose results are the same in every call, in order.
    pub(in crate::backends) constant: Vec<Step>,
    /// The steps of a call, in order.
    pub(in crate::backends) steps: Vec<Step>,
    /// By node: an output depends on it.
    live: Vec<bool>,
    /// Which values are kept as products read them.
    packed: Packed,
    /// Values that are shown to an observer: no step is joined across them.
    watched: Vec<NodeId>,
    /// By node: the node whose value it has; another one for boundaries, dropout
    /// outside training, and quantizers that do the same.
    sources: Vec<NodeId>,
}

/// How a graph is to be run.
#[derive(Default)]
pub(in crate::backends) struct Choices<'a> {
    /// Steps are joined where a CPU has a loop for several at once.
    pub(in crate::backends) fused: bool,
    /// How quantized values are multiplied.
    pub(in crate::backends) exact: Exact,
    /// Values that are computed as they are, for an observer.
    pub(in crate::backends) watched: &'a [NodeId],
    /// Ranges that do not change: where they are the same, so are quantized values.
    pub(in crate::backends) ranges: Option<Ranges<'a>>,
    /// Only what these values need is run.
    pub(in crate::backends) part: Option<Part<'a>>,
    /// For gradients: these parameters change, dropout is a step of its own, and what
    /// a gradient needs is not hidden in a joint step.
    pub(in crate::backends) trained: Option<&'a HashSet<NodeId>>,
}

/// How quantized values are multiplied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::backends) enum Exact {
    /// As all others.
    #[default]
    Never,
    /// By their codes, on a CPU. Quantizers may be switched off: none makes codes.
    Switched,
    /// By their codes, on a CPU.
    Always,
}

/// A part of a graph.
#[derive(Clone, Copy)]
pub(in crate::backends) struct Part<'a> {
    /// Values that come from elsewhere.
    pub(in crate::backends) given: &'a BTreeSet<NodeId>,
    /// Values that are needed elsewhere, besides outputs that are not given.
    pub(in crate::backends) ends: &'a BTreeSet<NodeId>,
}

/// Largest result, in numbers, that is computed once although it is larger than
/// what it is computed from.
const SMALL: i64 = 1 << 16;

impl Plan {
    /// The plan for every output.
    pub(in crate::backends) fn new(graph: &Graph, choices: Choices<'_>) -> Plan {
        let Choices { fused, exact, watched, ranges, part, trained } = choices;
        let nothing = BTreeSet::new();
        let Part { given, ends } = part.unwrap_or(Part { given: &nothing, ends: &nothing });
        let live = vec![false; graph.nodes.len()];
        let sources = sources(graph, ranges, trained.is_some());
        let mut plan = Plan {
            constant: Vec::new(),
            steps: Vec::new(),
            packed: Packed::default(),
            live,
            watched: Vec::new(),
            sources,
        };
        plan.watched = watched.iter().map(|id| plan.source(*id)).collect();
        let outputs = graph.outputs.iter().map(|output| plan.source(output.node));
        let outputs: Vec<_> = outputs.chain(ends.iter().copied()).filter(|id| !given.contains(id)).collect();
        plan.mark_live(graph, &outputs, given);
        let (mut constant, mut steps) = plan.split(graph, trained);
        let whole = [outputs.as_slice(), &plan.watched].concat();
        if exact != Exact::Never {
            by_codes(graph, &mut constant, &mut steps, &whole, exact == Exact::Always);
        }
        plan.steps = if fused { fuse(graph, steps, &whole, trained.is_some()) } else { steps };
        plan.constant = constant;
        if fused && trained.is_none() {
            plan.packed =
                weights::find(graph, &plan.constant, &mut plan.steps, &whole, exact == Exact::Switched);
        }
        plan.free_at_last_use(&outputs);
        plan
    }

    /// An output depends on the node.
    pub(in crate::backends) fn is_live(&self, id: NodeId) -> bool {
        flag(&self.live, id)
    }

    /// The node's value is the same in every call, and kept as products read it.
    pub(super) fn is_packed(&self, id: NodeId) -> bool {
        self.packed.values.contains(&id)
    }

    /// The value may be given packed, transposed.
    pub(super) fn takes_packed(&self, id: NodeId) -> bool {
        self.packed.turned.contains(&id)
    }

    /// The node whose value this one has.
    pub(in crate::backends) fn source(&self, id: NodeId) -> NodeId {
        self.sources.get(id.index()).copied().unwrap_or(id)
    }

    fn mark_live(&mut self, graph: &Graph, outputs: &[NodeId], given: &BTreeSet<NodeId>) {
        let mut waiting = outputs.to_vec();
        while let Some(id) = waiting.pop() {
            if self.is_live(id) || given.contains(&id) {
                continue;
            }
            if let Some(live) = self.live.get_mut(id.index()) {
                *live = true;
            }
            waiting.extend(graph.node(id).operands.iter().map(|operand| self.source(*operand)));
        }
    }

    /// A step for each live operator: those whose results are the same in every
    /// call, but for what would only make large tensors out of small ones; and the
    /// others.
    fn split(&self, graph: &Graph, trained: Option<&HashSet<NodeId>>) -> (Vec<Step>, Vec<Step>) {
        let changes = |id: NodeId| trained.is_some_and(|trained| trained.contains(&id));
        let mut constant = vec![false; graph.nodes.len()];
        let live = graph.iter().filter(|(id, _)| self.is_live(*id) && self.source(*id) == *id);
        let steps = live.filter_map(|(id, node)| {
            let operands: Vec<_> = node.operands.iter().map(|operand| self.source(*operand)).collect();
            let fixed = match node.kind {
                NodeKind::Parameter(_) => !changes(id),
                NodeKind::Constant(_) => true,
                NodeKind::Op(_) => {
                    operands.iter().all(|id| flag(&constant, *id))
                        && is_known(node)
                        && is_worth_keeping(graph, node)
                }
                NodeKind::Input | NodeKind::Boundary => false,
            };
            if let Some(slot) = constant.get_mut(id.index()) {
                *slot = fixed;
            }
            let step = Step { node: id, operands, work: Work::Operator, packed: None, last_used: Vec::new() };
            matches!(node.kind, NodeKind::Op(_)).then_some((fixed, step))
        });
        let (constant, steps): (Vec<_>, Vec<_>) = steps.partition(|(fixed, _)| *fixed);
        let only_steps = |list: Vec<(bool, Step)>| list.into_iter().map(|(_, step)| step).collect();
        (only_steps(constant), only_steps(steps))
    }

    /// Notes in each step which values it is the last to use. What is computed once
    /// is not freed by calls.
    fn free_at_last_use(&mut self, outputs: &[NodeId]) {
        let mut used_later = vec![false; self.sources.len()];
        let mut is_last = |id: &NodeId| match used_later.get_mut(id.index()) {
            Some(used) => !std::mem::replace(used, true),
            None => false,
        };
        outputs.iter().for_each(|id| {
            is_last(id);
        });
        let mut of_calls = vec![false; self.sources.len()];
        for id in self.steps.iter().map(|step| step.node) {
            if let Some(slot) = of_calls.get_mut(id.index()) {
                *slot = true;
            }
        }
        for step in self.steps.iter_mut().rev() {
            step.last_used = step.operands.iter().copied().filter(|id| is_last(id)).collect();
            step.last_used.retain(|id| flag(&of_calls, *id));
        }
        self.watched.iter().for_each(|id| {
            is_last(id);
        });
        for step in self.constant.iter_mut().rev() {
            step.last_used = step.operands.iter().copied().filter(|id| is_last(id)).collect();
        }
    }
}

/// Whether the node has this mark.
pub(in crate::backends) fn flag(flags: &[bool], id: NodeId) -> bool {
    flags.get(id.index()).copied().unwrap_or(false)
}

/// By node: the node whose value it has.
fn sources(graph: &Graph, mut ranges: Option<Ranges>, dropout: bool) -> Vec<NodeId> {
    let mut sources: Vec<NodeId> = Vec::with_capacity(graph.nodes.len());
    for (id, node) in graph.iter() {
        let same = match &node.kind {
            NodeKind::Boundary => true,
            NodeKind::Op(Op::Dropout(drop)) => !dropout || drop.p == 0.0,
            _ => false,
        };
        let value = node.operands.first().and_then(|operand| sources.get(operand.index()).copied());
        let source = match value {
            Some(value) if same => Some(value),
            Some(value) => ranges.as_mut().and_then(|ranges| ranges.earlier(id, value)),
            None => None,
        };
        sources.push(source.unwrap_or(id));
    }
    sources
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

fn is_worth_keeping(graph: &Graph, node: &Node) -> bool {
    let count = |node: &Node| {
        let sizes = node.ty.shape.iter().map(|dim| dim.as_known().unwrap_or(i64::MAX));
        sizes.fold(1_i64, i64::saturating_mul)
    };
    let given = node.operands.iter().map(|id| count(graph.node(*id))).fold(0, i64::saturating_add);
    count(node) <= given.max(SMALL)
}
