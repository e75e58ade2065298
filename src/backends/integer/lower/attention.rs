//! Attention, from the quantized queries, keys and values to the heads' results side by side.

use super::Lowering;
use crate::{
    backends::integer::program::{Attention, Factor, Heads, Place},
    graph::NodeId,
    ops::{
        Op,
        kernels::integer::{LONGEST, Quantizer},
    },
    types::{DType, Dim},
};

/// Attention on codes.
pub(super) struct Found {
    query: Side,
    key: Side,
    value: Side,
    mask: Option<NodeId>,
    factor: Factor,
    /// The fake quantizer of the softmax, and what it does.
    probabilities: (NodeId, Quantizer),
    heads: usize,
    size: usize,
}

/// A value with heads.
struct Side {
    /// The fake quantizer.
    quantize: NodeId,
    /// What its codes are made of.
    node: NodeId,
    quantizer: Quantizer,
    is_split: bool,
    /// The fake quantizer sees it with positions last.
    is_turned: bool,
    batch: Dim,
    length: Dim,
}

impl Lowering<'_> {
    /// The attention whose results, side by side, are this value. `Err` says why one is not
    /// made of codes.
    pub(super) fn find_attention(&self, root: NodeId) -> Option<Result<Found, String>> {
        let by_position = self.operand(root, 0).filter(|id| self.is_only_here(*id))?;
        let context = self.operand(by_position, 0).filter(|id| self.is_only_here(*id))?;
        if !self.permutes(by_position, &[0, 2, 1, 3]) {
            return None;
        }
        let [batch, length, heads, size] = self.node(by_position).ty.shape.as_slice() else { return None };
        let [b, s, width] = self.node(root).ty.shape.as_slice() else { return None };
        let merges =
            b == batch && s == length && heads.as_known()?.checked_mul(size.as_known()?) == width.as_known();
        let Some(Op::Matmul(_)) = self.op(context).filter(|_| merges) else { return None };
        let [weights, values] = self.pair(context)?;
        let (softened, probabilities) = match self.quantized(weights) {
            Ok(found) => found,
            Err(reason) => return Some(Err(reason)),
        };
        let Some(Op::Softmax(softmax)) = self.op(softened) else { return None };
        if softmax.axis != -1 && softmax.axis != 3 || self.node(root).ty.dtype != DType::F32 {
            return None;
        }
        let inside = self.is_only_here(weights) && self.is_only_here(softened);
        let (scores, factor, mask) = self.scores(self.operand(softened, 0)?).filter(|_| inside)?;
        let [queries, keys] = self.pair(scores)?;
        let found = (|| {
            let (query, q) = self.quantized(queries)?;
            let (key, k) = self.quantized(keys)?;
            let (value, v) = self.quantized(values)?;
            if !k.is_signed() || !v.is_signed() {
                return Err("a right side has unsigned codes".to_owned());
            }
            let unknown = || "its keys are not turned as is known".to_owned();
            let key =
                self.operand(key, 0).filter(|_| self.permutes(key, &[0, 1, 3, 2])).ok_or_else(unknown)?;
            let side = |node, quantizer| self.side(node, quantizer, [batch, heads, size]).ok_or_else(unknown);
            let (query, value) = (side(query, q)?, side(value, v)?);
            let key = Side { is_turned: true, ..side(key, k)? };
            if query.length != *length || key.length != value.length {
                return Err("its sides have other lengths than its result".to_owned());
            }
            let of = |quantize, side| Side { quantize, ..side };
            Ok((of(queries, query), of(keys, key), of(values, value)))
        })();
        let count = |dim: &Dim| usize::try_from(dim.as_known()?).ok();
        let (heads, size) = (count(heads)?, count(size).filter(|size| (1..=LONGEST).contains(size))?);
        Some(found.map(|(query, key, value)| Found {
            query,
            key,
            value,
            mask,
            factor,
            probabilities: (weights, probabilities),
            heads,
            size,
        }))
    }

    /// The product that scores are, what changes it, and what is added to it.
    fn scores(&self, node: NodeId) -> Option<(NodeId, Factor, Option<NodeId>)> {
        let (scaled, mask) = match self.op(node)? {
            Op::Add(_) => {
                let [a, b] = self.pair(node)?;
                let ty = &self.node(node).ty;
                let (scores, mask) = if self.node(a).ty == *ty { (a, b) } else { (b, a) };
                let is_mask = self.node(mask).ty.rank() == 4 && self.node(mask).ty.dtype == DType::F32;
                // Scores that are a sum themselves are not known.
                let fits = is_mask && self.node(scores).ty == *ty && self.is_only_here(node);
                (Some(scores).filter(|_| fits)?, Some(mask))
            }
            _ => (node, None),
        };
        let (product, factor) = match self.op(scaled)? {
            Op::Divide(_) => {
                let [product, divisor] = self.pair(scaled)?;
                (product, Factor::over(self.constant(divisor)? as f32))
            }
            Op::Multiply(_) => {
                let [product, factor] = self.pair(scaled)?;
                (product, Factor::Times(self.constant(factor)? as f32))
            }
            _ => (scaled, Factor::Times(1.0)),
        };
        let inside = self.is_only_here(scaled) && self.is_only_here(product);
        match self.op(product) {
            Some(Op::Matmul(_)) if inside => Some((product, factor, mask)),
            _ => None,
        }
    }

    /// A value `[batch, heads, length, size]`, of these sizes: where its heads come from side by
    /// side, that.
    fn side(&self, node: NodeId, quantizer: Quantizer, sizes: [&Dim; 3]) -> Option<Side> {
        let [batch, heads, length, size] = self.node(node).ty.shape.as_slice() else { return None };
        // Products would bring together what has size 1; this does not.
        if [batch, heads, size] != sizes {
            return None;
        }
        let (batch, length) = (batch.clone(), length.clone());
        let merged = || {
            let split = self.operand(node, 0).filter(|_| self.permutes(node, &[0, 2, 1, 3]))?;
            let Some(Op::Reshape(_)) = self.op(split) else { return None };
            let whole = self.operand(split, 0)?;
            let [b, s, width] = self.node(whole).ty.shape.as_slice() else { return None };
            let width = width.as_known().filter(|_| *b == batch && *s == length)?;
            (heads.as_known()?.checked_mul(size.as_known()?) == Some(width)).then_some(whole)
        };
        let whole = merged();
        let (is_split, of) = (whole.is_none(), whole.unwrap_or(node));
        Some(Side { quantize: node, node: of, quantizer, is_split, is_turned: false, batch, length })
    }

    /// The step, its operands wanted.
    pub(super) fn attention(&mut self, root: NodeId, found: Found) -> candle_core::Result<Attention> {
        let Found { query, key, value, mask, factor, probabilities: (softened, probabilities), heads, size } =
            found;
        if let Some(mask) = mask {
            self.lowered.ends.insert(mask);
            self.want_float(mask)?;
        }
        let scale = query.quantizer.scale() * key.quantizer.scale();
        let value_scale = probabilities.scale() * value.quantizer.scale();
        let mut want = |side: Side| {
            let Side { is_split, is_turned, length, batch, .. } = side;
            let buffer = self.codes(side.quantize, side.node, side.quantizer);
            let place = Place::Heads { buffer, heads, size, is_split, is_turned };
            self.lowered.program.codes.insert(side.quantize, place);
            Heads { buffer, is_split, length, batch }
        };
        let (query, key, value) = (want(query), want(key), want(value));
        self.lowered.program.codes.insert(softened, Place::Inside(root));
        Ok(Attention { query, key, value, mask, scale, factor, probabilities, value_scale, heads, size })
    }
}
