//! Weights in the layout that products read fastest.
//!
//! What is the same in every call and only ever the right side of products is packed once
//! (see [`kernels::pack`]). A graph's weights may be given packed already, transposed, so that
//! graphs of one checkpoint share them.

use super::{
    bind::convert,
    outside,
    plan::{Plan, Product, Step, Work},
};
use crate::{
    failure::Failure,
    graph::{Graph, Node, NodeId, NodeKind},
    ops::{Op, kernels},
    types::DType,
};
use candle_core::{Device, Tensor};
use std::collections::{BTreeSet, HashMap, HashSet};

/// Which values are kept packed.
#[derive(Debug, Default)]
pub(super) struct Packed {
    /// Right sides of products.
    pub(super) values: HashSet<NodeId>,
    /// What nothing but such values is made of, by transposition: it may come packed.
    pub(super) turned: HashSet<NodeId>,
}

/// Finds the values among `constant` that only products need, and says so in their steps. Values
/// in `whole` stay as they are; if `switched`, so do those of quantizers, which may be switched off.
pub(super) fn find(
    graph: &Graph,
    constant: &[Step],
    steps: &mut [Step],
    whole: &[NodeId],
    switched: bool,
) -> Packed {
    let made: HashSet<NodeId> = constant.iter().map(|step| step.node).collect();
    let is_constant =
        |id: NodeId| made.contains(&id) || matches!(graph.node(id).kind, NodeKind::Parameter(_));
    let mut others: HashSet<NodeId> = whole.iter().copied().collect();
    others.extend(constant.iter().flat_map(|step| &step.operands));
    for step in &*steps {
        let is_product = multiplies(graph, step);
        let operands = step.operands.iter().enumerate();
        others.extend(operands.filter(|(at, _)| !is_product || *at != 1).map(|(_, id)| *id));
    }
    let mut packed = Packed::default();
    for step in steps.iter_mut().filter(|step| multiplies(graph, step)) {
        let Some(right) = step.operands.get(1).copied() else { continue };
        let node = graph.node(right);
        if let Some([_, columns]) = sizes(node)
            && node.ty.dtype == DType::F32
            && is_constant(right)
            && !others.contains(&right)
            && !(switched && matches!(node.kind, NodeKind::Op(Op::FakeQuantize(_))))
        {
            step.packed = Some(columns);
            packed.values.insert(right);
        }
    }
    let is_turned = |step: &&Step| is_transposition(graph, step.node) && packed.values.contains(&step.node);
    packed.turned = constant.iter().filter(is_turned).flat_map(|step| step.operands.clone()).collect();
    for step in constant.iter().filter(|step| !is_turned(step)).chain(&*steps) {
        step.operands.iter().for_each(|id| {
            packed.turned.remove(id);
        });
    }
    whole.iter().for_each(|id| {
        packed.turned.remove(id);
    });
    packed
}

/// The step multiplies by its second operand, as it is.
fn multiplies(graph: &Graph, step: &Step) -> bool {
    match step.work {
        Work::Operator => matches!(graph.node(step.node).kind, NodeKind::Op(Op::Matmul(_))),
        Work::Linear { .. } => true,
        Work::Product(Product { sides: [_, right], is_float, .. }) => right.is_codes && !is_float,
        _ => false,
    }
}

fn is_transposition(graph: &Graph, id: NodeId) -> bool {
    matches!(&graph.node(id).kind, NodeKind::Op(Op::Transpose(turned)) if turned.swaps())
}

/// The sizes of a matrix.
fn sizes(node: &Node) -> Option<[usize; 2]> {
    let size = |at: usize| usize::try_from(node.ty.shape.get(at)?.as_known()?).ok();
    if node.ty.rank() == 2 { Some([size(0)?, size(1)?]) } else { None }
}

/// The matrix of a node, of this many rows, whether it is packed, transposed, or not.
pub(crate) fn plain(given: &Tensor, rows: usize) -> candle_core::Result<Tensor> {
    if given.rank() == 3 { kernels::unpack(given, rows)?.t() } else { Ok(given.clone()) }
}

/// The weight at `path`, as the graph wants it.
pub(super) fn weight(
    (id, node): (NodeId, &Node),
    path: &str,
    weights: &mut HashMap<String, Tensor>,
    plan: &Plan,
    device: &Device,
) -> Result<Tensor, Failure> {
    let given =
        weights.get_mut(path).ok_or_else(|| Failure::input(format!("there is no weight `{path}`")))?;
    if let Some([rows, columns]) = sizes(node)
        && kernels::is_packed(given, columns, rows)
    {
        if plan.takes_packed(id) {
            return Ok(given.clone());
        }
        *given = plain(given, rows).map_err(outside)?;
    }
    let shape = node.ty.shape.iter().map(|dim| dim.as_known().and_then(|size| usize::try_from(size).ok()));
    if !shape.eq(given.dims().iter().copied().map(Some)) {
        let message = format!("the weight `{path}` is {:?}, but the spec says {}", given.dims(), node.ty);
        return Err(Failure::input(message));
    }
    let converted = convert(given, node.ty.dtype)
        .map_err(|reason| Failure::input(format!("the weight `{path}` cannot be used: {reason}")))?;
    // The map lets go of the original before the next weight is converted.
    *given = converted.to_device(device).map_err(outside)?;
    if plan.is_packed(id) { kernels::pack(given).map_err(outside) } else { Ok(given.clone()) }
}

/// The weights, by state-dict path, that a graph only multiplies by, transposed.
pub(crate) fn only_multiplied(graph: &Graph) -> BTreeSet<&str> {
    let uses = Uses::new(graph);
    let paths = graph.iter().filter_map(|(id, node)| match &node.kind {
        NodeKind::Parameter(parameter) => {
            let is_float = node.ty.dtype == DType::F32 && sizes(node).is_some();
            let wanted = is_float
                && uses.all(id, &|user, _| match &graph.node(user).kind {
                    NodeKind::Op(Op::Transpose(turned)) => turned.swaps() && uses.all(user, &is_right(graph)),
                    _ => false,
                });
            wanted.then_some(parameter.path.as_str())
        }
        _ => None,
    });
    paths.collect()
}

/// A matrix is the right side of this product.
fn is_right(graph: &Graph) -> impl Fn(NodeId, usize) -> bool {
    |user, at| at == 1 && matches!(graph.node(user).kind, NodeKind::Op(Op::Matmul(_)))
}

/// Packs a weight that is only multiplied by, transposed.
pub(crate) fn pack(weight: &Tensor) -> candle_core::Result<Tensor> {
    kernels::pack(&weight.t()?)
}

/// Lays the weights that a graph only uses transposed, quantized or not, out that way, in place
/// of their usual layout: their gradients come so.
///
/// # Errors
/// The device fails.
pub(crate) fn lay_out(graph: &Graph, weights: &mut HashMap<String, Tensor>) -> candle_core::Result<()> {
    let uses = Uses::new(graph);
    for (id, node) in graph.iter() {
        let NodeKind::Parameter(parameter) = &node.kind else { continue };
        let only_turned = uses.is_only_turned(id);
        let Some(weight) = weights.get_mut(&parameter.path).filter(|_| only_turned) else { continue };
        if weight.rank() == 2 && weight.is_contiguous() && kernels::fits(weight) {
            *weight = kernels::transpose(weight)?.t()?;
        }
    }
    Ok(())
}

/// What uses the values of a graph.
struct Uses<'a> {
    graph: &'a Graph,
    /// By node: the users of its value, and which of their operands it is.
    users: HashMap<NodeId, Vec<(NodeId, usize)>>,
    /// Values that are needed as they are.
    whole: HashSet<NodeId>,
}

impl Uses<'_> {
    fn new(graph: &Graph) -> Uses<'_> {
        let mut users: HashMap<NodeId, Vec<(NodeId, usize)>> = HashMap::new();
        for (id, node) in graph.iter() {
            for (at, operand) in node.operands.iter().enumerate() {
                users.entry(*operand).or_default().push((id, at));
            }
        }
        let whole = graph.outputs.iter().map(|output| output.node);
        let whole = whole.chain(graph.attached.iter().map(|(node, _)| *node)).collect();
        Uses { graph, users, whole }
    }

    /// There are users, and this holds for each; boundaries are looked through.
    fn all(&self, id: NodeId, holds: &dyn Fn(NodeId, usize) -> bool) -> bool {
        let users = self.users.get(&id).map(Vec::as_slice).unwrap_or_default();
        let fits = |(user, at): &(NodeId, usize)| match self.graph.node(*user).kind {
            NodeKind::Boundary => self.all(*user, holds),
            _ => holds(*user, *at),
        };
        !users.is_empty() && !self.whole.contains(&id) && users.iter().all(fits)
    }

    /// Whatever uses a value turns it, or quantizes it so that it is turned then.
    fn is_only_turned(&self, id: NodeId) -> bool {
        let users = self.users.get(&id).map(Vec::as_slice).unwrap_or_default();
        let turns = |(user, _): &(NodeId, usize)| match &self.graph.node(*user).kind {
            NodeKind::Op(Op::Transpose(_)) => true,
            NodeKind::Boundary | NodeKind::Op(Op::FakeQuantize(_)) => self.is_only_turned(*user),
            _ => false,
        };
        !users.is_empty() && users.iter().all(turns)
    }
}
