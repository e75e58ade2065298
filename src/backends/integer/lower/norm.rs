//! Layer norms of sums, and of sums of embeddings.

use super::Lowering;
use crate::{
    backends::integer::program::{AddNorm, BufferId, Embedding, Form, Norm, Rows, Table},
    graph::{NodeId, NodeKind},
    ops::{Op, kernels::integer::Quantizer},
    types::DType,
};
use std::sync::Arc;

/// The layer norm of one or two values.
pub(super) struct Found {
    addends: Vec<Addend>,
    norm: Norm,
}

/// What is added, and whether its codes are.
struct Addend {
    node: NodeId,
    /// The fake quantizer, and what it does.
    quantizer: Option<(NodeId, Quantizer)>,
}

/// Embeddings that are added, from left to right, and their layer norm.
pub(super) struct Terms {
    gathers: Vec<NodeId>,
    norm: Norm,
}

impl Lowering<'_> {
    /// A layer norm and what it is taken of, where that is, or is made, of codes.
    pub(super) fn find_add_norm(&self, root: NodeId) -> Option<Found> {
        let (of, norm) = self.norm(root)?;
        let parts = match self.op(of) {
            Some(Op::Add(_)) if self.is_only_here(of) => {
                let ty = &self.node(of).ty;
                self.pair(of).filter(|parts| parts.iter().all(|part| self.node(*part).ty == *ty))
            }
            _ => None,
        };
        let parts = parts.map_or_else(|| vec![of], |parts| parts.to_vec());
        let addends: Vec<Addend> = parts.into_iter().map(|part| self.addend(part)).collect();
        let of_codes = addends.iter().any(|addend| {
            addend.quantizer.is_some() || self.find_linear(addend.node).is_some_and(|found| found.is_ok())
        });
        of_codes.then_some(Found { addends, norm })
    }

    fn addend(&self, node: NodeId) -> Addend {
        match self.quantized(node) {
            Ok((of, quantizer)) => Addend { node: of, quantizer: Some((node, quantizer)) },
            Err(_) => Addend { node, quantizer: None },
        }
    }

    /// A layer norm: what it is taken of, and its numbers.
    fn norm(&self, root: NodeId) -> Option<(NodeId, Norm)> {
        let Some(Op::LayerNorm(norm)) = self.op(root) else { return None };
        let ty = &self.node(root).ty;
        let size = usize::try_from(ty.shape.last()?.as_known()?).ok().filter(|size| *size > 0)?;
        let [of, weight, bias] = <[NodeId; 3]>::try_from(self.operands(root).as_slice()).ok()?;
        let norm =
            Norm { weight: self.vector(weight, size)?, bias: self.vector(bias, size)?, eps: norm.eps as f32 };
        (ty.dtype == DType::F32).then_some((of, norm))
    }

    /// A layer norm of a sum of rows of tables.
    pub(super) fn find_embedding(&self, root: NodeId) -> Option<Terms> {
        let (mut sum, norm) = self.norm(root)?;
        let mut gathers = Vec::new();
        let ty = &self.node(root).ty;
        while let Some(Op::Add(_)) = self.op(sum).filter(|_| self.is_only_here(sum)) {
            let [rest, last] = self.pair(sum)?;
            gathers.push(last);
            sum = rest;
        }
        gathers.push(sum);
        gathers.reverse();
        let width = ty.shape.last();
        let is_wide = |gather: &NodeId| self.node(*gather).ty.shape.last() == width;
        let known = gathers.iter().all(|gather| self.is_rows(*gather) && is_wide(gather));
        // The first has a row for every row of the sum; others may be repeated.
        let whole = gathers.first().is_some_and(|first| self.node(*first).ty == *ty);
        (known && whole && ty.rank() == 3).then_some(Terms { gathers, norm })
    }

    /// Rows of a table of the checkpoint, by ids of two axes.
    fn is_rows(&self, node: NodeId) -> bool {
        let Some(Op::Gather(_)) = self.op(node) else { return false };
        let Some([table, ids]) = self.pair(node) else { return false };
        self.table(table).is_some() && self.node(ids).ty.rank() == 2
    }

    /// A matrix of the checkpoint.
    fn table(&self, id: NodeId) -> Option<Table> {
        if let Some(loaded) = self.parameter(id) {
            return (loaded.rank() == 2).then(|| Table::Loaded(loaded.clone()));
        }
        let NodeKind::Parameter(parameter) = &self.node(id).kind else { return None };
        self.packed.tables.get(&parameter.path).map(|table| Table::Stored(Arc::clone(table)))
    }

    /// The step, its operands wanted.
    pub(super) fn add_norm(&mut self, found: Found) -> candle_core::Result<AddNorm> {
        let keep = |addend: &Addend| match addend.quantizer {
            Some((node, quantizer)) => self.codes(node, addend.node, quantizer),
            None => self.keep(addend.node, Form::Float),
        };
        let addends: Vec<BufferId> = found.addends.iter().map(keep).collect();
        Ok(AddNorm { addends, norm: found.norm })
    }

    /// The step, its operands wanted.
    pub(super) fn embedding(&mut self, terms: Terms) -> candle_core::Result<Embedding> {
        let mut rows = Vec::new();
        for node in terms.gathers {
            let (Some(table), Some(ids)) = (self.operand(node, 0), self.operand(node, 1)) else { continue };
            self.lowered.ends.insert(ids);
            self.want_float(ids)?;
            // Others that need the table find it as it is without this step.
            if !self.is_only_here(table) {
                self.lowered.ends.insert(table);
            }
            match self.table(table) {
                Some(Table::Loaded(table)) => {
                    let table = table.to_dtype(candle_core::DType::F32)?.contiguous()?;
                    rows.push(Rows { node, table: Table::Loaded(table), ids });
                }
                Some(table) => rows.push(Rows { node, table, ids }),
                None => {}
            }
        }
        Ok(Embedding { terms: rows, norm: terms.norm })
    }
}
