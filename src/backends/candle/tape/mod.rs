//! Passes whose gradients can be had.
//!
//! A pass runs the steps of a plan with the same loops as any call and keeps their
//! values. Its gradients follow from these, step by step from the last to the first.

mod backward;
mod gradients;

pub use gradients::Gradients;

use super::{Choices, Executor, Plan, Ranges, at, fault, missing, outside, put};
use crate::{
    failure::Failure,
    graph::{Checked, Graph, NodeId, NodeKind},
    ops::{Op, kernels},
    types::Bindings,
};
use candle_core::{DType, Device, Tensor};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

/// A graph with parameters that change, ready for passes.
pub struct Differentiable {
    executor: Executor,
    parameters: Vec<Parameter>,
}

/// A weight that changes.
struct Parameter {
    node: NodeId,
    path: String,
    /// f32, whatever the graph computes in.
    value: Tensor,
}

/// One pass, its values kept.
pub struct Pass {
    model: Arc<Differentiable>,
    values: Vec<Option<Tensor>>,
    dims: Bindings,
    dropout: Option<u64>,
    outputs: BTreeMap<String, Tensor>,
}

impl Differentiable {
    /// The same as [`Executor::new`], where `trained` are the paths of weights that are
    /// read at each pass, for they change in place. They are f32.
    ///
    /// # Errors
    /// As [`Executor::new`].
    pub fn new(
        graph: Checked,
        mut weights: HashMap<String, Tensor>,
        trained: &BTreeSet<String>,
        device: &Device,
    ) -> Result<Arc<Differentiable>, Failure> {
        let trained: HashMap<String, Tensor> =
            trained.iter().filter_map(|path| weights.remove_entry(path)).collect();
        let parameters: Vec<Parameter> = graph
            .iter()
            .filter_map(|(node, held)| {
                let NodeKind::Parameter(parameter) = &held.kind else { return None };
                let value = trained.get(&parameter.path)?.clone();
                Some(Parameter { node, path: parameter.path.clone(), value })
            })
            .collect();
        let nodes: HashSet<NodeId> = parameters.iter().map(|parameter| parameter.node).collect();
        let ranges = Some(Ranges::new(&graph, &weights));
        let choices = Choices { fused: device.is_cpu(), ranges, trained: Some(&nodes), ..Choices::default() };
        let plan = Plan::new(&graph, choices);
        let mut executor = Executor::planned(graph, plan, weights, device, &nodes)?;
        executor.fold()?;
        Ok(Arc::new(Differentiable { executor, parameters }))
    }

    /// The shapes of these tensors are ones that the graph was made for.
    pub fn accepts(&self, inputs: &BTreeMap<String, Tensor>) -> bool {
        self.executor.accepts(inputs)
    }

    /// The graph that it runs.
    pub fn graph(&self) -> &Graph {
        self.executor.graph()
    }

    /// Computes the outputs from the inputs with the parameters as they are now, and keeps
    /// what gradients follow from. `dropout`: what the numbers that are dropped follow from;
    /// without it none is.
    ///
    /// # Errors
    /// As [`Executor::run`].
    pub fn forward(
        self: &Arc<Self>,
        inputs: &BTreeMap<String, Tensor>,
        dropout: Option<u64>,
    ) -> Result<Pass, Failure> {
        let executor = &self.executor;
        let (mut values, dims) = executor.start(inputs)?;
        for parameter in &self.parameters {
            let dtype = crate::ops::candle_dtype(executor.graph.node(parameter.node).ty.dtype);
            put(&mut values, parameter.node, Some(parameter.value.to_dtype(dtype).map_err(outside)?));
        }
        for step in &executor.plan.steps {
            let node = executor.graph.node(step.node);
            let value = match (&node.kind, dropout) {
                (NodeKind::Op(Op::Dropout(drop)), Some(seed)) => step
                    .operands
                    .first()
                    .and_then(|x| at(&values, *x))
                    .ok_or_else(|| missing(node))
                    .and_then(|x| kernels::dropout(x, drop.p, seed, step.node.index() as u64)),
                _ => executor.evaluate(step, |id| at(&values, *id).cloned(), &dims),
            };
            put(&mut values, step.node, Some(value.map_err(|error| fault(node, &error))?));
        }
        let outputs = executor.outputs(&values)?;
        Ok(Pass { model: Arc::clone(self), values, dims, dropout, outputs })
    }
}

impl Pass {
    /// The outputs, by their names.
    pub fn outputs(&self) -> &BTreeMap<String, Tensor> {
        &self.outputs
    }

    /// The first value of the pass that holds an infinity or NaN, as a message names it.
    pub fn first_not_finite(&self) -> Option<String> {
        let executor = &self.model.executor;
        let wrong = executor.plan.steps.iter().find(|step| {
            let value = at(&self.values, step.node);
            value.is_some_and(|value| value.dtype().is_float() && !is_finite(value).unwrap_or(false))
        });
        wrong.map(|step| format!("`{}`", executor.graph.node(step.node).name))
    }
}

/// Every number is finite: then `0 · x` sums to 0.
fn is_finite(value: &Tensor) -> candle_core::Result<bool> {
    let zeros = (value.to_dtype(DType::F32)? * 0.0)?;
    Ok(zeros.sum_all()?.to_scalar::<f32>()? == 0.0)
}
