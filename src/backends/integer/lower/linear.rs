//! `gelu(input @ weight + bias)`, or less of it.

use super::{Lowering, operand};
use crate::{
    backends::integer::program::Linear,
    graph::NodeId,
    ops::{
        Op,
        kernels::integer::{Quantizer, WIDTH},
    },
    types::DType,
};

/// A linear layer of codes.
pub(super) struct Found {
    /// The fake quantizer, the value that it sees, and what it does.
    input: (NodeId, NodeId, Quantizer),
    weight: operand::Found,
    bias: Option<Vec<f32>>,
    gelu: bool,
}

impl Lowering<'_> {
    /// The linear layer that ends in this value. `Err` says why one is not made of codes.
    pub(super) fn find_linear(&self, root: NodeId) -> Option<Result<Found, String>> {
        if self.node(root).ty.dtype != DType::F32 {
            return None;
        }
        let (sum, gelu) = match self.op(root)? {
            Op::Gelu(_) => (self.operand(root, 0).filter(|sum| self.is_only_here(*sum))?, true),
            _ => (root, false),
        };
        let (product, bias) = match self.op(sum)? {
            Op::Add(_) => self.biased(sum)?,
            Op::Matmul(_) => (sum, None),
            _ => return None,
        };
        Some(self.product(product).map(|(input, weight)| Found { input, weight, bias, gelu }))
    }

    /// The product, and the numbers that are added to each of its rows.
    fn biased(&self, sum: NodeId) -> Option<(NodeId, Option<Vec<f32>>)> {
        let [a, b] = self.pair(sum)?;
        let columns = usize::try_from(self.node(sum).ty.shape.last()?.as_known()?).ok()?;
        [(a, b), (b, a)].into_iter().find_map(|(product, bias)| {
            let Some(Op::Matmul(_)) = self.op(product) else { return None };
            let fits = self.node(product).ty == self.node(sum).ty && self.is_only_here(product);
            Some((product, Some(self.vector(bias, columns).filter(|_| fits)?)))
        })
    }

    fn product(&self, product: NodeId) -> Result<((NodeId, NodeId, Quantizer), operand::Found), String> {
        let Some([lhs, rhs]) = self.pair(product) else { return Err("it has no two sides".to_owned()) };
        let weight = self.find_weight(rhs)?;
        let (value, quantizer) = self.quantized(lhs)?;
        Ok(((lhs, value, quantizer), weight))
    }

    /// The step, its operands wanted.
    pub(super) fn linear(&mut self, found: Found) -> candle_core::Result<Linear> {
        let weight = self.pack(&found.weight)?;
        let (node, value, quantizer) = found.input;
        let input = self.codes(node, value, quantizer);
        let room = weight.columns().div_ceil(WIDTH) * WIDTH;
        let mut scales: Vec<f32> = weight.scales().iter().map(|scale| quantizer.scale() * scale).collect();
        scales.resize(room, 0.0);
        let mut bias = found.bias.unwrap_or_default();
        bias.resize(room, 0.0);
        Ok(Linear { input, weight, scales, bias, gelu: found.gelu })
    }
}
