//! A recipe that leaves quantizers out, written as a `quantize` block.

use super::group::wildcard;
use crate::{
    compile::Program,
    graph::{Graph, PathPattern, Quantizer},
    span::{FileId, Span},
    syntax::{
        self,
        ast::{ItemKind, Name, Quantize, Rule, RuleKind},
    },
};
use std::collections::{BTreeMap, BTreeSet};

/// The recipe of a program without some quantizers, each with the reason, which
/// becomes a comment of its rule. `graph` is the program's, with every quantizer;
/// `about` is the comment above all.
pub fn without(
    program: &Program,
    graph: &Graph,
    left_out: &BTreeMap<String, String>,
    about: &[String],
) -> String {
    let writer = Writer { program, graph, left_out };
    let mut text: String = about.iter().map(|line| format!("# {line}\n")).collect();
    for item in program.files.iter().flat_map(|file| &file.items) {
        if let ItemKind::Quantize(block) = &item.kind {
            text += "\n";
            text += &writer.block(block);
        }
    }
    match syntax::parse(FileId(0), &text) {
        Ok(tree) => syntax::print(&tree, &text),
        Err(_) => text,
    }
}

struct Writer<'a> {
    program: &'a Program,
    graph: &'a Graph,
    left_out: &'a BTreeMap<String, String>,
}

impl Writer<'_> {
    fn block(&self, block: &Quantize) -> String {
        let rules: Vec<(&Rule, Vec<String>)> =
            block.rules.iter().map(|rule| (rule, self.rule(rule))).collect();
        // A quantizer that is attached nowhere is an error.
        let attached: BTreeSet<&str> = rules
            .iter()
            .filter(|(_, lines)| lines.iter().any(|line| !line.starts_with('#')))
            .filter_map(|(rule, _)| match &rule.kind {
                RuleKind::Attach { quantizer, .. } => Some(quantizer.value.as_str()),
                _ => None,
            })
            .collect();
        let mut text = format!("quantize {} {{\n", block.name.value);
        for (rule, lines) in &rules {
            let is_idle = matches!(&rule.kind, RuleKind::Quantizer { name, .. } if !attached.contains(name.value.as_str()));
            for line in lines.iter().filter(|_| !is_idle) {
                text += line;
                text += "\n";
            }
        }
        text + "}\n"
    }

    /// The lines that a rule becomes: comments, and what is left of it.
    fn rule(&self, rule: &Rule) -> Vec<String> {
        let whole = || vec![self.program.sources.slice(rule.span).to_owned()];
        let RuleKind::Attach { sites, except, .. } = &rule.kind else { return whole() };
        let placed: Vec<&Quantizer> =
            self.graph.quantizers.iter().filter(|quantizer| quantizer.rule == rule.span).collect();
        if !placed.iter().any(|quantizer| self.left_out.contains_key(&quantizer.name)) {
            return whole();
        }
        let mut lines = Vec::new();
        for port in &sites.ports {
            lines.push(String::new());
            let of_port = placed.iter().filter(|quantizer| self.port(quantizer) == port.value);
            let (gone, kept): (Vec<&Quantizer>, Vec<&Quantizer>) =
                of_port.copied().partition(|quantizer| self.left_out.contains_key(&quantizer.name));
            for quantizer in &gone {
                let reason = self.left_out.get(&quantizer.name).map_or("", String::as_str);
                lines.push(format!("# {}: {reason}", quantizer.name));
            }
            if kept.is_empty() && !gone.is_empty() {
                lines.push(format!("# so no {} of {} has a quantizer", port.value, sites.of.value));
            } else {
                lines.push(self.narrowed(rule, (&sites.ports, port), except, &self.paths(&gone, &kept)));
            }
        }
        lines
    }

    /// The rule for one of its ports, with more exceptions.
    fn narrowed(
        &self,
        rule: &Rule,
        (ports, port): (&[Name], &Name),
        except: &[Name],
        more: &[String],
    ) -> String {
        let sources = &self.program.sources;
        let part = |start, end| sources.slice(Span { file: rule.span.file, start, end });
        let first = ports.first().map_or(rule.span.start, |first| first.span.start);
        let last = ports.last().map_or(rule.span.start, |last| last.span.end);
        let head = part(rule.span.start, first);
        let tail = part(last, rule.span.end);
        let exceptions = match (more, except) {
            ([], _) => String::new(),
            (more, []) => format!(" except at {}", more.join(", ")),
            (more, _) => format!(", {}", more.join(", ")),
        };
        format!("{head}{}{tail}{exceptions}", port.value)
    }

    /// Paths of what is gone; `*` for numbers where nothing kept is meant as well.
    fn paths(&self, gone: &[&Quantizer], kept: &[&Quantizer]) -> Vec<String> {
        let mut paths = Vec::new();
        for quantizer in gone {
            let own = self.path(quantizer);
            let wide = wildcard(own);
            let pattern = PathPattern::new(&wide);
            let reaches = kept.iter().any(|kept| pattern.matches(self.path(kept)));
            let path = if reaches { own.to_owned() } else { wide };
            if !paths.contains(&path) {
                paths.push(path);
            }
        }
        paths
    }

    fn path(&self, quantizer: &Quantizer) -> &str {
        self.graph.sites.get(quantizer.site).map_or("", |site| site.path.as_str())
    }

    fn port(&self, quantizer: &Quantizer) -> &str {
        self.graph.sites.get(quantizer.site).map_or("", |site| site.port.as_str())
    }
}
