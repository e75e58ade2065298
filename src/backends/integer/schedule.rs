//! The order of integer steps and of those that candle runs.

use super::program::{Program, Step};
use crate::{
    backends::candle::plan,
    graph::{Graph, NodeId},
};
use std::{
    collections::{BTreeSet, HashMap},
    ops::Range,
};

/// Steps that run one after the other, without others between them.
#[derive(Debug)]
pub(super) enum Part {
    /// Candle's.
    Float(Vec<plan::Step>),
    /// Integer steps, by position.
    Integer {
        steps: Range<usize>,
        /// Float values that nothing later needs.
        last_used: Vec<NodeId>,
    },
}

/// Brings the program's steps into the order in which they run, in as few parts as can be.
/// `None` where a step waits for itself.
pub(super) fn schedule(
    graph: &Graph,
    program: &mut Program,
    float: Vec<plan::Step>,
    source: impl Fn(NodeId) -> NodeId,
) -> Option<Vec<Part>> {
    let mut waiting = Waiting::new(program, &float);
    let mut parts = Vec::new();
    let mut ordered = Vec::new();
    let mut float = float;
    while !float.is_empty() || !program.steps.is_empty() {
        let (ready, rest): (Vec<_>, Vec<_>) = float.into_iter().partition(|step| waiting.take_float(step));
        float = rest;
        let start = ordered.len();
        let (now, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut program.steps).into_iter().partition(|step| waiting.take_step(step));
        program.steps = later;
        waiting.finish(&now, program);
        if ready.is_empty() && now.is_empty() {
            return None;
        }
        if !ready.is_empty() {
            parts.push(Part::Float(ready));
        }
        if !now.is_empty() {
            ordered.extend(now);
            parts.push(Part::Integer { steps: start..ordered.len(), last_used: Vec::new() });
        }
    }
    program.steps = ordered;
    let outputs: BTreeSet<NodeId> = graph.outputs.iter().map(|output| source(output.node)).collect();
    free_at_last_use(&mut parts, program, &outputs);
    Some(parts)
}

/// What is not there yet.
struct Waiting {
    values: BTreeSet<NodeId>,
    /// Float values that become buffers, by buffer.
    imports: HashMap<usize, NodeId>,
    /// Buffers that steps fill.
    buffers: BTreeSet<usize>,
}

impl Waiting {
    fn new(program: &Program, float: &[plan::Step]) -> Waiting {
        let made = float.iter().map(|step| step.node).chain(program.exports.iter().map(|(node, _)| *node));
        let filled = program.steps.iter().flat_map(|step| step.results.iter().map(|buffer| buffer.0));
        Waiting {
            values: made.collect(),
            imports: program.imports.iter().map(|(node, buffer)| (buffer.0, *node)).collect(),
            buffers: filled.collect(),
        }
    }

    /// Whether candle's step can be run now; then its value is there.
    fn take_float(&mut self, step: &plan::Step) -> bool {
        let ready = step.operands.iter().all(|operand| !self.values.contains(operand));
        if ready {
            self.values.remove(&step.node);
        }
        ready
    }

    /// Whether the step can be run now; then its buffers are filled.
    fn take_step(&mut self, step: &Step) -> bool {
        let is_there = |buffer: usize| match self.imports.get(&buffer) {
            Some(node) => !self.values.contains(node),
            None => !self.buffers.contains(&buffer),
        };
        let reads = step.work.reads().iter().all(|buffer| is_there(buffer.0));
        let ready = reads && step.work.values().iter().all(|value| !self.values.contains(value));
        if ready {
            step.results.iter().for_each(|buffer| {
                self.buffers.remove(&buffer.0);
            });
        }
        ready
    }

    /// Exports of steps that are done are there for candle.
    fn finish(&mut self, steps: &[Step], program: &Program) {
        for (node, buffer) in &program.exports {
            if steps.iter().any(|step| step.results.contains(buffer)) {
                self.values.remove(node);
            }
        }
    }
}

/// The float values that integer steps read.
fn read(program: &Program, steps: &Range<usize>) -> Vec<NodeId> {
    let mut read = Vec::new();
    for step in program.steps.get(steps.clone()).unwrap_or_default() {
        read.extend(step.work.values());
        for buffer in step.work.reads() {
            read.extend(program.imports.iter().filter(|(_, other)| *other == buffer).map(|(node, _)| *node));
        }
    }
    read
}

fn free_at_last_use(parts: &mut [Part], program: &Program, outputs: &BTreeSet<NodeId>) {
    let mut made: BTreeSet<NodeId> = program.exports.iter().map(|(node, _)| *node).collect();
    for part in parts.iter() {
        if let Part::Float(steps) = part {
            made.extend(steps.iter().map(|step| step.node));
        }
    }
    let mut used_later = outputs.clone();
    let mut is_last = |id: &NodeId| made.contains(id) && used_later.insert(*id);
    for part in parts.iter_mut().rev() {
        match part {
            Part::Float(steps) => {
                for step in steps.iter_mut().rev() {
                    step.last_used = step.operands.iter().copied().filter(&mut is_last).collect();
                }
            }
            Part::Integer { steps, last_used } => {
                *last_used = read(program, steps).into_iter().filter(&mut is_last).collect();
            }
        }
    }
}

impl Part {
    /// The integer steps, if it is of those.
    pub(super) fn steps(&self) -> Option<Range<usize>> {
        match self {
            Part::Float(_) => None,
            Part::Integer { steps, .. } => Some(steps.clone()),
        }
    }
}
