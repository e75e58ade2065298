//! A run whose quantizers are shown as they work, and whose results may be replaced.

use super::{
    Executor,
    plan::{Step, Work},
};
use crate::{
    failure::Failure,
    graph::{NodeId, NodeKind, Quantizer},
    types::Bindings,
};
use candle_core::Tensor;
use std::collections::{BTreeMap, HashMap, HashSet};

/// A quantizer at work on a value that depends on the inputs.
#[derive(Debug)]
pub struct Inspected<'a> {
    /// The names of the fake quantizers: several, where they do the same to one value.
    pub names: Vec<&'a str>,
    /// The name of the value that they see: that of an output, if it is one.
    pub of: &'a str,
    /// What they do.
    pub quantizer: &'a Quantizer,
    /// Its range as the graph has it; 0 where it is measured at every call.
    pub range: &'a Tensor,
    /// What they see.
    pub input: &'a Tensor,
    /// What they make of it.
    pub output: &'a Tensor,
}

/// Is shown quantizers at work, in the graph's order. Gives what to go on with in place of their result.
pub type Inspector<'a> = dyn FnMut(&Inspected<'_>) -> Result<Option<Tensor>, Failure> + 'a;

impl Executor {
    /// Computes the outputs, and shows the inspector every quantizer of a value that depends on the inputs.
    /// The executor is one of [`inspecting`](Executor::inspecting).
    ///
    /// # Errors
    /// As [`run`](Executor::run), and what the inspector says.
    pub fn inspect(
        &self,
        inputs: &BTreeMap<String, Tensor>,
        inspector: &mut Inspector<'_>,
    ) -> Result<BTreeMap<String, Tensor>, Failure> {
        if self.plan.steps.iter().any(|step| step.work == Work::Codes) {
            return Err(Failure::outside("this executor was not made to be inspected"));
        }
        let mut quantizers: HashMap<NodeId, Vec<(NodeId, usize)>> = HashMap::new();
        for (node, quantizer) in &self.graph.attached {
            quantizers.entry(self.plan.source(*node)).or_default().push((*node, *quantizer));
        }
        // Those whose results were replaced by what they would not make: products take these as they are.
        let mut replaced: HashSet<NodeId> = HashSet::new();
        let (mut values, dims) = self.start(inputs)?;
        for step in &self.plan.steps {
            let held = |at: usize| {
                let operand = step.operands.get(at)?;
                Some((*operand, values.get(operand.index()).cloned().flatten()?))
            };
            let (seen, range) = (held(0), held(1));
            self.step(&step.switched(|quantizer| !replaced.contains(&quantizer)), &mut values, &dims)?;
            let Some(attached) = quantizers.get(&step.node) else { continue };
            let Some(value) = values.get_mut(step.node.index()) else { continue };
            if let (Some((of, input)), Some((_, range)), Some(output), Some((_, first))) =
                (seen, range, value.as_ref(), attached.first())
                && let Some(quantizer) = self.graph.quantizers.get(*first)
            {
                let names = attached.iter().map(|(node, _)| self.graph.node(*node).name.as_str()).collect();
                let output_name =
                    self.graph.outputs.iter().find(|output| self.plan.source(output.node) == of);
                let of = output_name.map_or(&self.graph.node(of).name, |output| &output.name);
                let shown = Inspected { names, of, quantizer, range: &range, input: &input, output };
                if let Some(other) = inspector(&shown)? {
                    if !self.keeps(step, &other, &range, &dims) {
                        replaced.insert(step.node);
                    }
                    *value = Some(other);
                }
            }
        }
        self.outputs(&values)
    }

    /// The step's quantizer makes of a value what it is already.
    fn keeps(&self, step: &Step, value: &Tensor, range: &Tensor, dims: &Bindings) -> bool {
        let NodeKind::Op(op) = &self.graph.node(step.node).kind else { return false };
        let made = op.semantics().eval(&[value.clone(), range.clone()], dims);
        let same = made.and_then(|made| made.eq(value)?.min_all()?.to_scalar::<u8>());
        same.is_ok_and(|same| same == 1)
    }
}
