//! A plan for reading.

use super::{
    Executor,
    program::{BufferId, Form, Place, Step, Work},
    schedule::Part,
};
use crate::{
    backends::candle::plan,
    graph::{NodeId, NodeKind},
};
use std::{collections::BTreeMap, fmt::Write};

impl Executor {
    /// What runs in integers, what does not, and why, a step a line: the value that it ends in,
    /// what it computes, and after an arrow what the result is kept as: `f32`, or the codes of
    /// quantizers.
    pub fn describe(&self) -> String {
        let (done, all) = self.products();
        let mut text = format!("plan {}: {done} of {all} products in int8\n", self.graph().name);
        if self.padding.is_some() {
            text.push_str(
                "tokens that the attention mask leaves out are not computed where nobody asks for them\n",
            );
        }
        let mut quantizers: BTreeMap<BufferId, Vec<&str>> = BTreeMap::new();
        for (node, place) in &self.program.codes {
            if let Place::Whole(buffer) | Place::Heads { buffer, .. } = place {
                quantizers.entry(*buffer).or_default().push(&self.graph().node(*node).name);
            }
        }
        for part in &self.parts {
            // Writing to a string does not fail.
            let _ = match part {
                Part::Float(steps) => {
                    let lines = steps.iter().map(|step| format!("    {}", self.float_line(step)));
                    writeln!(text, "\nin float\n{}", lines.collect::<Vec<_>>().join("\n"))
                }
                Part::Integer { steps, .. } => {
                    let lines = self.steps(steps).map(|step| self.line(step, &quantizers));
                    writeln!(text, "\nin integers\n{}", lines.collect::<Vec<_>>().join("\n"))
                }
            };
        }
        if !self.reasons.is_empty() {
            text.push_str("\nproducts in float, and why\n");
            for (node, reason) in &self.reasons {
                let _ = writeln!(text, "    {}: {reason}", self.graph().node(*node).name);
            }
        }
        text
    }

    fn float_line(&self, step: &plan::Step) -> String {
        let node = self.graph().node(step.node);
        let operator = match (&node.kind, step.work) {
            (_, plan::Work::Linear { gelu: false }) => "linear",
            (_, plan::Work::Linear { gelu: true }) => "linear, gelu",
            (_, plan::Work::AddNorm { .. }) => "add, layer_norm",
            (_, plan::Work::MaskedSoftmax { .. }) => "divide, add, softmax",
            (_, plan::Work::Codes) => "quantize",
            (_, plan::Work::Product(product)) => match (product.bias, product.gelu) {
                (false, false) => "matmul of codes",
                (false, true) => "matmul of codes, gelu",
                (true, false) => "linear of codes",
                (true, true) => "linear of codes, gelu",
            },
            (NodeKind::Op(op), plan::Work::Operator) => op.schema().name,
            _ => "value",
        };
        format!("{} = {operator}", node.name)
    }

    fn line(&self, step: &Step, quantizers: &BTreeMap<BufferId, Vec<&str>>) -> String {
        let name = |node: &NodeId| self.graph().node(*node).name.as_str();
        let work = match &step.work {
            Work::Linear(linear) => {
                let (rows, columns) = (linear.weight.rows(), linear.weight.columns());
                let gelu = if linear.gelu { ", gelu" } else { "" };
                format!("linear {rows} to {columns}{gelu}")
            }
            Work::Attention(attention) => {
                let mask = attention.mask.map_or_else(String::new, |mask| format!(", mask {}", name(&mask)));
                format!("attention {} heads of {}{mask}", attention.heads, attention.size)
            }
            Work::AddNorm(norm) if norm.addends.len() > 1 => "add, layer_norm".to_owned(),
            Work::AddNorm(_) => "layer_norm".to_owned(),
            Work::Embedding(embedding) => format!("gather {}, add, layer_norm", embedding.terms.len()),
            Work::Quantize(_) => "quantize".to_owned(),
        };
        let kept = step.results.iter().map(|buffer| match self.program.buffers.get(buffer.0) {
            Some(buffer) if buffer.form == Form::Float => "f32".to_owned(),
            _ => quantizers.get(buffer).map_or_else(|| "codes".to_owned(), |names| names.join(" = ")),
        });
        let kept = kept.collect::<Vec<_>>().join("\n        -> ");
        format!("    {} = {work}\n        -> {kept}", name(&step.node))
    }
}
