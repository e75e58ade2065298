//! What is wrong with a model, at its places in the spec.

use super::lint::{Finding, Level};
use crate::{
    codes,
    diagnostic::{Code, Diagnostic, Diagnostics},
    graph::Graph,
    ops::Mismatch,
    span::Span,
};
use std::collections::HashMap;

/// Where the values of a graph are written: fake quantizers at their rules.
pub(super) struct Places<'g> {
    spans: HashMap<&'g str, Span>,
}

impl<'g> Places<'g> {
    pub(super) fn new(graph: &'g Graph) -> Places<'g> {
        let mut spans: HashMap<&str, Span> =
            graph.nodes.iter().map(|node| (node.name.as_str(), node.span)).collect();
        // A value that is an output is called after it.
        let output = |name: &'g str, node| (name, graph.node(node).span);
        spans.extend(graph.outputs.iter().map(|one| output(&one.name, one.node)));
        let rule = |(node, at): &(_, usize)| {
            Some((graph.node(*node).name.as_str(), graph.quantizers.get(*at)?.rule))
        };
        spans.extend(graph.attached.iter().filter_map(rule));
        Places { spans }
    }

    /// Where the value, or the value that this one is a part of, is written.
    pub(super) fn of(&self, name: &str) -> Option<Span> {
        let own = name.split_once('/').map_or(name, |(own, _)| own);
        self.spans.get(own).copied()
    }
}

/// Something wrong at one value.
struct Problem<'a> {
    code: Code,
    level: Level,
    span: Option<Span>,
    name: &'a str,
    message: &'a str,
    help: Option<&'a str>,
}

/// What an opset cannot say: values and why.
pub(super) fn unsaid(graph: &Graph, found: &[(String, Mismatch)]) -> Diagnostics {
    let places = Places::new(graph);
    let problem = |(name, mismatch): &'_ (String, Mismatch)| (name.clone(), mismatch.clone());
    let owned: Vec<_> = found.iter().map(problem).collect();
    gathered(owned.iter().map(|(name, mismatch)| Problem {
        code: codes::NOT_IN_ONNX,
        level: Level::Error,
        span: places.of(name),
        name,
        message: &mismatch.message,
        help: mismatch.help.as_deref(),
    }))
}

/// What a target would not take, or not run as meant: one diagnostic for each rule of the
/// target and place in the spec.
pub fn located(graph: &Graph, findings: &[Finding]) -> Diagnostics {
    let places = Places::new(graph);
    gathered(findings.iter().map(|finding| Problem {
        code: Code(finding.rule.code),
        level: finding.level(),
        span: places.of(&finding.node),
        name: &finding.node,
        message: &finding.message,
        help: Some(finding.help()),
    }))
}

/// One diagnostic for each code, place and level; it names the first value.
fn gathered<'a>(problems: impl Iterator<Item = Problem<'a>>) -> Diagnostics {
    let mut groups: Vec<(Problem<'_>, usize)> = Vec::new();
    for problem in problems {
        let same = |(known, _): &&mut (Problem<'_>, usize)| {
            (known.code, known.level, known.span) == (problem.code, problem.level, problem.span)
        };
        match groups.iter_mut().find(same) {
            Some((_, more)) => *more += 1,
            None => groups.push((problem, 0)),
        }
    }
    let mut diagnostics = Diagnostics::default();
    for (problem, more) in groups {
        let others = if more == 0 { String::new() } else { format!(" and {more} more") };
        let message = format!("`{}`{others}: {}", problem.name, problem.message);
        let span = problem.span.unwrap_or_default();
        let diagnostic = match (problem.level, problem.span) {
            (Level::Error, None) => Diagnostic::outside(problem.code, message),
            (Level::Error, _) => Diagnostic::error(problem.code, span, message).mark("from here"),
            (Level::Warning, _) => Diagnostic::warning(problem.code, span, message).mark("from here"),
        };
        diagnostics.push(match problem.help {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        });
    }
    diagnostics
}
