//! From the gradients of outputs to those of parameters.

use super::{Gradients, Pass};
use crate::{
    backends::candle::{
        at, fault, missing, outside,
        plan::{Step, Work, flag},
        put,
    },
    failure::Failure,
    graph::{NodeId, NodeKind},
    ops::{Backward, Matmul, Op, Operator, kernels, reduce_to},
};
use candle_core::{DType, Error, Result, Tensor};
use std::collections::BTreeMap;

impl Pass {
    /// Adds to `gradients` those of the sum of the products of outputs with `upstream`, of
    /// the outputs' names and shapes: with 1 for a loss, those of the loss.
    ///
    /// # Errors
    /// `upstream` does not fit the outputs, or the device fails.
    pub fn backward(
        mut self,
        upstream: &BTreeMap<String, Tensor>,
        gradients: &mut Gradients,
    ) -> std::result::Result<(), Failure> {
        let model = self.model.clone();
        let wanted = self.wanted(gradients);
        let mut found = self.seeds(upstream)?;
        for step in model.executor.plan.steps.iter().rev() {
            let Some(gradient) = found.get_mut(step.node.index()).and_then(Option::take) else { continue };
            if flag(&wanted, step.node) {
                let node = model.executor.graph.node(step.node);
                self.through(step, &gradient, &wanted, &mut found).map_err(|error| fault(node, &error))?;
            }
            // No earlier step needs it.
            put(&mut self.values, step.node, None);
        }
        for parameter in &model.parameters {
            let Some(gradient) = found.get_mut(parameter.node.index()).and_then(Option::take) else {
                continue;
            };
            if flag(&wanted, parameter.node) {
                let gradient = gradient.to_dtype(DType::F32).map_err(outside)?;
                gradients.add(&parameter.path, gradient).map_err(outside)?;
            }
        }
        Ok(())
    }

    /// By node: its value depends on a parameter whose gradient is wanted.
    fn wanted(&self, gradients: &Gradients) -> Vec<bool> {
        let executor = &self.model.executor;
        let mut wanted = vec![false; executor.graph.nodes.len()];
        for parameter in &self.model.parameters {
            if let Some(slot) = wanted.get_mut(parameter.node.index()) {
                *slot = !gradients.is_frozen(&parameter.path);
            }
        }
        for step in &executor.plan.steps {
            let depends = step.operands.iter().any(|id| flag(&wanted, *id));
            let float = executor.graph.node(step.node).ty.dtype.is_float();
            if let Some(slot) = wanted.get_mut(step.node.index()) {
                *slot = depends && float;
            }
        }
        wanted
    }

    /// The gradients of the outputs, by node.
    fn seeds(
        &self,
        upstream: &BTreeMap<String, Tensor>,
    ) -> std::result::Result<Vec<Option<Tensor>>, Failure> {
        let executor = &self.model.executor;
        let mut found = vec![None; executor.graph.nodes.len()];
        for (name, gradient) in upstream {
            let output = executor.graph.outputs.iter().find(|output| output.name == *name);
            let output = output.ok_or_else(|| Failure::input(format!("there is no output `{name}`")))?;
            let node = executor.plan.source(output.node);
            let value = at(&self.values, node);
            let value = value.ok_or_else(|| outside(missing(executor.graph.node(node))))?;
            if value.dims() != gradient.dims() {
                let message = format!(
                    "the gradient of `{name}` is {:?}, but the output is {:?}",
                    gradient.dims(),
                    value.dims()
                );
                return Err(Failure::input(message));
            }
            let gradient = gradient.to_dtype(value.dtype()).map_err(outside)?;
            join(&mut found, node, gradient).map_err(outside)?;
        }
        Ok(found)
    }

    /// Adds the gradients of a step's operands to those found.
    fn through(
        &self,
        step: &Step,
        upstream: &Tensor,
        wanted: &[bool],
        found: &mut [Option<Tensor>],
    ) -> Result<()> {
        let graph = &self.model.executor.graph;
        let value = |id: &NodeId| at(&self.values, *id).cloned().ok_or_else(|| missing(graph.node(*id)));
        let operands = step.operands.iter().map(value).collect::<Result<Vec<_>>>()?;
        let wanted: Vec<bool> = step.operands.iter().map(|id| flag(wanted, *id)).collect();
        let result = value(&step.node)?;
        let backward =
            Backward { operands: &operands, result: &result, upstream, wanted: &wanted, dims: &self.dims };
        for (id, gradient) in step.operands.iter().zip(self.gradients(step, &backward)?) {
            if let Some(gradient) = gradient {
                join(found, *id, gradient)?;
            }
        }
        Ok(())
    }

    /// The gradients of a step's operands.
    fn gradients(&self, step: &Step, backward: &Backward<'_>) -> Result<Vec<Option<Tensor>>> {
        let NodeKind::Op(op) = &self.model.executor.graph.node(step.node).kind else {
            return Ok(vec![Some(backward.upstream.clone())]);
        };
        match (step.work, op, self.dropout) {
            (Work::Operator, Op::Dropout(drop), Some(seed)) => {
                let place = step.node.index() as u64;
                Ok(vec![backward.wanted(0, || kernels::dropout(backward.upstream, drop.p, seed, place))?])
            }
            (Work::Operator, op, _) => op.semantics().gradients(backward),
            (Work::Linear { gelu: false }, ..) => linear(backward),
            (Work::Linear { gelu: true }, ..) => Err(Error::Msg("it is joined with a GELU".to_owned())),
            (Work::Codes | Work::Product(_), ..) => Err(Error::Msg("codes have no gradient".to_owned())),
            (Work::AddNorm { eps }, ..) => add_norm(backward, eps),
            (Work::MaskedSoftmax { divisor }, ..) => masked_softmax(backward, divisor),
        }
    }
}

/// Adds to the gradient of a value.
fn join(found: &mut [Option<Tensor>], node: NodeId, gradient: Tensor) -> Result<()> {
    let Some(slot) = found.get_mut(node.index()) else { return Ok(()) };
    *slot = Some(match slot.take() {
        Some(held) => kernels::add(&held, &gradient)?,
        None => gradient,
    });
    Ok(())
}

fn linear(backward: &Backward<'_>) -> Result<Vec<Option<Tensor>>> {
    let (operands, wanted) = (backward.operands, backward.wanted);
    let product = Backward {
        operands: operands.get(..2).unwrap_or_default(),
        wanted: wanted.get(..2).unwrap_or_default(),
        ..*backward
    };
    let mut gradients = Matmul {}.gradients(&product)?;
    gradients.push(backward.wanted(2, || kernels::column_sums(&backward.upstream.contiguous()?))?);
    Ok(gradients)
}

fn add_norm(backward: &Backward<'_>, eps: f32) -> Result<Vec<Option<Tensor>>> {
    let [x, other, weight, _] = backward.operands else {
        return Err(Error::Msg("a sum's layer norm has four operands".to_owned()));
    };
    let [x, other, weight] = [x.contiguous()?, other.contiguous()?, weight.contiguous()?];
    let upstream = backward.upstream.contiguous()?;
    let [of_sum, of_weight, of_bias] =
        kernels::layer_norm_gradients(&x, Some(&other), &weight, &upstream, eps)?;
    let gradients = [of_sum.clone(), of_sum, of_weight, of_bias];
    let wanted = backward.wanted.iter();
    Ok(gradients.into_iter().zip(wanted).map(|(gradient, wanted)| wanted.then_some(gradient)).collect())
}

fn masked_softmax(backward: &Backward<'_>, divisor: f32) -> Result<Vec<Option<Tensor>>> {
    let upstream = backward.upstream.contiguous()?;
    let of_scores = backward.wanted(0, || kernels::softmax_gradient(backward.result, &upstream, divisor))?;
    let of_mask = backward.wanted(1, || {
        let mask = backward.operands.get(1).map(Tensor::dims).unwrap_or_default();
        reduce_to(&kernels::softmax_gradient(backward.result, &upstream, 1.0)?, mask)
    })?;
    Ok(vec![of_scores, of_mask])
}
