//! Runs a graph with candle, on a CPU or a CUDA device.

mod bind;
mod exact;
mod fuse;
mod inspect;
mod observe;
pub(super) mod plan;
pub(super) mod share;
mod tape;
#[cfg(test)]
mod tests;
mod variants;
mod weights;

pub use inspect::{Inspected, Inspector};
pub use tape::{Differentiable, Gradients, Pass};
pub use variants::{On, Variants};
pub(crate) use weights::{lay_out, only_multiplied, pack, plain};

use crate::{
    codes,
    diagnostic::{Diagnostic, Diagnostics},
    failure::Failure,
    graph::{Checked, Graph, Node, NodeId, NodeKind},
    ops::{
        Op, candle_dtype,
        kernels::{self, Finish},
    },
    types::Bindings,
};
use bind::bind;
use candle_core::{Device, Tensor};
use plan::{Choices, Exact, Plan, Step, Work};
use share::Ranges;
use std::collections::{BTreeMap, HashMap, HashSet};

/// A graph with its weights, ready to be called.
///
/// What depends on weights alone is computed once, when it is made.
pub struct Executor {
    graph: Checked,
    plan: Plan,
    /// Values that are the same in every call, by node.
    constants: Vec<Option<Tensor>>,
    device: Device,
}

/// Lets the process keep the memory that a run frees for the next one: forward
/// passes on a CPU then wait less for the system, most of all quantized ones. The
/// command line does it; a program of your own may, before it starts threads. Nothing
/// happens where the C library is not glibc.
pub fn keep_freed_memory() {
    kernels::keep_freed();
}

/// Is shown values: the quantizers, by position in [`Graph::quantizers`], that
/// would see a value, and the value.
pub type Observer<'a> = dyn FnMut(&[usize], &Tensor) -> Result<(), Failure> + 'a;

impl Executor {
    /// Puts `weights`, by state-dict path, under the graph's parameters.
    ///
    /// Weights are converted to the element types of the graph where that loses
    /// nothing. Fails where one is missing, has another shape or cannot be
    /// converted, or where the device fails.
    pub fn new(
        graph: Checked,
        weights: HashMap<String, Tensor>,
        device: &Device,
    ) -> Result<Executor, Failure> {
        Executor::watching(graph, weights, device, &[], Exact::Always)
    }

    /// The same, for [`inspect`](Executor::inspect): the values of quantizers are there to be
    /// shown and replaced.
    ///
    /// # Errors
    /// As [`Executor::new`].
    pub fn inspecting(
        graph: Checked,
        weights: HashMap<String, Tensor>,
        device: &Device,
    ) -> Result<Executor, Failure> {
        Executor::watching(graph, weights, device, &[], Exact::Switched)
    }

    /// The same, for [`observe`](Executor::observe): no step hides the values of
    /// [`Graph::attached`].
    ///
    /// # Errors
    /// As [`Executor::new`].
    pub fn observing(
        graph: Checked,
        weights: HashMap<String, Tensor>,
        device: &Device,
    ) -> Result<Executor, Failure> {
        let watched: Vec<NodeId> = graph.attached.iter().map(|(node, _)| *node).collect();
        Executor::watching(graph, weights, device, &watched, Exact::Always)
    }

    fn watching(
        graph: Checked,
        weights: HashMap<String, Tensor>,
        device: &Device,
        watched: &[NodeId],
        exact: Exact,
    ) -> Result<Executor, Failure> {
        let mut executor = Executor::unfolded(graph, weights, device, watched, true, exact)?;
        executor.fold()?;
        Ok(executor)
    }

    /// With the weights alone: nothing is computed yet. `share`: quantizers that do
    /// the same to one value are one.
    fn unfolded(
        graph: Checked,
        weights: HashMap<String, Tensor>,
        device: &Device,
        watched: &[NodeId],
        share: bool,
        exact: Exact,
    ) -> Result<Executor, Failure> {
        let ranges = share.then(|| Ranges::new(&graph, &weights));
        let exact = if device.is_cpu() { exact } else { Exact::Never };
        let choices = Choices { fused: device.is_cpu(), exact, watched, ranges, ..Choices::default() };
        let plan = Plan::new(&graph, choices);
        Executor::planned(graph, plan, weights, device, &HashSet::new())
    }

    /// With the weights alone, for a plan, and without those that change.
    pub(super) fn planned(
        graph: Checked,
        plan: Plan,
        mut weights: HashMap<String, Tensor>,
        device: &Device,
        changing: &HashSet<NodeId>,
    ) -> Result<Executor, Failure> {
        let mut constants = vec![None; graph.nodes.len()];
        for (id, node) in graph.iter().filter(|(id, _)| plan.is_live(*id)) {
            let value = match &node.kind {
                NodeKind::Parameter(_) if changing.contains(&id) => None,
                NodeKind::Parameter(parameter) => {
                    Some(weights::weight((id, node), &parameter.path, &mut weights, &plan, device)?)
                }
                NodeKind::Constant(value) => Some(constant(node, *value, device).map_err(outside)?),
                _ => None,
            };
            put(&mut constants, id, value);
        }
        Ok(Executor { graph, plan, constants, device: device.clone() })
    }

    /// The graph that it runs.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Some step needs the node's value.
    pub(super) fn uses(&self, node: NodeId) -> bool {
        self.plan.is_live(node)
    }

    /// The shapes of these tensors are ones that the graph was made for.
    pub fn accepts(&self, inputs: &BTreeMap<String, Tensor>) -> bool {
        bind::fits(&self.graph, inputs)
    }

    /// Computes the outputs from the inputs, by their names.
    ///
    /// Symbolic sizes are those of the given tensors. Fails where a tensor is
    /// missing, is no input, or does not fit, where a `require` does not hold, and
    /// where an operator cannot work on the values it meets; each with its place in
    /// the spec.
    pub fn run(&self, inputs: &BTreeMap<String, Tensor>) -> Result<BTreeMap<String, Tensor>, Failure> {
        // On a thread of rayon's, whose loops share work out without waiting for one another.
        rayon::scope(|_| {
            let (mut values, dims) = self.start(inputs)?;
            for step in &self.plan.steps {
                self.step(step, &mut values, &dims)?;
            }
            self.outputs(&values)
        })
    }

    /// The values before the first step, and the sizes of the call.
    pub(super) fn start(
        &self,
        inputs: &BTreeMap<String, Tensor>,
    ) -> Result<(Vec<Option<Tensor>>, Bindings), Failure> {
        let (given, dims) = bind(&self.graph, inputs, &self.device)?;
        self.check(&dims)?;
        let mut values = self.constants.clone();
        for (id, tensor) in given {
            put(&mut values, id, Some(tensor));
        }
        Ok((values, dims))
    }

    /// Runs one step, and frees what no later one needs.
    pub(super) fn step(
        &self,
        step: &Step,
        values: &mut [Option<Tensor>],
        dims: &Bindings,
    ) -> Result<(), Failure> {
        let node = self.graph.node(step.node);
        let value = |id: &NodeId| at(values, *id).cloned();
        let value = self.evaluate(step, value, dims).map_err(|error| fault(node, &error))?;
        for id in &step.last_used {
            put(values, *id, None);
        }
        put(values, step.node, Some(value));
        Ok(())
    }

    /// The value of a step from those of its operands.
    pub(super) fn evaluate(
        &self,
        step: &Step,
        value: impl Fn(&NodeId) -> Option<Tensor>,
        dims: &Bindings,
    ) -> candle_core::Result<Tensor> {
        let node = self.graph.node(step.node);
        let operands = step
            .operands
            .iter()
            .map(|id| value(id).ok_or_else(|| missing(self.graph.node(*id))))
            .collect::<candle_core::Result<Vec<_>>>()?;
        match &node.kind {
            NodeKind::Op(op) => {
                let is_packed = self.plan.is_packed(step.node);
                if let [given] = operands.as_slice()
                    && is_packed
                    && given.rank() == 3
                    && step.operands.iter().all(|id| self.plan.takes_packed(*id))
                {
                    return Ok(given.clone());
                }
                let value = self.work(step, op, &operands, dims)?.to_device(&self.device)?;
                if is_packed { kernels::pack(&value) } else { Ok(value) }
            }
            _ => operands.into_iter().next().ok_or_else(|| missing(node)),
        }
    }

    fn work(
        &self,
        step: &Step,
        op: &Op,
        operands: &[Tensor],
        dims: &Bindings,
    ) -> candle_core::Result<Tensor> {
        match (step.work, operands) {
            (Work::Linear { gelu }, [lhs, rhs, bias]) => {
                let finish = Finish { bias: Some(bias), gelu, ..Finish::default() };
                kernels::matmul(lhs, step.right(rhs), finish)
            }
            (Work::Operator, [lhs, rhs]) if step.packed.is_some() => {
                kernels::matmul(lhs, step.right(rhs), Finish::default())
            }
            (Work::AddNorm { eps }, [x, other, weight, bias]) => kernels::layer_norm(
                &x.contiguous()?,
                Some(&other.contiguous()?),
                [&weight.contiguous()?, &bias.contiguous()?],
                eps,
            ),
            (Work::MaskedSoftmax { divisor }, [scores, mask]) => {
                kernels::masked_softmax(&scores.contiguous()?, divisor, mask)
            }
            (Work::Codes, [x, amax]) => match op {
                Op::FakeQuantize(quantize) => quantize.encode(x, amax),
                _ => Err(candle_core::Error::Msg("only a fake quantizer makes codes".to_owned())),
            },
            (Work::Product(product), operands) => product.of(&self.graph, step, operands),
            _ => op.semantics().eval(operands, dims),
        }
    }

    /// Computes what depends on weights and numbers alone, and forgets what only
    /// that needed.
    pub(super) fn fold(&mut self) -> Result<(), Failure> {
        let mut constants = std::mem::take(&mut self.constants);
        for step in std::mem::take(&mut self.plan.constant) {
            self.step(&step, &mut constants, &Bindings::new())?;
        }
        self.constants = constants;
        Ok(())
    }

    fn check(&self, dims: &Bindings) -> Result<(), Failure> {
        let mut diagnostics = Diagnostics::default();
        for check in &self.graph.checks {
            let sides = check.left.evaluate(dims).zip(check.right.evaluate(dims));
            if !sides.is_some_and(|(left, right)| holds(left, check.comparison, right)) {
                diagnostics.push(Diagnostic::error(
                    codes::CALL_REQUIRE,
                    check.span,
                    with_sizes(&check.message, dims),
                ));
            }
        }
        if diagnostics.is_empty() { Ok(()) } else { Err(Failure::Diagnostics(diagnostics)) }
    }

    fn outputs(&self, values: &[Option<Tensor>]) -> Result<BTreeMap<String, Tensor>, Failure> {
        self.outputs_of(|id| at(values, *id).cloned())
    }

    pub(super) fn outputs_of(
        &self,
        value: impl Fn(&NodeId) -> Option<Tensor>,
    ) -> Result<BTreeMap<String, Tensor>, Failure> {
        let value = |id: NodeId| {
            let id = self.plan.source(id);
            let value = value(&id);
            let node = self.graph.node(id);
            value
                .ok_or_else(|| missing(node))
                .and_then(|value| value.contiguous())
                .map_err(|e| fault(node, &e))
        };
        self.graph.outputs.iter().map(|output| Ok((output.name.clone(), value(output.node)?))).collect()
    }
}

/// The value of a node, if it has one.
pub(super) fn at(values: &[Option<Tensor>], id: NodeId) -> Option<&Tensor> {
    values.get(id.index())?.as_ref()
}

/// Gives a node a value, or takes it away.
pub(super) fn put(values: &mut [Option<Tensor>], id: NodeId, value: Option<Tensor>) {
    if let Some(slot) = values.get_mut(id.index()) {
        *slot = value;
    }
}

fn constant(node: &Node, value: f64, device: &Device) -> candle_core::Result<Tensor> {
    Tensor::new(value, device)?.to_dtype(candle_dtype(node.ty.dtype))
}

/// A step came before one that it needs; [`Graph::nodes`] is not in order.
pub(super) fn missing(node: &Node) -> candle_core::Error {
    candle_core::Error::Msg(format!("`{}` has no value yet", node.name))
}

pub(super) fn outside(error: candle_core::Error) -> Failure {
    Failure::outside(describe(&error))
}

/// An operator failed: where, and why.
pub(super) fn fault(node: &Node, error: &candle_core::Error) -> Failure {
    let mut diagnostics = Diagnostics::default();
    let message = format!("`{}` cannot be computed: {}", node.name, describe(error));
    diagnostics.push(Diagnostic::error(codes::EVALUATION, node.span, message));
    Failure::Diagnostics(diagnostics)
}

/// The error without a trace of calls.
fn describe(error: &candle_core::Error) -> String {
    match error {
        candle_core::Error::WithBacktrace { inner, .. } => describe(inner),
        error => error.to_string(),
    }
}

fn holds(left: i64, comparison: &str, right: i64) -> bool {
    match comparison {
        "==" => left == right,
        "!=" => left != right,
        "<" => left < right,
        "<=" => left <= right,
        ">" => left > right,
        ">=" => left >= right,
        _ => false,
    }
}

/// The message with sizes in place of `{name}` and of sums such as `{past + seq}`.
fn with_sizes(message: &str, dims: &Bindings) -> String {
    let mut text = String::new();
    let mut rest = message;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((inside, behind)) = after.split_once('}') else { break };
        text.push_str(before);
        text.push_str(&sum(inside, dims).map_or_else(|| inside.to_owned(), |sum| sum.to_string()));
        rest = behind;
    }
    text + rest
}

/// A sum or difference of symbols and numbers.
fn sum(text: &str, dims: &Bindings) -> Option<i64> {
    let mut total: i64 = 0;
    let mut sign = 1;
    for word in text.split_whitespace() {
        match word {
            "+" => sign = 1,
            "-" => sign = -1,
            word => {
                let size = word.parse().ok().or_else(|| dims.get(word).copied())?;
                total = total.checked_add(sign * size)?;
            }
        }
    }
    Some(total)
}
