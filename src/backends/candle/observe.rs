//! A run whose values are shown to an observer as they are made.

use super::{Executor, Observer};
use crate::{failure::Failure, graph::NodeId};
use candle_core::Tensor;
use std::collections::BTreeMap;

impl Executor {
    /// Computes the outputs, and shows the observer every value of
    /// [`Graph::attached`](crate::graph::Graph::attached) that depends on the
    /// inputs, once, with all the quantizers that see it.
    ///
    /// # Errors
    /// As [`run`](Executor::run), and what the observer says.
    pub fn observe(
        &self,
        inputs: &BTreeMap<String, Tensor>,
        observer: &mut Observer<'_>,
    ) -> Result<BTreeMap<String, Tensor>, Failure> {
        let watched = self.watched();
        let (mut values, dims) = self.start(inputs)?;
        for input in &self.graph.inputs {
            let value = values.get(input.node.index()).cloned().flatten();
            if let Some((quantizers, value)) = watched.get(&input.node).zip(value) {
                observer(quantizers, &value)?;
            }
        }
        for step in &self.plan.steps {
            self.step(step, &mut values, &dims)?;
            let value = values.get(step.node.index()).cloned().flatten();
            if let Some((quantizers, value)) = watched.get(&step.node).zip(value) {
                observer(quantizers, &value)?;
            }
        }
        self.outputs(&values)
    }

    /// Shows the observer every watched value that is the same in every call: weights.
    ///
    /// # Errors
    /// What the observer says.
    pub fn observe_constants(&self, observer: &mut Observer<'_>) -> Result<(), Failure> {
        for (node, quantizers) in self.watched() {
            if let Some(Some(value)) = self.constants.get(node.index()) {
                observer(&quantizers, value)?;
            }
        }
        Ok(())
    }

    /// The watched values, in the graph's order, and the quantizers that see each.
    fn watched(&self) -> BTreeMap<NodeId, Vec<usize>> {
        let mut watched: BTreeMap<NodeId, Vec<usize>> = BTreeMap::new();
        for (node, quantizer) in &self.graph.attached {
            watched.entry(self.plan.source(*node)).or_default().push(*quantizer);
        }
        watched
    }
}
