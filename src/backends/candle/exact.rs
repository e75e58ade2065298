//! Products of quantized values, made exact.
//!
//! `(s·a) @ (t·b) = s·t·(a @ b)`: the codes `a` and `b` are whole numbers, and so are sums of their
//! products, which f32 counts exactly up to `2^24`. So no order of additions changes a result, and
//! whatever multiplies codes gets the same one to the bit, be it in floats, as here, or in
//! integers.

use super::plan::{Product, Side, Step, Work};
use crate::{
    graph::{Graph, NodeId, NodeKind},
    ops::{
        FakeQuantize, Op,
        kernels::{self, Finish, Right},
    },
    types::DType,
};
use candle_core::{Error, Result, Tensor};
use std::collections::{HashMap, HashSet};

/// Makes the products of quantized values among `steps` exact. If `encode`, quantized values that
/// only such products need become codes; those in `whole` stay as they are.
pub(super) fn by_codes(
    graph: &Graph,
    constant: &mut [Step],
    steps: &mut [Step],
    whole: &[NodeId],
    encode: bool,
) {
    let operands: HashMap<NodeId, Vec<NodeId>> =
        constant.iter().chain(&*steps).map(|step| (step.node, step.operands.clone())).collect();
    let values = Values { graph, operands };
    let products: HashMap<NodeId, [Factor; 2]> =
        steps.iter().filter_map(|step| Some((step.node, values.product(step)?))).collect();
    let codes = if encode { values.only_in(&products, whole) } else { HashSet::new() };
    for step in constant.iter_mut().chain(&mut *steps) {
        if codes.contains(&step.node) && matches!(values.op(step.node), Some(Op::FakeQuantize(_))) {
            step.work = Work::Codes;
        }
        if let Some(factors) = products.get(&step.node) {
            let is_codes = |at: usize| step.operands.get(at).is_some_and(|side| codes.contains(side));
            let [left, right] = factors;
            let sides = [(left, is_codes(0)), (right, is_codes(1))]
                .map(|(factor, is_codes)| Side { quantizer: factor.quantizer, is_codes });
            step.operands.extend([left.range, right.range]);
            step.work = Work::Product(Product { sides, is_float: false, bias: false, gelu: false });
        }
    }
}

/// A quantized value in a product.
struct Factor {
    /// The fake quantizer.
    quantizer: NodeId,
    /// Its range.
    range: NodeId,
}

struct Values<'a> {
    graph: &'a Graph,
    /// What steps work on, by the node that they make.
    operands: HashMap<NodeId, Vec<NodeId>>,
}

impl Values<'_> {
    fn op(&self, id: NodeId) -> Option<&Op> {
        match &self.graph.node(id).kind {
            NodeKind::Op(op) => Some(op),
            _ => None,
        }
    }

    fn operand(&self, id: NodeId, at: usize) -> Option<NodeId> {
        self.operands.get(&id)?.get(at).copied()
    }

    /// The two sides of a product whose codes can be multiplied exactly.
    fn product(&self, step: &Step) -> Option<[Factor; 2]> {
        let Op::Matmul(_) = self.op(step.node)? else { return None };
        let [left, right] = <[NodeId; 2]>::try_from(step.operands.as_slice()).ok()?;
        Some([self.factor(left, false)?, self.factor(right, true)?])
    }

    /// The quantized value that a side of a product is; by columns only on the right.
    fn factor(&self, side: NodeId, on_the_right: bool) -> Option<Factor> {
        let (quantizer, is_turned) = match self.op(side)? {
            Op::Transpose(turned) => (self.operand(side, 0)?, turned.swaps()),
            _ => (side, false),
        };
        let Op::FakeQuantize(quantize) = self.op(quantizer)? else { return None };
        let node = self.graph.node(quantizer);
        let whole = !quantize.dynamic && is_small(quantize) && node.ty.dtype == DType::F32;
        // Of a matrix that is transposed, the first axis becomes the columns.
        let columns = i64::from(!is_turned);
        let by_columns = |axis: i64| on_the_right && node.ty.rank() == 2 && axis.rem_euclid(2) == columns;
        let fits = whole && quantize.axis.is_none_or(by_columns);
        fits.then_some(Factor { quantizer, range: self.operand(quantizer, 1)? })
    }

    /// The quantized values, transposed or not, that only these products need.
    fn only_in(&self, products: &HashMap<NodeId, [Factor; 2]>, whole: &[NodeId]) -> HashSet<NodeId> {
        let sides = |node: &NodeId| self.operands.get(node).into_iter().flatten().copied();
        let mut codes: HashSet<NodeId> = products.keys().flat_map(sides).collect();
        codes.extend(products.values().flatten().map(|factor| factor.quantizer));
        let mut others: Vec<NodeId> = whole.to_vec();
        for (user, operands) in &self.operands {
            let is_turned = codes.contains(user) && matches!(self.op(*user), Some(Op::Transpose(_)));
            if !products.contains_key(user) && !is_turned {
                others.extend(operands);
            }
        }
        let mut turned: HashMap<NodeId, Vec<NodeId>> = HashMap::new();
        for id in codes.iter().filter(|id| matches!(self.op(**id), Some(Op::Transpose(_)))) {
            let of = self.operand(*id, 0);
            of.into_iter().for_each(|of| turned.entry(of).or_default().push(*id));
        }
        // What a value that is not codes is made of is not codes, and neither is what is made of it.
        while let Some(other) = others.pop() {
            if codes.remove(&other) {
                others.extend(turned.remove(&other).into_iter().flatten());
                if let Some(Op::Transpose(_)) = self.op(other) {
                    others.extend(self.operand(other, 0));
                }
            }
        }
        codes
    }
}

/// Codes are whole numbers, so small that f32 counts sums of many products.
fn is_small(quantize: &FakeQuantize) -> bool {
    quantize.codes().is_ok_and(|codes| !codes.float && codes.magnitude() <= 255.0)
}

impl Product {
    /// The product that a step makes of these operands.
    ///
    /// # Errors
    /// Memory does not hold f32, or a range is negative.
    pub(super) fn of(&self, graph: &Graph, step: &Step, operands: &[Tensor]) -> Result<Tensor> {
        let wrong = || Error::Msg("a product of codes has two sides and their ranges".to_owned());
        let [lhs, rhs, left_range, right_range, bias @ ..] = operands else { return Err(wrong()) };
        let bias = bias.first().filter(|_| self.bias);
        if self.is_float {
            return self.in_float(lhs, rhs, bias);
        }
        let [left, right] = self.sides;
        let quantizer = |side: Side| match &graph.node(side.quantizer).kind {
            NodeKind::Op(Op::FakeQuantize(quantize)) => Ok(quantize),
            _ => Err(wrong()),
        };
        let (left_quantizer, right_quantizer) = (quantizer(left)?, quantizer(right)?);
        let left_scales = left_quantizer.scales(left_range)?;
        let left_scale = left_scales.first().copied().ok_or_else(wrong)?;
        let mut scales = right_quantizer.scales(right_range)?;
        scales.iter_mut().for_each(|scale| *scale *= left_scale);
        let lhs = if left.is_codes { lhs.clone() } else { left_quantizer.encode(lhs, left_range)? };
        let rhs = if right.is_codes {
            rhs.clone()
        } else {
            right_quantizer.encode(rhs, &by_columns(right_range, right_quantizer.learn)?)?
        };
        let magnitude = |quantize: &FakeQuantize| quantize.codes().map(|codes| codes.magnitude());
        let magnitudes = match (magnitude(left_quantizer), magnitude(right_quantizer)) {
            (Ok(left), Ok(right)) => [left, right],
            _ => return Err(wrong()),
        };
        let finish = Finish { scales: &scales, bias, gelu: self.gelu };
        kernels::code_product(&lhs, step.right(&rhs), magnitudes, finish)
    }

    /// What a graph without the quantizers computes.
    fn in_float(&self, lhs: &Tensor, rhs: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        kernels::matmul(lhs, Right::Matrices(rhs), Finish { bias, gelu: self.gelu, ..Finish::default() })
    }
}

/// A range for each column of a matrix, or one for all, whichever axis of what was transposed the
/// columns are.
fn by_columns(range: &Tensor, is_learned: bool) -> Result<Tensor> {
    let lead = if is_learned { 2 } else { 1 };
    let columns = range.elem_count() / lead;
    match (columns, is_learned) {
        (1, false) => range.reshape(()),
        (1, true) => range.reshape(2),
        (_, false) => range.reshape((1, columns)),
        (_, true) => range.reshape((2, 1, columns)),
    }
}
