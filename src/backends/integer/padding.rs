//! Texts of other lengths, one after the other: no work on what fills them up.
//!
//! A token that the mask leaves out is read by no other: its probability is exactly 0. So its
//! row needs no computing, as long as what is made of rows later keeps them apart too.

use super::{
    product,
    program::{Program, Work},
    schedule::Part,
};
use crate::{
    backends::candle::{self, plan},
    graph::{Graph, NodeId, NodeKind},
    ops::Op,
    types::{Bindings, Dim},
};
use candle_core::Tensor;
use std::collections::BTreeSet;

/// Where a graph has rows that need no computing.
#[derive(Debug)]
pub(super) struct Padding {
    /// What is added to scores: the lowest number where a key is left out.
    mask: NodeId,
    /// The first axes of values with a row for each token.
    tokens: [Dim; 2],
}

/// The rows of a call that are computed.
#[derive(Debug)]
pub(super) struct Kept {
    /// Of each row, which it is of all.
    pub(super) rows: Vec<usize>,
    /// Where each text begins among them, and where the last ends.
    pub(super) starts: Vec<usize>,
    /// Rows of a text, those left out included.
    pub(super) length: usize,
    /// The first axes of values with a row for each token.
    pub(super) tokens: [Dim; 2],
}

impl Padding {
    /// Where rows of this graph need no computing, if it is certain that nothing depends on them
    /// but themselves.
    pub(super) fn find(
        graph: &Graph,
        program: &Program,
        parts: &[Part],
        source: impl Fn(NodeId) -> NodeId,
    ) -> Option<Padding> {
        let mut attentions = program.steps.iter().filter_map(|step| match &step.work {
            Work::Attention(attention) => Some(attention),
            _ => None,
        });
        let first = attentions.next()?;
        let mask = first.mask?;
        let tokens = [first.query.batch.clone(), first.query.length.clone()];
        let alike = |sides: &super::program::Heads| {
            !sides.is_split && sides.batch == tokens[0] && sides.length == tokens[1]
        };
        let same = |other: &super::program::Attention| {
            other.mask == Some(mask) && [&other.query, &other.key, &other.value].into_iter().all(alike)
        };
        let one = Dim::known(1);
        let shape = [&tokens[0], &one, &one, &tokens[1]];
        let fits = same(first) && attentions.all(|other| same(other));
        if !fits || !graph.node(mask).ty.shape.iter().eq(shape) {
            return None;
        }
        let rows = Rows { graph, tokens: &tokens, attended: attended(graph, mask, &source), source: &source };
        rows.stay_apart(program, parts).then_some(Padding { mask, tokens })
    }

    /// A value with these axes has a row for each token.
    pub(super) fn has_tokens(&self, leading: &[Dim]) -> bool {
        leading == self.tokens
    }

    /// The rows of a call that are computed; `None` where all are.
    pub(super) fn kept(&self, values: &[Option<Tensor>], dims: &Bindings) -> Option<Kept> {
        let length = product(self.tokens.get(1..)?, dims).filter(|length| *length > 0)?;
        let mask = candle::at(values, self.mask)?.flatten_all().ok()?.to_vec1::<f32>().ok()?;
        let tokens = self.tokens.clone();
        let mut kept = Kept { rows: Vec::new(), starts: vec![0], length, tokens };
        for (text, mask) in mask.chunks(length).enumerate() {
            let all = mask.iter().all(|number| *number == f32::MIN);
            for (place, number) in mask.iter().enumerate() {
                // The first is what poolers look at.
                if all || place == 0 || *number != f32::MIN {
                    kept.rows.push(text * length + place);
                }
            }
            kept.starts.push(kept.rows.len());
        }
        (kept.rows.len() < mask.len()).then_some(kept)
    }
}

/// The input that says which tokens to read, 0 where the mask has the lowest number.
fn attended(graph: &Graph, mask: NodeId, source: &impl Fn(NodeId) -> NodeId) -> Option<NodeId> {
    let op = |id: NodeId| match &graph.node(id).kind {
        NodeKind::Op(op) => Some(op),
        _ => None,
    };
    let pair = |id: NodeId| {
        let operands: Vec<_> = graph.node(id).operands.iter().map(|id| source(*id)).collect();
        <[NodeId; 2]>::try_from(operands.as_slice()).ok()
    };
    let is =
        |id: NodeId, number: f64| matches!(graph.node(id).kind, NodeKind::Constant(value) if value == number);
    let (Op::Multiply(_), [left, lowest]) = (op(mask)?, pair(mask)?) else { return None };
    let (Op::Subtract(_), [one, kept]) = (op(left)?, pair(left)?) else { return None };
    let fits = is(lowest, f64::from(f32::MIN)) && is(one, 1.0);
    origin(graph, kept, source).filter(|_| fits)
}

/// The input that a value is, in another shape or element type.
fn origin(graph: &Graph, id: NodeId, source: &impl Fn(NodeId) -> NodeId) -> Option<NodeId> {
    let mut id = source(id);
    loop {
        let node = graph.node(id);
        match &node.kind {
            NodeKind::Input => return Some(id),
            NodeKind::Op(Op::Reshape(_) | Op::Cast(_)) => id = source(*node.operands.first()?),
            _ => return None,
        }
    }
}

/// What candle makes of rows.
struct Rows<'a, S> {
    graph: &'a Graph,
    tokens: &'a [Dim; 2],
    /// The input that is 0 for tokens left out.
    attended: Option<NodeId>,
    source: &'a S,
}

/// What becomes of rows in a step.
enum Fate {
    /// Each row of the result follows from one row.
    Apart,
    /// Rows left out are not in the result.
    Gone,
    /// They may be.
    Mixed,
}

impl<S: Fn(NodeId) -> NodeId> Rows<'_, S> {
    /// Nothing that candle computes mixes rows, but for those of tokens that are read.
    fn stay_apart(&self, program: &Program, parts: &[Part]) -> bool {
        let exports = program.exports.iter().map(|(node, _)| *node);
        let mut rows: BTreeSet<NodeId> = exports.filter(|node| self.has_tokens(*node)).collect();
        let steps = parts.iter().filter_map(|part| match part {
            Part::Float(steps) => Some(steps),
            Part::Integer { .. } => None,
        });
        for step in steps.flatten() {
            if step.operands.iter().any(|operand| rows.contains(operand)) {
                match self.fate(step, &rows) {
                    Fate::Apart if self.has_tokens(step.node) => {
                        rows.insert(step.node);
                    }
                    Fate::Gone => {}
                    _ => return false,
                }
            }
        }
        // What integer steps take in has a row for each token, or nothing to do with them.
        program.imports.iter().all(|(node, buffer)| {
            let leading = program.buffers.get(buffer.0).map(|buffer| buffer.leading.as_slice());
            !rows.contains(node) || leading == Some(self.tokens)
        })
    }

    fn has_tokens(&self, node: NodeId) -> bool {
        self.graph.node(node).ty.shape.starts_with(self.tokens)
    }

    fn fate(&self, step: &plan::Step, rows: &BTreeSet<NodeId>) -> Fate {
        let of_rows = |at: usize| step.operands.get(at).is_some_and(|id| rows.contains(id));
        let only = |first: usize| (first..step.operands.len()).all(|at| !of_rows(at));
        let apart = |is_so: bool| if is_so { Fate::Apart } else { Fate::Mixed };
        let node = self.graph.node(step.node);
        let NodeKind::Op(op) = &node.kind else { return Fate::Mixed };
        let rank = node.ty.rank();
        // Axes are brought together from the last on.
        let aligned = |at: usize| !of_rows(at) || self.rank(step, at) == rank;
        match (step.work, op) {
            (plan::Work::Linear { .. } | plan::Work::Product(_), _) => {
                apart(only(1) && rank > 2 && self.is_matrix(step, 1))
            }
            (plan::Work::AddNorm { .. }, _) => apart(only(2) && rank > 2),
            (plan::Work::MaskedSoftmax { .. }, _) => Fate::Mixed,
            (_, Op::Matmul(_)) => apart(only(1) && rank > 2 && self.is_matrix(step, 1)),
            (_, Op::LayerNorm(_)) => apart(only(1) && rank > 2),
            (_, Op::Softmax(softmax)) => {
                apart(rank > 2 && (softmax.axis == -1 || softmax.axis == rank as i64 - 1))
            }
            (_, Op::FakeQuantize(quantize)) => apart(!quantize.dynamic && quantize.axis.is_none() && only(1)),
            (_, Op::Multiply(_)) if self.is_masked(step, rank) => Fate::Gone,
            (_, Op::Add(_) | Op::Subtract(_) | Op::Multiply(_) | Op::Divide(_)) => {
                apart(aligned(0) && aligned(1))
            }
            (
                _,
                Op::Gelu(_)
                | Op::Relu(_)
                | Op::Tanh(_)
                | Op::Sigmoid(_)
                | Op::Exp(_)
                | Op::Erf(_)
                | Op::Negate(_)
                | Op::Clamp(_)
                | Op::Cast(_)
                | Op::Reshape(_),
            ) => Fate::Apart,
            (_, Op::Select(select)) => {
                let given = step.operands.first().map_or(0, |id| self.graph.node(*id).ty.rank()) as i64;
                match (select.axis.rem_euclid(given.max(1)), &select.index) {
                    (1, index) if index.as_known() == Some(0) => Fate::Gone,
                    (axis, _) => apart(axis > 1),
                }
            }
            _ => Fate::Mixed,
        }
    }

    fn rank(&self, step: &plan::Step, at: usize) -> usize {
        step.operands.get(at).map_or(0, |id| self.graph.node(*id).ty.rank())
    }

    /// The operand is one matrix, the same for all rows.
    fn is_matrix(&self, step: &plan::Step, at: usize) -> bool {
        step.operands.get(at).is_some_and(|id| self.graph.node(*id).ty.rank() == 2)
    }

    /// A side is 0 where tokens are left out.
    fn is_masked(&self, step: &plan::Step, rank: usize) -> bool {
        self.attended.is_some()
            && step.operands.iter().any(|id| {
                let ty = &self.graph.node(*id).ty;
                let starts = ty.rank() == rank && ty.shape.starts_with(self.tokens);
                starts && origin(self.graph, *id, self.source) == self.attended
            })
    }
}
