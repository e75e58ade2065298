//! A graph to a [`Program`]: what is wanted is made, from the outputs back.
//!
//! A value is wanted in float, or as codes. Where a pattern ends in it, a fused step makes
//! it; where none does, candle computes it in float, and it is quantized if codes are
//! wanted. So whatever a recipe leaves in float, or no pattern knows, runs in float.

mod attention;
mod linear;
mod norm;
mod operand;

use super::program::{Buffer, BufferId, Form, Place, Program, Step, Work};
use crate::{
    backends::candle::plan::Plan,
    checkpoint::{Matrices, Tables},
    graph::{Graph, Node, NodeId, NodeKind},
    ops::{
        Op,
        kernels::integer::{Matrix, Quantizer},
    },
};
use candle_core::Tensor;
use operand::Key;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

/// Weights packed for products, and tables that stay in their file: those of one checkpoint, for
/// all its graphs.
#[derive(Debug, Default)]
pub struct Packed {
    made: HashMap<Key, Arc<Matrix>>,
    /// Those that the checkpoint has packed, by state-dict path.
    stored: Matrices,
    /// Tables that stay in the checkpoint's file, by state-dict path.
    tables: Tables,
}

impl Packed {
    /// Forgets what was made of weights or ranges, because they have changed.
    pub fn clear(&mut self) {
        self.made.clear();
    }

    /// Takes weights that the checkpoint has packed.
    pub(crate) fn store(&mut self, stored: Matrices) {
        self.stored.extend(stored);
    }

    /// Takes tables that stay in the checkpoint's file.
    pub(crate) fn store_tables(&mut self, tables: Tables) {
        self.tables.extend(tables);
    }

    /// The table at this path stays in the checkpoint's file.
    pub(crate) fn has_table(&self, path: &str) -> bool {
        self.tables.contains_key(path)
    }

    /// The checkpoint has this tensor packed.
    pub(crate) fn is_stored(&self, path: &str) -> bool {
        self.stored.contains_key(path)
    }

    /// Those that can stand for their tensors, by state-dict path: made of one that has a row
    /// for each output, and only once.
    pub(crate) fn by_path(&self) -> Matrices {
        let mut found = Matrices::new();
        let mut others: BTreeSet<&str> = BTreeSet::new();
        for (Key { path, is_turned, .. }, matrix) in &self.made {
            if !is_turned || found.insert(path.clone(), Arc::clone(matrix)).is_some() {
                others.insert(path);
            }
        }
        found.retain(|path, _| !others.contains(path.as_str()));
        found
    }
}

/// A graph in two parts.
#[derive(Debug, Default)]
pub(super) struct Lowered {
    pub(super) program: Program,
    /// Values that candle is to compute, besides outputs that it computes.
    pub(super) ends: BTreeSet<NodeId>,
    /// Why products that have two fake-quantized sides are not made of codes, by node.
    pub(super) reasons: BTreeMap<NodeId, String>,
}

/// Lowers the graph. `plan` says which nodes have the same values.
pub(super) fn lower(
    graph: &Graph,
    plan: &Plan,
    weights: &HashMap<String, Tensor>,
    packed: &mut Packed,
) -> candle_core::Result<Lowered> {
    let mut lowering = Lowering {
        graph,
        plan,
        weights,
        packed,
        uses: uses(graph, plan),
        steps: BTreeMap::new(),
        kept: HashMap::new(),
        waiting: Vec::new(),
        lowered: Lowered::default(),
        seen: BTreeSet::new(),
    };
    for output in &graph.outputs {
        lowering.want_float(plan.source(output.node))?;
    }
    while let Some(want) = lowering.waiting.pop() {
        lowering.make(want)?;
    }
    let mut lowered = lowering.lowered;
    lowered.program.steps = lowering.steps.into_values().collect();
    Ok(lowered)
}

/// Parameters of which only rows are read, by state-dict path.
pub(crate) fn only_gathered(graph: &Graph) -> BTreeSet<&str> {
    let mut others: BTreeSet<NodeId> = graph.outputs.iter().map(|output| output.node).collect();
    for (_, node) in graph.iter() {
        let is_gather = matches!(node.kind, NodeKind::Op(Op::Gather(_)));
        others.extend(node.operands.iter().skip(usize::from(is_gather)));
    }
    let parameters = graph.iter().filter_map(|(id, node)| match &node.kind {
        NodeKind::Parameter(parameter) if !others.contains(&id) => Some(parameter.path.as_str()),
        _ => None,
    });
    parameters.collect()
}

/// How many operands, and outputs, each value is.
fn uses(graph: &Graph, plan: &Plan) -> HashMap<NodeId, usize> {
    let mut uses = HashMap::new();
    let steps = plan.constant.iter().chain(&plan.steps).flat_map(|step| step.operands.iter().copied());
    let outputs = graph.outputs.iter().map(|output| plan.source(output.node));
    for id in steps.chain(outputs) {
        *uses.entry(id).or_default() += 1;
    }
    uses
}

/// A value that a step is to keep.
#[derive(Debug)]
struct Want {
    node: NodeId,
    buffer: BufferId,
}

struct Lowering<'a> {
    graph: &'a Graph,
    plan: &'a Plan,
    weights: &'a HashMap<String, Tensor>,
    packed: &'a mut Packed,
    uses: HashMap<NodeId, usize>,
    /// By the node that each ends in.
    steps: BTreeMap<NodeId, Step>,
    /// As what values are kept, and where.
    kept: HashMap<NodeId, Vec<(Form, BufferId)>>,
    waiting: Vec<Want>,
    lowered: Lowered,
    /// Float values that were looked at.
    seen: BTreeSet<NodeId>,
}

/// What a pattern found.
enum Pattern {
    Linear(linear::Found),
    Attention(Box<attention::Found>),
    AddNorm(norm::Found),
    Embedding(norm::Terms),
}

impl Lowering<'_> {
    /// Wants a value in float, for candle or as an output. Values that candle computes are
    /// followed back to those that steps make.
    fn want_float(&mut self, node: NodeId) -> candle_core::Result<()> {
        let mut waiting = vec![node];
        while let Some(id) = waiting.pop() {
            if !self.seen.insert(id) || !self.is_computed(id) {
                continue;
            }
            if self.pattern(id).is_some() {
                let buffer = self.keep(id, Form::Float);
                self.lowered.program.exports.push((id, buffer));
            } else {
                self.note_reason(id);
                waiting.extend(self.operands(id));
            }
        }
        Ok(())
    }

    /// Where a value is kept in this form; it is made later.
    fn keep(&mut self, node: NodeId, form: Form) -> BufferId {
        let known = self.kept.entry(node).or_default();
        if let Some((_, buffer)) = known.iter().find(|(kept, _)| *kept == form) {
            return *buffer;
        }
        let shape = &self.graph.node(node).ty.shape;
        let (columns, leading) = shape.split_last().map_or((1, &[][..]), |(last, leading)| {
            (last.as_known().and_then(|size| usize::try_from(size).ok()).unwrap_or(0), leading)
        });
        let buffers = &mut self.lowered.program.buffers;
        let buffer = BufferId(buffers.len());
        buffers.push(Buffer { leading: leading.to_vec(), columns, form });
        known.push((form, buffer));
        self.waiting.push(Want { node, buffer });
        buffer
    }

    /// Where the codes are kept that a fake quantizer makes of a value, in the value's order.
    fn codes(&mut self, node: NodeId, value: NodeId, quantizer: Quantizer) -> BufferId {
        let buffer = self.keep(value, Form::Codes(quantizer));
        self.lowered.program.codes.insert(node, Place::Whole(buffer));
        buffer
    }

    /// Sees to it that a step makes what is wanted.
    fn make(&mut self, want: Want) -> candle_core::Result<()> {
        let pattern = self.pattern(want.node);
        if pattern.is_some()
            && let Some(step) = self.steps.get_mut(&want.node)
        {
            step.results.push(want.buffer);
            return Ok(());
        }
        let work = match pattern {
            Some(Pattern::Linear(found)) => Work::Linear(self.linear(found)?),
            Some(Pattern::Attention(found)) => Work::Attention(Box::new(self.attention(want.node, *found)?)),
            Some(Pattern::AddNorm(found)) => Work::AddNorm(self.add_norm(found)?),
            Some(Pattern::Embedding(terms)) => Work::Embedding(self.embedding(terms)?),
            None => return self.import(want),
        };
        self.steps.insert(want.node, Step { node: want.node, work, results: vec![want.buffer] });
        Ok(())
    }

    /// Takes a value from candle.
    fn import(&mut self, want: Want) -> candle_core::Result<()> {
        self.lowered.ends.insert(want.node);
        self.want_float(want.node)?;
        match self.lowered.program.buffers.get(want.buffer.0).map(|buffer| buffer.form) {
            Some(Form::Codes(_)) => {
                let work = Work::Quantize(self.keep(want.node, Form::Float));
                let step = Step { node: want.node, work, results: Vec::new() };
                self.steps.entry(want.node).or_insert(step).results.push(want.buffer);
            }
            _ => self.lowered.program.imports.push((want.node, want.buffer)),
        }
        Ok(())
    }

    /// What ends in this value, if it is made of codes.
    fn pattern(&self, node: NodeId) -> Option<Pattern> {
        match self.op(node)? {
            Op::Matmul(_) | Op::Add(_) | Op::Gelu(_) => {
                self.find_linear(node).and_then(Result::ok).map(Pattern::Linear)
            }
            Op::Reshape(_) => {
                let found = self.find_attention(node).and_then(Result::ok)?;
                Some(Pattern::Attention(Box::new(found)))
            }
            Op::LayerNorm(_) => {
                let terms = self.find_embedding(node).map(Pattern::Embedding);
                terms.or_else(|| self.find_add_norm(node).map(Pattern::AddNorm))
            }
            _ => None,
        }
    }

    /// Why a product that could be of codes is not.
    fn note_reason(&mut self, node: NodeId) {
        if let Some(reason) = self.refusal(node) {
            self.lowered.reasons.insert(node, reason);
        }
    }

    fn refusal(&self, node: NodeId) -> Option<String> {
        let Some(Op::Matmul(_)) = self.op(node) else { return None };
        let sides = self.operands(node);
        let quantized = |id: &NodeId| self.is_quantized(*id);
        match sides.iter().filter(|side| quantized(side)).count() {
            2 => {}
            1 => return Some("one side is not quantized".to_owned()),
            _ => return None,
        }
        if let Some(Err(reason)) = self.find_linear(node) {
            return Some(reason);
        }
        Some("it is not part of an attention that is known".to_owned())
    }

    /// The value is that of a fake quantizer, or one turned.
    fn is_quantized(&self, id: NodeId) -> bool {
        let is_one = |id| matches!(self.op(id), Some(Op::FakeQuantize(_)));
        let turned = || matches!(self.op(id), Some(Op::Transpose(_))).then(|| self.operand(id, 0)).flatten();
        is_one(id) || turned().is_some_and(is_one)
    }

    // The graph, looked at through what does not change values.

    fn node(&self, id: NodeId) -> &Node {
        self.graph.node(id)
    }

    fn op(&self, id: NodeId) -> Option<&Op> {
        match &self.node(id).kind {
            NodeKind::Op(op) => Some(op),
            _ => None,
        }
    }

    fn operands(&self, id: NodeId) -> Vec<NodeId> {
        self.node(id).operands.iter().map(|operand| self.plan.source(*operand)).collect()
    }

    fn operand(&self, id: NodeId, at: usize) -> Option<NodeId> {
        self.node(id).operands.get(at).map(|operand| self.plan.source(*operand))
    }

    /// The two operands of an operator that has two.
    fn pair(&self, id: NodeId) -> Option<[NodeId; 2]> {
        <[NodeId; 2]>::try_from(self.operands(id).as_slice()).ok()
    }

    /// Nothing else needs the value.
    fn is_only_here(&self, id: NodeId) -> bool {
        self.uses.get(&id) == Some(&1)
    }

    /// The value differs from call to call, and is not given.
    fn is_computed(&self, id: NodeId) -> bool {
        self.op(id).is_some() && self.plan.steps.binary_search_by_key(&id, |step| step.node).is_ok()
    }

    /// The number that a node is.
    fn constant(&self, id: NodeId) -> Option<f64> {
        match self.node(id).kind {
            NodeKind::Constant(value) => Some(value),
            _ => None,
        }
    }

    /// A tensor of the checkpoint.
    fn parameter(&self, id: NodeId) -> Option<&Tensor> {
        match &self.node(id).kind {
            NodeKind::Parameter(parameter) => self.weights.get(&parameter.path),
            _ => None,
        }
    }

    /// The numbers of a tensor of the checkpoint with one axis of this size.
    fn vector(&self, id: NodeId, size: usize) -> Option<Vec<f32>> {
        let tensor = self.parameter(id).filter(|tensor| tensor.dims() == [size])?;
        let numbers: Vec<f32> = tensor.to_dtype(candle_core::DType::F32).ok()?.to_vec1().ok()?;
        // What is not finite is shown by the simulation; codes would hide it.
        numbers.iter().all(|number| number.is_finite()).then_some(numbers)
    }
}
