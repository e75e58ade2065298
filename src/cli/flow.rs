//! Where the value that a quantizer rounds comes from, and what it feeds.

use crate::graph::{Graph, Node, NodeId, NodeKind, Quantizer};

/// Operators that hand values on as they are.
const MOVES: [&str; 6] = ["transpose", "reshape", "concat", "slice", "select", "dropout"];

/// What a quantizer stands between.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// What makes the value, in words.
    pub from: Option<String>,
    /// What takes it, each in words.
    pub into: Vec<String>,
}

/// Follows the value of a quantizer both ways, through operators that only move it.
pub fn of(graph: &Graph, quantizer: &Quantizer) -> Flow {
    let is_own = |at: &usize| graph.quantizers.get(*at).is_some_and(|own| own.name == quantizer.name);
    let own: Vec<NodeId> =
        graph.attached.iter().filter(|(_, at)| is_own(at)).map(|(node, _)| *node).collect();
    let first = own.first().and_then(|node| graph.nodes.get(node.index()));
    let from = first.and_then(|node| node.operands.first()).and_then(|operand| maker(graph, *operand));
    let mut into = Vec::new();
    for node in own {
        users(graph, node, &mut Vec::new(), &mut into);
    }
    into.dedup();
    Flow { from, into }
}

/// ``the result of `add` in `Linear` (encoder...query), through `reshape` ``
fn maker(graph: &Graph, at: NodeId) -> Option<String> {
    let mut node = graph.nodes.get(at.index())?;
    let mut moves = Vec::new();
    // Operands come before what works on them, so this ends.
    while let (Some(name), [only, ..]) = (moved(node), node.operands.as_slice()) {
        moves.insert(0, name);
        node = graph.nodes.get(only.index())?;
    }
    let what = match &node.kind {
        NodeKind::Input => format!("the input `{}`", node.name),
        NodeKind::Parameter(parameter) => format!("the parameter `{}`", parameter.path),
        NodeKind::Constant(number) => format!("the number {number:?}"),
        NodeKind::Op(op) => format!("{}{}", called(op.schema().name, node), place(graph, node)),
        NodeKind::Boundary => place(graph, node),
    };
    Some(what + &through(&moves))
}

/// Everything that takes the value of a node.
fn users(graph: &Graph, at: NodeId, moves: &mut Vec<&'static str>, into: &mut Vec<String>) {
    for (id, node) in graph.iter().skip(at.index()) {
        let NodeKind::Op(op) = &node.kind else { continue };
        for (operand, port) in node.operands.iter().zip(op.schema().operands) {
            if *operand != at {
                continue;
            }
            if let Some(name) = moved(node).filter(|_| moves.len() < MOVES.len()) {
                moves.push(name);
                users(graph, id, moves, into);
                moves.pop();
                continue;
            }
            let taker = format!("`{port}` of {}{}", called(op.schema().name, node), place(graph, node));
            into.push(taker + &through(moves));
        }
    }
    for output in graph.outputs.iter().filter(|output| output.node == at) {
        into.push(format!("the output `{}`{}", output.name, through(moves)));
    }
}

fn moved(node: &Node) -> Option<&'static str> {
    let NodeKind::Op(op) = &node.kind else { return None };
    MOVES.into_iter().find(|name| *name == op.schema().name)
}

/// ``matmul `scores` ``: the operator, and what the spec calls its value.
fn called(operator: &str, node: &Node) -> String {
    let own = node.name.rsplit('.').find(|part| part.parse::<u64>().is_err()).unwrap_or_default();
    if own == operator { format!("`{operator}`") } else { format!("`{operator}` `{own}`") }
}

/// `` in `SelfAttention` (encoder.layer.0.attention.self)``
fn place(graph: &Graph, node: &Node) -> String {
    match graph.scopes.get(node.scope.0 as usize) {
        Some(scope) if scope.path.is_empty() => format!(" in `{}`", scope.module),
        Some(scope) => format!(" in `{}` ({})", scope.module, scope.path),
        None => String::new(),
    }
}

fn through(moves: &[&str]) -> String {
    match moves {
        [] => String::new(),
        moves => {
            let moves: Vec<String> = moves.iter().map(|name| format!("`{name}`")).collect();
            format!(", through {}", moves.join(" and "))
        }
    }
}
