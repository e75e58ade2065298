//! What goes from candle's tensors to the buffers of integer steps, and back.

use super::{
    At, Executor, product,
    program::{self, BufferId, Work},
    run::{Ids, Mask, Texts},
    too_large,
};
use crate::{
    backends::candle,
    failure::Failure,
    graph::{NodeId, NodeKind},
    types::{Bindings, Dim},
};
use candle_core::{DType, Device, Tensor};
use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    ops::Range,
};

/// What steps of a part read of values as they are.
#[derive(Default)]
pub(super) struct Given {
    pub(super) masks: HashMap<NodeId, Mask>,
    pub(super) ids: HashMap<NodeId, Ids>,
    pub(super) texts: HashMap<NodeId, Texts>,
}

impl Executor {
    /// Copies float values into the buffers that steps read.
    pub(super) fn take_in(
        &self,
        steps: &Range<usize>,
        at: &At<'_>,
        values: &[Option<Tensor>],
    ) -> Result<(), Failure> {
        let memory = at.memory;
        let read: BTreeSet<BufferId> = self.steps(steps).flat_map(|step| step.work.reads()).collect();
        for (node, buffer) in self.program.imports.iter().filter(|(_, buffer)| read.contains(buffer)) {
            let described = self.graph().node(*node);
            let value = candle::at(values, *node).ok_or_else(|| candle::missing(described));
            let numbers = value
                .and_then(|value| value.flatten_all()?.to_vec1::<f32>())
                .map_err(|error| candle::fault(described, &error))?;
            let columns = memory.columns(*buffer).max(1);
            let from = self.kept_rows(*buffer, at);
            for row in 0..memory.rows(*buffer) {
                let start = from.map_or(row, |rows| rows[row]) * columns;
                // SAFETY: no step runs now.
                unsafe { memory.write(*buffer, row, 0, &numbers[start..start + columns]) };
            }
        }
        Ok(())
    }

    /// Makes tensors of the buffers that others read.
    pub(super) fn give_out(
        &self,
        steps: &Range<usize>,
        at: &At<'_>,
        values: &mut [Option<Tensor>],
    ) -> Result<(), Failure> {
        let memory = at.memory;
        let made: BTreeSet<BufferId> =
            self.steps(steps).flat_map(|step| step.results.iter().copied()).collect();
        for (node, buffer) in self.program.exports.iter().filter(|(_, buffer)| made.contains(buffer)) {
            let described = self.graph().node(*node);
            let shape = described.ty.shape.iter().map(|dim| product(std::slice::from_ref(dim), at.dims));
            let shape = shape.collect::<Option<Vec<_>>>().ok_or_else(too_large)?;
            // SAFETY: no step runs now.
            let made = unsafe { memory.floats(*buffer) };
            let numbers = match self.kept_rows(*buffer, at) {
                Some(rows) => spread(made, rows, memory.columns(*buffer), shape.iter().product()),
                None => made.to_vec(),
            };
            let tensor = Tensor::from_vec(numbers, shape, &Device::Cpu);
            candle::put(values, *node, Some(tensor.map_err(|error| candle::fault(described, &error))?));
        }
        Ok(())
    }

    /// Which of all rows those of a buffer are, where they are not all.
    fn kept_rows<'k>(&self, buffer: BufferId, at: &At<'k>) -> Option<&'k [usize]> {
        let leading = &self.program.buffers.get(buffer.0)?.leading;
        at.kept.filter(|_| self.has_tokens(leading)).map(|kept| kept.rows.as_slice())
    }

    /// What steps read of values as they are.
    pub(super) fn given(
        &self,
        steps: &Range<usize>,
        values: &[Option<Tensor>],
        dims: &Bindings,
    ) -> Result<Given, Failure> {
        let mut given = Given::default();
        for step in self.steps(steps) {
            match &step.work {
                Work::Attention(attention) => {
                    let size = |dim: &Dim| product(std::slice::from_ref(dim), dims).ok_or_else(too_large);
                    let texts = Texts {
                        count: size(&attention.query.batch)?,
                        queries: size(&attention.query.length)?,
                        keys: size(&attention.key.length)?,
                    };
                    given.texts.insert(step.node, texts);
                    if let Some(mask) = attention.mask
                        && let Entry::Vacant(slot) = given.masks.entry(mask)
                    {
                        slot.insert(self.mask(mask, values)?);
                    }
                }
                Work::Embedding(embedding) => {
                    for rows in &embedding.terms {
                        if let Entry::Vacant(slot) = given.ids.entry(rows.node) {
                            slot.insert(self.ids(rows, step.node, values, dims)?);
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(given)
    }

    fn mask(&self, mask: NodeId, values: &[Option<Tensor>]) -> Result<Mask, Failure> {
        let node = self.graph().node(mask);
        let value = candle::at(values, mask).ok_or_else(|| candle::missing(node));
        let read = value.and_then(|value| Ok((value.dims4()?, value.flatten_all()?.to_vec1::<f32>()?)));
        let ((texts, heads, queries, keys), numbers) = read.map_err(|error| candle::fault(node, &error))?;
        let stride = |size: usize, inner: usize| if size == 1 { 0 } else { inner };
        let strides = [
            stride(texts, heads * queries * keys),
            stride(heads, queries * keys),
            stride(queries, keys),
            stride(keys, 1),
        ];
        Ok(Mask { numbers, strides })
    }

    /// The rows of a table that are wanted. Where there is no such row, candle says so.
    fn ids(
        &self,
        rows: &program::Rows,
        embedding: NodeId,
        values: &[Option<Tensor>],
        dims: &Bindings,
    ) -> Result<Ids, Failure> {
        let node = self.graph().node(rows.node);
        let fault = |error: candle_core::Error| candle::fault(node, &error);
        let value = candle::at(values, rows.ids).ok_or_else(|| candle::missing(node)).map_err(fault)?;
        let (texts, length) = value.dims2().map_err(fault)?;
        let ids = value.flatten_all().and_then(|ids| ids.to_vec1::<i64>()).map_err(fault)?;
        let count = rows.table.rows();
        let places: Option<Vec<usize>> =
            ids.iter().map(|id| usize::try_from(*id).ok().filter(|id| *id < count)).collect();
        let Some(places) = places else {
            let table = Tensor::zeros((count, 0), DType::F32, &Device::Cpu).map_err(fault)?;
            let gather = [table, value.clone()];
            let refused = match &node.kind {
                NodeKind::Op(op) => op.semantics().eval(&gather, dims).err(),
                _ => None,
            };
            return Err(fault(refused.unwrap_or_else(|| candle::missing(node))));
        };
        let whole = self.graph().node(embedding).ty.shape.get(1).and_then(|dim| dim.evaluate(dims));
        let whole = whole.and_then(|size| usize::try_from(size).ok()).ok_or_else(too_large)?;
        let strides = [if texts == 1 { 0 } else { length }, usize::from(length != 1)];
        Ok(Ids { rows: places, strides, length: whole })
    }
}

/// Rows of `columns` numbers put where they are among `count` numbers; the others are 0.
fn spread(made: &[f32], rows: &[usize], columns: usize, count: usize) -> Vec<f32> {
    let mut numbers = vec![0.0; count];
    for (row, made) in rows.iter().zip(made.chunks_exact(columns.max(1))) {
        if let Some(slot) = numbers.get_mut(row * columns..(row + 1) * columns) {
            slot.copy_from_slice(made);
        }
    }
    numbers
}
