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
/// quantizers, which share a range, are in one group: a tie between two groups
/// makes them one, under the name of the first.
pub fn groups(graph: &Graph, by: By) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    // Which group quantizers of this name, and those of this tie, are in.
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut ties: BTreeMap<u32, usize> = BTreeMap::new();
    for quantizer in &graph.quantizers {
        let name = name(quantizer, by);
        let alike = places.get(&name).copied();
        let tied = quantizer.tie.and_then(|tie| ties.get(&tie)).copied();
        let at = match (alike, tied) {
            (Some(one), Some(other)) if one != other => {
                let (first, second) = (one.min(other), one.max(other));
                let now = |at: &mut usize| *at = if *at == second { first } else { *at };
                places.values_mut().chain(ties.values_mut()).for_each(now);
                join(&mut groups, first, second);
                first
            }
            (Some(at), _) | (_, Some(at)) => at,
            (None, None) => {
                groups.push(Group { name: name.clone(), quantizers: On::new() });
                groups.len() - 1
            }
        };
        places.insert(name, at);
        if let Some(tie) = quantizer.tie {
            ties.insert(tie, at);
        }
        if let Some(group) = groups.get_mut(at) {
            group.quantizers.insert(quantizer.name.clone());
        }
    }
    // Those that became part of another are empty.
    groups.retain(|group| !group.quantizers.is_empty());
    groups
}

/// Moves what is in the second group to the first.
fn join(groups: &mut [Group], first: usize, second: usize) {
    let moved = groups.get_mut(second).map(|group| std::mem::take(&mut group.quantizers));
    if let Some(group) = groups.get_mut(first) {
        group.quantizers.extend(moved.into_iter().flatten());
    }
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

    /// In the first layer nothing is tied, in the second query and key are: the two kinds are one group, and
    /// so whatever comes first.
    #[test]
    fn ties_of_some_layers_join_groups() {
        let mut names = [
            ("encoder.layer.0.query", None),
            ("encoder.layer.0.key", None),
            ("encoder.layer.0.value", None),
            ("encoder.layer.1.query", Some(7)),
            ("encoder.layer.1.key", Some(7)),
            ("encoder.layer.1.value", None),
        ];
        for _ in 0..names.len() {
            let mut found: Vec<Vec<String>> = groups(&graph(&names), By::Kind)
                .into_iter()
                .map(|group| group.quantizers.into_iter().collect())
                .collect();
            found.sort();
            let layers = ["encoder.layer.0", "encoder.layer.1"];
            let paths = |kinds: &[&str]| -> Vec<String> {
                layers
                    .iter()
                    .flat_map(|layer| kinds.iter().map(move |kind| format!("{layer}.{kind}")))
                    .collect()
            };
            assert_eq!(found, [paths(&["key", "query"]), paths(&["value"])], "{names:?}");
            names.rotate_left(1);
        }
        // A tie between layers makes them one.
        let tied = graph(&[
            ("encoder.layer.0.query", None),
            ("encoder.layer.1.query", None),
            ("pooler.dense", None),
            ("encoder.layer.0.residual", Some(1)),
            ("encoder.layer.1.residual", Some(1)),
        ]);
        let found: Vec<(String, usize)> =
            groups(&tied, By::Layer).into_iter().map(|group| (group.name, group.quantizers.len())).collect();
        assert_eq!(found, [("encoder.layer.0".to_owned(), 4), ("pooler".to_owned(), 1)]);
    }
}
