//! One model with other quantizers switched on, many times over.
//!
//! What variants have in common is computed once: a run forks at the first step
//! where they differ.

use super::{Executor, fault, missing, plan::Exact};
use crate::{
    failure::Failure,
    graph::{Checked, Graph, NodeId},
    types::Bindings,
};
use candle_core::{Device, Tensor};
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, HashMap},
};

/// The quantizers that are on, by position in [`Graph::quantizers`].
pub type On = BTreeSet<usize>;

/// A quantized graph with its weights, whose quantizers can be switched.
pub struct Variants {
    executor: Executor,
    /// The quantizer of each fake-quantize node.
    quantizers: HashMap<NodeId, usize>,
    /// By node, for what is the same in every call: the quantizers that it depends on.
    depends: HashMap<NodeId, On>,
    /// What of a call's steps is computed once, by node and the quantizers that are on.
    folded: RefCell<HashMap<(NodeId, On), Tensor>>,
}

/// Variants that are alike so far.
#[derive(Clone)]
struct Fork<'v> {
    values: Vec<Option<Tensor>>,
    /// Positions among the variants asked for, and what is on in each.
    members: Vec<(usize, &'v On)>,
    /// The step that comes next.
    next: usize,
}

/// The outputs of one variant, by name.
pub type Outputs = BTreeMap<String, Tensor>;

impl Variants {
    /// Puts `weights`, by state-dict path, under the graph's parameters.
    ///
    /// # Errors
    /// As [`Executor::new`].
    pub fn new(
        graph: Checked,
        weights: HashMap<String, Tensor>,
        device: &Device,
    ) -> Result<Variants, Failure> {
        let executor = Executor::unfolded(graph, weights, device, &[], false, Exact::Switched)?;
        let quantizers: HashMap<NodeId, usize> = executor.graph.attached.iter().copied().collect();
        let mut depends: HashMap<NodeId, On> = HashMap::new();
        for step in &executor.plan.constant {
            let mut on: On = quantizers.get(&step.node).copied().into_iter().collect();
            on.extend(step.operands.iter().filter_map(|id| depends.get(id)).flatten());
            depends.insert(step.node, on);
        }
        Ok(Variants { executor, quantizers, depends, folded: RefCell::default() })
    }

    /// The graph, with every quantizer.
    pub fn graph(&self) -> &Graph {
        self.executor.graph()
    }

    /// The shapes of these tensors are ones that the graph was made for.
    pub fn accepts(&self, inputs: &BTreeMap<String, Tensor>) -> bool {
        self.executor.accepts(inputs)
    }

    /// The outputs of each variant, in order.
    ///
    /// # Errors
    /// As [`Executor::run`].
    pub fn run(&self, inputs: &BTreeMap<String, Tensor>, variants: &[On]) -> Result<Vec<Outputs>, Failure> {
        let (values, dims) = self.executor.start(inputs)?;
        let members = variants.iter().enumerate().collect();
        let mut outputs = vec![Outputs::new(); variants.len()];
        // The last fork is taken first, so that few are held at a time.
        let mut waiting = vec![Fork { values, members, next: 0 }];
        while let Some(fork) = waiting.pop() {
            let Some((mut fork, others)) = self.split(fork) else { continue };
            waiting.extend(others);
            if fork.next < self.executor.plan.steps.len() {
                self.step(&mut fork, &dims)?;
                waiting.push(fork);
            } else {
                self.finish(&fork, &mut outputs)?;
            }
        }
        Ok(outputs)
    }

    /// The variants that take the next step alike, and those that take it otherwise.
    fn split<'v>(&self, fork: Fork<'v>) -> Option<(Fork<'v>, Vec<Fork<'v>>)> {
        let Some(step) = self.executor.plan.steps.get(fork.next) else { return Some((fork, Vec::new())) };
        let matters: On = std::iter::once(&step.node)
            .filter_map(|id| self.quantizers.get(id))
            .chain(step.operands.iter().filter_map(|id| self.depends.get(id)).flatten())
            .copied()
            .collect();
        if matters.is_empty() || fork.members.len() == 1 {
            return Some((fork, Vec::new()));
        }
        let mut groups: BTreeMap<Vec<usize>, Vec<(usize, &'v On)>> = BTreeMap::new();
        for (position, on) in &fork.members {
            groups.entry(matters.intersection(on).copied().collect()).or_default().push((*position, on));
        }
        let mut groups: Vec<_> = groups.into_values().collect();
        // The smallest is run to its end first.
        groups.sort_by_key(Vec::len);
        let mut forks =
            groups.into_iter().map(|members| Fork { values: fork.values.clone(), members, next: fork.next });
        let first = forks.next()?;
        Some((first, forks.rev().collect()))
    }

    /// Takes the next step.
    fn step(&self, fork: &mut Fork<'_>, dims: &Bindings) -> Result<(), Failure> {
        let Some(step) = self.executor.plan.steps.get(fork.next) else { return Ok(()) };
        let Some((_, on)) = fork.members.first() else { return Ok(()) };
        let node = self.executor.graph.node(step.node);
        self.fold(&step.operands, on)?;
        let value = {
            let value = |id: &NodeId| self.value(*id, &fork.values, on);
            match self.quantizers.get(&step.node) {
                Some(quantizer) if !on.contains(quantizer) => {
                    step.operands.first().and_then(value).ok_or_else(|| missing(node))
                }
                _ => {
                    let is_on = |id| self.quantizers.get(&id).is_none_or(|at| on.contains(at));
                    self.executor.evaluate(&step.switched(is_on), value, dims)
                }
            }
        };
        let value = value.map_err(|error| fault(node, &error))?;
        for id in &step.last_used {
            if let Some(slot) = fork.values.get_mut(id.index()) {
                *slot = None;
            }
        }
        if let Some(slot) = fork.values.get_mut(step.node.index()) {
            *slot = Some(value);
        }
        fork.next += 1;
        Ok(())
    }

    fn finish(&self, fork: &Fork<'_>, outputs: &mut [Outputs]) -> Result<(), Failure> {
        for (position, on) in &fork.members {
            let ends: Vec<NodeId> = self.graph().outputs.iter().map(|output| output.node).collect();
            self.fold(&ends, on)?;
            let made = self.executor.outputs_of(|id| self.value(*id, &fork.values, on))?;
            if let Some(slot) = outputs.get_mut(*position) {
                *slot = made;
            }
        }
        Ok(())
    }

    /// A value of the run, or what is computed once.
    fn value(&self, id: NodeId, values: &[Option<Tensor>], on: &On) -> Option<Tensor> {
        let of_run = values.get(id.index()).cloned().flatten();
        of_run.or_else(|| self.folded.borrow().get(&self.key(id, on)?).cloned())
    }

    /// Under which a value that is computed once is kept; `None` where it is none.
    fn key(&self, id: NodeId, on: &On) -> Option<(NodeId, On)> {
        let depends = self.depends.get(&id)?;
        Some((id, depends.intersection(on).copied().collect()))
    }

    /// Computes once what these nodes are the same in every call, if they are.
    fn fold(&self, nodes: &[NodeId], on: &On) -> Result<(), Failure> {
        for id in nodes {
            let Some(key) = self.key(*id, on) else { continue };
            if !self.folded.borrow().contains_key(&key) {
                let value = self.constant(*id, on)?;
                self.folded.borrow_mut().insert(key, value);
            }
        }
        Ok(())
    }

    /// The value of a node that depends on weights alone.
    fn constant(&self, id: NodeId, on: &On) -> Result<Tensor, Failure> {
        let node = self.executor.graph.node(id);
        let failed = |error: candle_core::Error| fault(node, &error);
        let steps = &self.executor.plan.constant;
        let Ok(at) = steps.binary_search_by_key(&id, |step| step.node) else {
            let weight = self.executor.constants.get(id.index()).cloned().flatten();
            return weight.ok_or_else(|| failed(missing(node)));
        };
        let Some(step) = steps.get(at) else { return Err(failed(missing(node))) };
        let is_off = self.quantizers.get(&id).is_some_and(|quantizer| !on.contains(quantizer));
        let needed = if is_off { 1 } else { usize::MAX };
        let mut operands = HashMap::new();
        for operand in step.operands.iter().take(needed) {
            operands.insert(*operand, self.constant(*operand, on)?);
        }
        if is_off {
            return operands.into_values().next().ok_or_else(|| failed(missing(node)));
        }
        let value = |id: &NodeId| operands.get(id).cloned();
        self.executor.evaluate(step, value, &Bindings::new()).map_err(failed)
    }
}
