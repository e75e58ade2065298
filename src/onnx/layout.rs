//! Graph to graph, before it is written down: numbers laid out as targets want them.

use crate::{
    graph::{Graph, Node, NodeId, NodeKind, Rewrite},
    ops::{FakeQuantize, Op, Reshape, Transpose},
    types::{Dim, TensorType},
};
use std::collections::HashMap;

/// Makes one node of those that compute the same of weights alone: a module that is used
/// twice has its weights in the model once.
pub(super) fn share(graph: Graph) -> Graph {
    let mut rewrite = Rewrite::new(&graph);
    let mut known: HashMap<Vec<NodeId>, Vec<NodeId>> = HashMap::new();
    let mut constant = vec![false; graph.nodes.len()];
    for (id, node) in graph.iter() {
        let of_weights = !node.operands.is_empty()
            && node.operands.iter().all(|operand| constant.get(operand.index()) == Some(&true));
        if let Some(slot) = constant.get_mut(id.index()) {
            *slot = of_weights || matches!(node.kind, NodeKind::Parameter(_) | NodeKind::Constant(_));
        }
        let operands: Vec<NodeId> =
            node.operands.iter().filter_map(|operand| rewrite.get(*operand)).collect();
        let same =
            |made: &&NodeId| rewrite.nodes.get(made.index()).is_some_and(|made| made.kind == node.kind);
        match known.get(&operands).and_then(|made| made.iter().find(same)).filter(|_| of_weights) {
            Some(made) => rewrite.map(id, *made),
            None => {
                let made = rewrite.keep(id, node);
                known.entry(operands).or_default().push(made);
            }
        }
    }
    rewrite.finish(graph)
}

/// Turns weights before they are quantized rather than after, so that nothing stands
/// between a `DequantizeLinear` and its `MatMul`: the codes are the same, and weights
/// are stored `[in, out]` with their ranges along axis 1.
pub(super) fn turn_weights(graph: Graph) -> Graph {
    let users = users(&graph);
    let mut rewrite = Rewrite::new(&graph);
    for (id, node) in graph.iter() {
        let user = match users.get(id.index()).map(Vec::as_slice) {
            Some([Some(user)]) => Some(graph.node(*user)),
            _ => None,
        };
        let turned = match (&node.kind, user.map(|user| (user, &user.kind))) {
            (
                NodeKind::Op(Op::FakeQuantize(quantizer)),
                Some((user, NodeKind::Op(Op::Transpose(transpose)))),
            ) if is_parameter(&graph, node.operands.first()) => {
                turn(&mut rewrite, &graph, (node, quantizer), (user, transpose))
            }
            (NodeKind::Op(Op::Transpose(_)), _) => node
                .operands
                .first()
                .filter(|operand| is_turned(&rewrite, &graph, **operand, node))
                .and_then(|operand| rewrite.get(*operand)),
            _ => None,
        };
        match turned {
            Some(turned) => rewrite.map(id, turned),
            None => _ = rewrite.keep(id, node),
        }
    }
    rewrite.finish(graph)
}

/// The operand has been turned for this transpose, its one user.
fn is_turned(rewrite: &Rewrite, graph: &Graph, operand: NodeId, transpose: &Node) -> bool {
    let now = rewrite.get(operand).and_then(|id| rewrite.nodes.get(id.index()));
    let quantizes = matches!(graph.node(operand).kind, NodeKind::Op(Op::FakeQuantize(_)));
    // Its operand is the transpose that now stands before it.
    let before = now.and_then(|now| rewrite.nodes.get(now.operands.first()?.index()));
    quantizes && before.is_some_and(|before| before.name == transpose.name)
}

/// A quantized parameter and the transpose after it, the other way round.
fn turn(
    rewrite: &mut Rewrite,
    graph: &Graph,
    (node, quantizer): (&Node, &FakeQuantize),
    (user, transpose): (&Node, &Transpose),
) -> Option<NodeId> {
    let [x, range] = node.operands[..] else { return None };
    let rank = i64::try_from(node.ty.rank()).ok()?;
    let from_front = |axis: i64| if axis < 0 { axis + rank } else { axis };
    let order: Vec<i64> = transpose.axes.iter().map(|axis| from_front(*axis)).collect();
    let axis = match quantizer.axis {
        None => None,
        // An axis is below the rank, which fits.
        Some(axis) => Some(order.iter().position(|from| *from == from_front(axis))? as i64),
    };
    let (old_x, mut range_ty) = (rewrite.get(x)?, graph.node(range).ty.clone());
    let mut range = rewrite.get(range)?;
    let turned_x = rewrite.add(Node { operands: vec![old_x], ..user.clone() });
    // Learned bounds have an axis of their own before the others.
    let lead = i64::from(quantizer.learn);
    if i64::try_from(range_ty.rank()).ok()? > lead {
        let axes: Vec<i64> = (0..lead).chain(order.iter().map(|axis| axis + lead)).collect();
        let sizes: Option<Vec<Dim>> =
            axes.iter().map(|axis| range_ty.shape.get(usize::try_from(*axis).ok()?).cloned()).collect();
        range_ty.shape = sizes?;
        // All axes but one have size 1: turning it is giving it another shape.
        range = rewrite.add(Node {
            kind: NodeKind::Op(Op::Reshape(Reshape { shape: range_ty.shape.clone() })),
            operands: vec![range],
            name: format!("{}.range", user.name),
            ty: range_ty,
            ..node.clone()
        });
    }
    Some(rewrite.add(Node {
        kind: NodeKind::Op(Op::FakeQuantize(FakeQuantize { axis, ..quantizer.clone() })),
        operands: vec![turned_x, range],
        ty: user.ty.clone(),
        ..node.clone()
    }))
}

/// Gives the bias of a matrix product the rank of the product. ONNX Runtime makes a
/// `Gemm` of a product and a bias of one axis where sizes are fixed, and quantizes that
/// bias to int32, which changes numbers, or leaves the product in float.
pub(super) fn widen_biases(graph: Graph) -> Graph {
    rewritten(graph, |rewrite, graph, node| {
        let (NodeKind::Op(Op::Add(_)), [lhs, rhs]) = (&node.kind, &node.operands[..]) else { return None };
        let is_product = |id: NodeId| matches!(graph.node(id).kind, NodeKind::Op(Op::Matmul(_)));
        let (bias, product) = if is_product(*lhs) { (*rhs, *lhs) } else { (*lhs, *rhs) };
        let ty = &graph.node(bias).ty;
        if !is_product(product) || !is_parameter(graph, Some(&bias)) || ty.rank() != 1 {
            return None;
        }
        let ones = graph.node(product).ty.rank().saturating_sub(1);
        let shape = [vec![Dim::known(1); ones], ty.shape.clone()].concat();
        let wide = rewrite.add(Node {
            kind: NodeKind::Op(Op::Reshape(Reshape { shape: shape.clone() })),
            operands: vec![rewrite.get(bias)?],
            name: format!("{}.bias", node.name),
            ty: TensorType::new(ty.dtype, shape),
            ..node.clone()
        });
        let swap = |id: NodeId| if id == bias { Some(wide) } else { rewrite.get(id) };
        let operands = node.operands.iter().map(|id| swap(*id)).collect::<Option<Vec<_>>>()?;
        Some(Node { operands, ..node.clone() })
    })
}

/// Puts a reshape that changes nothing between a sum and its layer norm. ONNX Runtime's
/// kernel for both together takes several times as long as the two apart.
pub(super) fn separate_norms(graph: Graph) -> Graph {
    rewritten(graph, |rewrite, graph, node| {
        let (NodeKind::Op(Op::LayerNorm(_)), [x, ..]) = (&node.kind, &node.operands[..]) else { return None };
        let sum = graph.node(*x);
        if !matches!(sum.kind, NodeKind::Op(Op::Add(_))) {
            return None;
        }
        let apart = rewrite.add(Node {
            kind: NodeKind::Op(Op::Reshape(Reshape { shape: sum.ty.shape.clone() })),
            operands: vec![rewrite.get(*x)?],
            name: format!("{}.input", node.name),
            ty: sum.ty.clone(),
            ..node.clone()
        });
        let rest = node.operands.iter().skip(1).map(|id| rewrite.get(*id)).collect::<Option<Vec<_>>>()?;
        Some(Node { operands: [vec![apart], rest].concat(), ..node.clone() })
    })
}

/// The graph with some nodes made anew; `None` keeps one as it is.
fn rewritten(graph: Graph, change: impl Fn(&mut Rewrite, &Graph, &Node) -> Option<Node>) -> Graph {
    let mut rewrite = Rewrite::new(&graph);
    for (id, node) in graph.iter() {
        match change(&mut rewrite, &graph, node) {
            Some(changed) => {
                let changed = rewrite.add(changed);
                rewrite.map(id, changed);
            }
            None => _ = rewrite.keep(id, node),
        }
    }
    rewrite.finish(graph)
}

fn is_parameter(graph: &Graph, id: Option<&NodeId>) -> bool {
    id.is_some_and(|id| matches!(graph.node(*id).kind, NodeKind::Parameter(_)))
}

/// What uses each node, by its position: nodes, and `None` for an output.
pub(super) fn users(graph: &Graph) -> Vec<Vec<Option<NodeId>>> {
    let mut users = vec![Vec::new(); graph.nodes.len()];
    let of_nodes =
        graph.iter().flat_map(|(id, node)| node.operands.iter().map(move |used| (*used, Some(id))));
    let of_outputs = graph.outputs.iter().map(|output| (output.node, None));
    for (used, user) in of_nodes.chain(of_outputs) {
        if let Some(users) = users.get_mut(used.index()) {
            users.push(user);
        }
    }
    users
}
