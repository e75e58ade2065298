//! What a checkpoint holds beyond what a spec reads.

use super::{
    load::Note,
    names::{canonical, is_range, parts, within},
    packed,
};
use std::collections::{BTreeMap, HashSet};

/// Names listed before the rest is counted.
const LISTED: usize = 4;

/// Buffers that HuggingFace saves and computes anew when it loads.
const BUFFERS: [&str; 2] = ["position_ids", "token_type_ids"];

/// The two parts that every BERT has; what lies in neither belongs to a head.
const TRUNK: [&str; 2] = ["embeddings", "encoder"];

/// At most three notes: parts of other heads and buffers; ranges of quantizers
/// that are off or absent; anything else. `known` are canonical names.
pub(super) fn notes(file: &str, known: &HashSet<String>, names: &[&str]) -> Vec<Note> {
    let known_parts: HashSet<&str> = known.iter().flat_map(|name| parts(name)).collect();
    let mut heads: BTreeMap<String, usize> = BTreeMap::new();
    let mut others = Vec::new();
    let mut ranges = 0;
    let mut seen = HashSet::new();
    for name in names {
        let name = canonical(name);
        // Packed weights are used as they are, or unpacked by their own names.
        if packed::PARTS.iter().any(|part| name.ends_with(part)) {
            continue;
        }
        if known.contains(&name) || !seen.insert(name.clone()) {
            continue;
        }
        let last = name.rsplit('.').next().unwrap_or(&name);
        if is_range(&name) {
            ranges += 1;
        } else if BUFFERS.contains(&last) || !TRUNK.iter().any(|part| within(&name, part)) {
            let part = parts(&name).find(|part| !known_parts.contains(part)).unwrap_or(&name);
            *heads.entry(part.to_owned()).or_default() += 1;
        } else {
            others.push(format!("`{name}`"));
        }
    }
    let mut notes = Vec::new();
    if !heads.is_empty() {
        let heads = heads.iter().map(|(part, count)| match count {
            1 => format!("`{part}`"),
            count => format!("`{part}` ({count} tensors)"),
        });
        notes.push(Note(format!(
            "{file} also holds {}, which this spec has no use for",
            list(heads.collect())
        )));
    }
    if ranges > 0 {
        let ranges = if ranges == 1 { "1 range".into() } else { format!("{ranges} ranges") };
        notes.push(Note(format!(
            "{ranges} (`_amax`) of the checkpoint: unused, as no quantizer that is on needs them"
        )));
    }
    if !others.is_empty() {
        notes.push(Note(format!("{file} holds {}, which the spec does not read", list(others))));
    }
    notes
}

/// The first few, and how many more.
pub(super) fn list(mut items: Vec<String>) -> String {
    let more = items.len().saturating_sub(LISTED);
    items.truncate(LISTED);
    let shown = items.join(", ");
    if more == 0 { shown } else { format!("{shown} and {more} more") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_heads_and_buffers_are_one_note() {
        let known = ["embeddings.word_embeddings.weight", "cls.seq_relationship.weight"];
        let known: HashSet<String> = known.into_iter().map(str::to_owned).collect();
        let names = [
            "bert.embeddings.word_embeddings.weight",
            "bert.embeddings.position_ids",
            "bert.pooler.dense.weight",
            "bert.pooler.dense.bias",
            "cls.predictions.bias",
            "cls.seq_relationship.weight",
            "encoder.layer.0._input_quantizer._amax",
            "encoder.layer.12.output.dense.weight",
        ];
        let notes: Vec<String> = notes("m", &known, &names).into_iter().map(|note| note.0).collect();
        assert_eq!(
            notes,
            [
                "m also holds `cls.predictions`, `embeddings.position_ids`, `pooler` (2 tensors), which this \
                 spec has no use for",
                "1 range (`_amax`) of the checkpoint: unused, as no quantizer that is on needs them",
                "m holds `encoder.layer.12.output.dense.weight`, which the spec does not read",
            ]
        );
    }
}
