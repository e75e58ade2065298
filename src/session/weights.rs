//! The weights of a session: read once, for all its graphs.

use super::{Integers, Purpose, Session};
use crate::{
    backends::{
        candle::{only_multiplied, pack, plain},
        integer::only_gathered,
    },
    checkpoint::{Loaded, Wanted},
    failure::Failure,
    graph::{Graph, NodeKind},
    ops::candle_dtype,
    ranges::{Ranges, constrain},
};
use candle_core::{DType, Tensor};
use std::collections::HashMap;

impl Session {
    /// The weights as they were read, packed or not.
    pub(super) fn weights_read(&self) -> HashMap<String, Tensor> {
        let mut weights = self.weights.clone();
        weights.extend(self.multiplied.iter().map(|(path, weight)| (path.clone(), weight.clone())));
        weights
    }

    /// The weights as executors want them: in the element type that is computed in.
    pub(super) fn weights_now(&self) -> Result<HashMap<String, Tensor>, Failure> {
        let mut weights = self.weights_read();
        let dtype = candle_dtype(self.engine.dtype);
        for (path, parameter) in &self.training.parameters {
            let converted = parameter.to_dtype(dtype).map_err(|error| Failure::outside(error.to_string()))?;
            weights.insert(path.clone(), converted);
        }
        Ok(weights)
    }

    /// Reads the weights of a graph that no earlier one had. To answer in integers, packed ones
    /// stay as they are, and so do tables of which rows are read.
    pub(super) fn load(&mut self, graph: &Graph, purpose: Purpose) -> Result<(), Failure> {
        let mut wanted = self.wanted(graph);
        if purpose == Purpose::Answer && self.engine.integers != Integers::Never {
            wanted.retain(|wanted| !self.packed.is_stored(&wanted.path));
            self.packed.store(self.checkpoint.packed(&wanted)?);
            wanted.retain(|wanted| !self.packed.is_stored(&wanted.path));
            let gathered = only_gathered(graph);
            wanted.retain(|wanted| {
                !gathered.contains(wanted.path.as_str()) || !self.packed.has_table(&wanted.path)
            });
            let tables: Vec<Wanted> =
                wanted.iter().filter(|wanted| gathered.contains(wanted.path.as_str())).cloned().collect();
            let tables = self.checkpoint.tables(&tables)?;
            wanted.iter_mut().for_each(|wanted| wanted.stays = tables.contains_key(&wanted.path));
            self.packed.store_tables(tables);
        }
        self.read(graph, &wanted)
    }

    pub(super) fn read(&mut self, graph: &Graph, wanted: &[Wanted]) -> Result<(), Failure> {
        if wanted.is_empty() {
            return Ok(());
        }
        let dtype = candle_dtype(self.engine.dtype);
        let loaded = self.checkpoint.load(wanted, &self.engine.device, dtype)?;
        self.keep(graph, loaded)
    }

    /// The weights of a graph that no earlier one had.
    pub(super) fn wanted(&self, graph: &Graph) -> Vec<Wanted> {
        let mut wanted = Vec::new();
        for node in &graph.nodes {
            let NodeKind::Parameter(parameter) = &node.kind else { continue };
            if self.weights.contains_key(&parameter.path) || self.multiplied.contains_key(&parameter.path) {
                continue;
            }
            let sizes =
                node.ty.shape.iter().map(|dim| dim.as_known().and_then(|size| usize::try_from(size).ok()));
            wanted.push(Wanted {
                path: parameter.path.clone(),
                shape: sizes.collect::<Option<_>>().unwrap_or_default(),
                tied: parameter.tied.clone(),
                // The placement says the sizes: `classifier: Linear(hidden_size, num_labels)`.
                span: graph.scopes.get(node.scope.0 as usize).map(|scope| scope.placed).or(Some(node.span)),
                optional: false,
                stays: false,
            });
        }
        wanted
    }

    /// Keeps weights of a graph that were read.
    pub(super) fn keep(&mut self, graph: &Graph, (mut loaded, notes): Loaded) -> Result<(), Failure> {
        // Notes speak of the tensors of one load alone; the first has the most.
        if self.weights.is_empty() && self.multiplied.is_empty() {
            self.notes = notes;
        }
        constrain_loaded(graph, &mut loaded).map_err(|error| Failure::outside(error.to_string()))?;
        self.weights.extend(loaded);
        Ok(())
    }

    /// Unpacks the weights of a graph that are packed.
    pub(super) fn unpack_multiplied(&mut self, graph: &Graph) -> Result<(), Failure> {
        for node in &graph.nodes {
            let NodeKind::Parameter(parameter) = &node.kind else { continue };
            let rows = node.ty.shape.first().and_then(|dim| usize::try_from(dim.as_known()?).ok());
            if let Some((path, packed)) = self.multiplied.remove_entry(&parameter.path) {
                let weight = plain(&packed, rows.unwrap_or(0));
                self.weights.insert(path, weight.map_err(|error| Failure::outside(error.to_string()))?);
            }
        }
        Ok(())
    }

    /// Packs the weights that a graph only multiplies by, for all graphs that share them. What
    /// training changes, and what a GPU multiplies, stays as it is.
    pub(super) fn pack_multiplied(&mut self, graph: &Graph, purpose: Purpose) -> Result<(), Failure> {
        let computes = matches!(purpose, Purpose::Answer | Purpose::Run);
        if !computes || !self.engine.device.is_cpu() || !self.training.parameters.is_empty() {
            return Ok(());
        }
        for path in only_multiplied(graph) {
            let Some(weight) = self.weights.remove(path) else { continue };
            if weight.dtype() == DType::F32 {
                let packed = pack(&weight).map_err(|error| Failure::outside(error.to_string()))?;
                self.multiplied.insert(path.to_owned(), packed);
            } else {
                self.weights.insert(path.to_owned(), weight);
            }
        }
        Ok(())
    }
}

/// Holds the loaded ranges to the spec's ties and limits.
fn constrain_loaded(graph: &Graph, loaded: &mut HashMap<String, Tensor>) -> candle_core::Result<()> {
    let mut ranges = Ranges::new();
    for quantizer in &graph.quantizers {
        if let Some(range) = loaded.get(&range_path(&quantizer.name)) {
            ranges.insert(quantizer.name.clone(), range.flatten_all()?.to_vec1()?);
        }
    }
    let changed = constrain(&graph.quantizers, &mut ranges);
    for quantizer in graph.quantizers.iter().filter(|quantizer| changed.contains(&quantizer.name.as_str())) {
        if let Some((range, values)) =
            loaded.get_mut(&range_path(&quantizer.name)).zip(ranges.remove(&quantizer.name))
        {
            *range = Tensor::from_vec(values, range.shape(), range.device())?;
        }
    }
    Ok(())
}

pub(super) fn range_path(quantizer: &str) -> String {
    format!("{quantizer}._amax")
}
