//! From a graph to an executor.

use super::{
    Executor,
    lower::{Lowered, Packed, lower},
    padding::Padding,
    program::Program,
    schedule::{Part, schedule},
};
use crate::{
    backends::candle::{
        self, Executor as Float,
        plan::{self, Choices, Exact, Plan},
        share::Ranges,
    },
    failure::Failure,
    graph::{Checked, NodeId, NodeKind},
    ops::kernels::integer::Kernel,
};
use candle_core::{Device, Tensor};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Mutex,
};

/// An executor without its weights.
pub(crate) struct Draft {
    graph: Checked,
    /// What candle computes.
    rest: Plan,
    program: Program,
    parts: Vec<Part>,
    padding: Option<Padding>,
    reasons: BTreeMap<NodeId, String>,
}

impl Draft {
    /// Plans a graph. Of `weights`, ranges and what is packed are read; weights that `packed`
    /// has need not be there.
    ///
    /// # Errors
    /// A weight cannot be packed.
    pub(crate) fn new(
        graph: Checked,
        weights: &HashMap<String, Tensor>,
        packed: &mut Packed,
    ) -> Result<Draft, Failure> {
        let whole = Choices { ranges: Some(Ranges::new(&graph, weights)), ..Choices::default() };
        let whole = Plan::new(&graph, whole);
        let Lowered { mut program, ends, reasons } =
            lower(&graph, &whole, weights, packed).map_err(candle::outside)?;
        let given: BTreeSet<NodeId> = program.exports.iter().map(|(node, _)| *node).collect();
        let rest = Choices {
            fused: true,
            exact: Exact::Always,
            ranges: Some(Ranges::new(&graph, weights)),
            part: Some(plan::Part { given: &given, ends: &ends }),
            ..Choices::default()
        };
        let mut rest = Plan::new(&graph, rest);
        let steps = std::mem::take(&mut rest.steps);
        let parts = schedule(&graph, &mut program, steps, |id| whole.source(id))
            .ok_or_else(|| Failure::outside("the steps of the model wait for one another"))?;
        let padding = Padding::find(&graph, &program, &parts, |id| whole.source(id));
        Ok(Draft { graph, rest, program, parts, padding, reasons })
    }

    /// Parameters that candle needs and that `weights` lacks, by state-dict path.
    pub(crate) fn missing(&self, weights: &HashMap<String, Tensor>) -> BTreeSet<String> {
        let parameters = self.graph.iter().filter_map(|(id, node)| match &node.kind {
            NodeKind::Parameter(parameter) if self.rest.is_live(id) => Some(parameter.path.clone()),
            _ => None,
        });
        parameters.filter(|path| !weights.contains_key(path)).collect()
    }

    /// The executor.
    ///
    /// # Errors
    /// As [`candle::Executor::new`].
    pub(crate) fn finish(self, weights: HashMap<String, Tensor>) -> Result<Executor, Failure> {
        let Draft { graph, rest, program, parts, padding, reasons } = self;
        let mut float = Float::planned(graph, rest, weights, &Device::Cpu, &HashSet::new())?;
        float.fold()?;
        let kernel = Kernel::best();
        Ok(Executor { float, program, parts, kernel, padding, reasons, state: Mutex::default() })
    }
}
