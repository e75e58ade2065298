//! How the operands of matrix products are quantized.

use super::index::{Index, Quantizer, integer, integers, is};
use crate::onnx::proto::{NodeProto, tensor_proto::DataType};

/// A MatMul or Gemm with both its matrices.
pub(super) struct Product<'m> {
    /// The node.
    pub(super) node: &'m NodeProto,
    /// The left matrix.
    pub(super) left: Operand<'m>,
    /// The right matrix.
    pub(super) right: Operand<'m>,
}

/// One matrix of a product, or one operand of an addition.
pub(super) struct Operand<'m> {
    /// The value that the operator takes.
    pub(super) value: &'m str,
    /// What dequantizes it, with nothing between but operators that move numbers.
    pub(super) dequantize: Option<Quantizer<'m>>,
    /// What makes its codes; `None` where they are stored.
    pub(super) quantize: Option<Quantizer<'m>>,
    /// It follows from initializers and constants alone.
    pub(super) constant: bool,
    /// The operators between the dequantizer and the operator, the last one first.
    pub(super) moves: Vec<&'m NodeProto>,
    /// The operators between the codes' maker and the dequantizer.
    pub(super) code_moves: Vec<&'m NodeProto>,
}

impl<'m> Product<'m> {
    /// Every product of the graph.
    pub(super) fn all(index: &Index<'m>) -> Vec<Product<'m>> {
        let products = index.nodes.iter().filter(|node| is(node, "MatMul") || is(node, "Gemm"));
        products.filter_map(|node| Product::of(node, index)).collect()
    }

    fn of(node: &'m NodeProto, index: &Index<'m>) -> Option<Product<'m>> {
        let [left, right, ..] = node.input.as_slice() else { return None };
        Some(Product { node, left: Operand::of(left, index), right: Operand::of(right, index) })
    }

    /// Both matrices, the left one first.
    pub(super) fn operands(&self) -> [&Operand<'m>; 2] {
        [&self.left, &self.right]
    }

    /// Both matrices are quantized.
    pub(super) fn is_quantized(&self) -> bool {
        self.operands().iter().all(|operand| operand.dequantize.is_some())
    }

    /// Whether the right matrix has its scales along the axis of the results; `None` where
    /// that cannot be seen.
    pub(super) fn scales_follow_outputs(&self, index: &Index<'m>) -> Option<bool> {
        let axis = self.right.axis(index)?;
        let rank = index.shape(self.right.dequantize?.data)?.len();
        let last = rank.checked_sub(1)?;
        let outputs = if is(self.node, "Gemm") && integer(self.node, "transB") == Some(1) { 0 } else { last };
        Some(axis == outputs)
    }
}

impl<'m> Operand<'m> {
    /// What stands behind a value.
    pub(super) fn of(value: &'m str, index: &Index<'m>) -> Operand<'m> {
        let (source, moves) = index.behind(value);
        let quantizer = |value: &str| index.producer(value).and_then(Quantizer::of);
        let dequantize = quantizer(source).filter(|found| !found.quantizes);
        let (codes, code_moves) =
            dequantize.map_or((source, Vec::new()), |dequantize| index.behind(dequantize.data));
        let clipped = index.producer(codes).filter(|node| is(node, "Clip"));
        let codes = clipped.and_then(|node| node.input.first()).map_or(codes, String::as_str);
        let quantize = dequantize.and_then(|_| quantizer(codes)).filter(|found| found.quantizes);
        Operand { value, dequantize, quantize, constant: index.is_constant(value), moves, code_moves }
    }

    /// The type of its codes.
    pub(super) fn codes(&self, index: &Index<'m>) -> Option<DataType> {
        self.dequantize?.codes(index)
    }

    /// It has codes of 8 bits, signed or not.
    pub(super) fn is_eight_bits(&self, index: &Index<'m>) -> bool {
        matches!(self.codes(index), Some(DataType::Int8 | DataType::Uint8))
    }

    /// It has scales along an axis; which one, as the operator sees it. `None` where it has
    /// one scale, or that cannot be seen.
    pub(super) fn axis(&self, index: &Index<'m>) -> Option<usize> {
        let dequantize = self.dequantize.filter(|found| found.has_many_scales(index))?;
        if index.shape(dequantize.scale)?.len() != 1 {
            return None;
        }
        let rank = index.shape(dequantize.data)?.len();
        self.moves.iter().rev().try_fold(dequantize.axis_in(rank)?, |axis, node| {
            if is(node, "Identity") {
                return Some(axis);
            }
            let order = integers(node, "perm").filter(|_| is(node, "Transpose"))?;
            order.iter().position(|from| usize::try_from(*from) == Ok(axis))
        })
    }
}
