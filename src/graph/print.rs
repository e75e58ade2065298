//! A graph written down: as text to read and compare, as RON to load, as DOT to draw.
//!
//! Values are called by their names, never by their places, and no dump holds a
//! place in the spec.

use super::{Graph, Node, NodeKind};
use serde::Serialize;
use std::{collections::BTreeMap, fmt::Write};

/// The graph as text, one value a line.
pub fn text(graph: &Graph) -> String {
    let mut out = format!("graph {}\n", graph.name);
    for dim in &graph.dims {
        if let Some(product) = &dim.product {
            let factors: Vec<String> = product.iter().map(ToString::to_string).collect();
            let _ = writeln!(out, "dim {} = {}", dim.symbol, factors.join(" * "));
        }
    }
    for check in &graph.checks {
        let _ = writeln!(out, "check {} {} {}", check.left, check.comparison, check.right);
    }
    out.push('\n');
    for node in &graph.nodes {
        let _ = writeln!(out, "{}: {} = {}", node.name, node.ty, value(graph, node));
    }
    out.push('\n');
    for output in &graph.outputs {
        let _ = writeln!(out, "output {} = {}", output.name, graph.node(output.node).name);
    }
    for answer in &graph.answers {
        let _ = writeln!(out, "answer {:?}({})", answer.kind, answer.outputs.join(", "));
    }
    out + &quantizers(graph)
}

/// The quantizers with their schemes in a spec's words, and which share a range.
fn quantizers(graph: &Graph) -> String {
    let mut out = String::new();
    let mut ties: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for quantizer in &graph.quantizers {
        let limit = quantizer.limit.map_or_else(String::new, |limit| format!(", at most {limit}"));
        let _ = writeln!(out, "quantizer {} = {}{limit}", quantizer.name, quantizer.scheme);
        if let Some(tie) = quantizer.tie {
            ties.entry(tie).or_default().push(&quantizer.name);
        }
    }
    for names in ties.values() {
        let _ = writeln!(out, "tie {}", names.join(", "));
    }
    if out.is_empty() { out } else { format!("\n{out}") }
}

/// How the value of a node comes about, as text.
fn value(graph: &Graph, node: &Node) -> String {
    let mut arguments: Vec<String> = node.operands.iter().map(|id| graph.node(*id).name.clone()).collect();
    match &node.kind {
        NodeKind::Input => "input".into(),
        NodeKind::Constant(number) => format!("{number:?}"),
        NodeKind::Boundary => format!("boundary({})", arguments.join(", ")),
        NodeKind::Parameter(parameter) => {
            let tied: String = parameter.tied.iter().map(|path| format!(", tied \"{path}\"")).collect();
            format!("parameter(\"{}\"{tied})", parameter.path)
        }
        NodeKind::Op(op) => {
            arguments.extend(op.attributes().into_iter().map(|(name, value)| format!("{name}: {value}")));
            format!("{}({})", op.schema().name, arguments.join(", "))
        }
    }
}

/// The graph as RON: the same facts as [`text`], for other programs.
pub fn ron(graph: &Graph) -> Result<String, ron::Error> {
    #[derive(Serialize)]
    struct Dump<'a> {
        name: &'a str,
        checks: Vec<String>,
        values: Vec<Value<'a>>,
        outputs: Vec<(&'a str, &'a str)>,
        quantizers: Vec<Placed<'a>>,
        answers: &'a [crate::answer::Answer],
    }
    #[derive(Serialize)]
    struct Value<'a> {
        name: &'a str,
        ty: String,
        op: &'a str,
        operands: Vec<&'a str>,
        attributes: Vec<(&'a str, String)>,
    }
    #[derive(Serialize)]
    struct Placed<'a> {
        name: &'a str,
        scheme: &'a crate::quant::Scheme,
        limit: Option<f64>,
        tie: Option<u32>,
    }
    let dump = Dump {
        name: &graph.name,
        checks: graph.checks.iter().map(|c| format!("{} {} {}", c.left, c.comparison, c.right)).collect(),
        values: graph
            .nodes
            .iter()
            .map(|node| Value {
                name: &node.name,
                ty: node.ty.to_string(),
                op: kind(node),
                operands: node.operands.iter().map(|id| graph.node(*id).name.as_str()).collect(),
                attributes: match &node.kind {
                    NodeKind::Op(op) => {
                        op.attributes().into_iter().map(|(n, v)| (n, v.to_string())).collect()
                    }
                    NodeKind::Constant(number) => vec![("value", format!("{number:?}"))],
                    _ => Vec::new(),
                },
            })
            .collect(),
        outputs: graph
            .outputs
            .iter()
            .map(|output| (output.name.as_str(), graph.node(output.node).name.as_str()))
            .collect(),
        quantizers: graph
            .quantizers
            .iter()
            .map(|q| Placed { name: &q.name, scheme: &q.scheme, limit: q.limit, tie: q.tie })
            .collect(),
        answers: &graph.answers,
    };
    ron::ser::to_string_pretty(&dump, ron::ser::PrettyConfig::new().compact_arrays(true))
}

/// The graph as DOT, module instances as boxes around their values.
pub fn dot(graph: &Graph) -> String {
    let mut out = format!("digraph \"{}\" {{\n  rankdir=TB; node [shape=box, fontsize=10];\n", graph.name);
    let mut order: Vec<usize> = (0..graph.scopes.len()).collect();
    order.sort_by_key(|index| graph.scopes.get(*index).map(|scope| scope.path.clone()));
    let mut inside: BTreeMap<usize, Vec<&Node>> = BTreeMap::new();
    for node in &graph.nodes {
        inside.entry(node.scope.0 as usize).or_default().push(node);
    }
    for index in order {
        let (Some(scope), Some(own)) = (graph.scopes.get(index), inside.remove(&index)) else { continue };
        if !scope.path.is_empty() {
            let _ =
                writeln!(out, "  subgraph \"cluster_{0}\" {{ label=\"{0}: {1}\";", scope.path, scope.module);
        }
        for node in own {
            let _ = writeln!(
                out,
                "    \"{}\" [label=\"{}\\n{}\\n{}\"];",
                node.name,
                kind(node),
                node.name,
                node.ty
            );
        }
        if !scope.path.is_empty() {
            out.push_str("  }\n");
        }
    }
    for node in &graph.nodes {
        for operand in &node.operands {
            let _ = writeln!(out, "  \"{}\" -> \"{}\";", graph.node(*operand).name, node.name);
        }
    }
    for output in &graph.outputs {
        let _ = writeln!(out, "  \"output {}\" [shape=oval];", output.name);
        let _ = writeln!(out, "  \"{}\" -> \"output {}\";", graph.node(output.node).name, output.name);
    }
    out + "}\n"
}

fn kind(node: &Node) -> &'static str {
    match &node.kind {
        NodeKind::Input => "input",
        NodeKind::Parameter(_) => "parameter",
        NodeKind::Constant(_) => "number",
        NodeKind::Boundary => "boundary",
        NodeKind::Op(op) => op.schema().name,
    }
}
