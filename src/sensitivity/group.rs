//! Quantizers taken together.

use super::On;
use crate::graph::{Graph, Quantizer};
use std::collections::BTreeMap;

/// What quantizers are taken together by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// All of one layer.
    Layer,
    /// The same place in every layer.
    Kind,
    /// Each alone; those that are tied together.
    Site,
}

/// Quantizers that are switched together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// What they have in common: `encoder.layer.0`, `encoder.layer.*.output.dense._input_quantizer`.
    pub name: String,
    /// Their names.
    pub quantizers: On,
}

/// Every quantizer of the graph in one group, in the order of the graph. Tied
/// quantizers, which share a range, are in one group.
pub fn groups(graph: &Graph, by: By) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut ties: BTreeMap<u32, usize> = BTreeMap::new();
    for quantizer in &graph.quantizers {
        let name = name(quantizer, by);
        let known = quantizer.tie.and_then(|tie| ties.get(&tie)).or_else(|| places.get(&name)).copied();
        let at = known.unwrap_or_else(|| {
            groups.push(Group { name: name.clone(), quantizers: On::new() });
            groups.len() - 1
        });
        places.insert(name, at);
        if let Some(tie) = quantizer.tie {
            ties.insert(tie, at);
        }
        if let Some(group) = groups.get_mut(at) {
            group.quantizers.insert(quantizer.name.clone());
        }
    }
    groups
}

fn name(quantizer: &Quantizer, by: By) -> String {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = quantizer.name.split('.').collect();
    match by {
        By::Site => quantizer.name.clone(),
        By::Kind => wildcard(&quantizer.name),
        By::Layer => {
            // What is in no layer goes by its first part.
            let end = parts.iter().position(|part| is_number(part)).unwrap_or(0);
            parts.get(..=end).unwrap_or_default().join(".")
        }
    }
}

/// The path with `*` in place of every number.
pub(super) fn wildcard(path: &str) -> String {
    let part = |part: &str| match part.bytes().all(|byte| byte.is_ascii_digit()) && !part.is_empty() {
        true => "*".to_owned(),
        false => part.to_owned(),
    };
    path.split('.').map(part).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        quant::{Mode, RangeSource, Scheme, Storage},
        span::Span,
    };

    fn graph(names: &[(&str, Option<u32>)]) -> Graph {
        let quantizer = |(name, tie): &(&str, Option<u32>)| Quantizer {
            name: (*name).to_owned(),
            scheme: Scheme {
                storage: Storage::E4M3,
                axis: None,
                mode: Mode::Onnx,
                range: RangeSource::Dynamic,
                scale_amax: None,
            },
            limit: None,
            tie: *tie,
            site: 0,
            rule: Span::default(),
            kind: "a".to_owned(),
        };
        Graph { quantizers: names.iter().map(quantizer).collect(), ..Graph::default() }
    }

    #[test]
    fn every_quantizer_is_in_one_group() {
        let graph = graph(&[
            ("encoder.layer.0.query._input_quantizer", Some(7)),
            ("encoder.layer.0.key._input_quantizer", Some(7)),
            ("encoder.layer.1.query._input_quantizer", None),
            ("pooler.dense._input_quantizer", None),
        ]);
        let named = |by| {
            let groups = groups(&graph, by).into_iter();
            groups.map(|group| (group.name, group.quantizers.len())).collect::<Vec<_>>()
        };
        let expected = |list: &[(&str, usize)]| {
            list.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect::<Vec<_>>()
        };
        assert_eq!(
            named(By::Layer),
            expected(&[("encoder.layer.0", 2), ("encoder.layer.1", 1), ("pooler", 1)])
        );
        assert_eq!(
            named(By::Kind),
            expected(&[("encoder.layer.*.query._input_quantizer", 3), ("pooler.dense._input_quantizer", 1)])
        );
        assert_eq!(
            named(By::Site),
            expected(&[
                ("encoder.layer.0.query._input_quantizer", 2),
                ("encoder.layer.1.query._input_quantizer", 1),
                ("pooler.dense._input_quantizer", 1)
            ])
        );
    }
}
