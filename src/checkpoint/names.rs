//! One name for a tensor, however it was saved.

use std::collections::HashMap;

/// A name without what differs between savers: the prefixes of
/// `DataParallel` (`module.`) and of the model inside a head (`bert.`), and the
/// names `gamma` and `beta` of TensorFlow for a layer norm's `weight` and `bias`.
pub(super) fn canonical(name: &str) -> String {
    let name = name.strip_prefix("module.").unwrap_or(name);
    let name = name.strip_prefix("bert.").unwrap_or(name);
    if let Some(owner) = name.strip_suffix(".gamma") {
        format!("{owner}.weight")
    } else if let Some(owner) = name.strip_suffix(".beta") {
        format!("{owner}.bias")
    } else {
        name.to_owned()
    }
}

/// The name that a tensor is saved under: its own, without `module.`, and with
/// today's names of a layer norm's parameters.
pub(super) fn saved(name: &str) -> String {
    let name = name.strip_prefix("module.").unwrap_or(name);
    let bare = name.strip_prefix("bert.").unwrap_or(name);
    let prefix = name.strip_suffix(bare).unwrap_or_default();
    format!("{prefix}{}", canonical(bare))
}

/// The name is that of a quantizer's range, or of one of its bounds.
pub fn is_range(name: &str) -> bool {
    matches!(name.rsplit('.').next(), Some("_amax" | LEAST | "clip_value_max"))
}

/// The last part of the name of a learned range's lower bound.
const LEAST: &str = "clip_value_min";

/// What `wanted` names is the negative of what `found` does: a lower bound that is
/// not learned yet is that of the magnitude.
pub(super) fn is_negative_of(wanted: &str, found: &str) -> bool {
    wanted.ends_with(LEAST) && found.ends_with("_amax")
}

/// Names of a checkpoint, found by the names of a spec.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// What is at a name, as a place in the caller's list.
    exact: HashMap<String, usize>,
    /// The same by canonical name; the first of two that are one.
    canonical: HashMap<String, usize>,
}

impl Names {
    pub(super) fn insert(&mut self, name: &str, place: usize) {
        self.exact.entry(name.to_owned()).or_insert(place);
        self.canonical.entry(canonical(name)).or_insert(place);
    }

    /// The place of the tensor that a spec calls `path`.
    pub(super) fn find(&self, path: &str) -> Option<usize> {
        self.exact.get(path).or_else(|| self.canonical.get(&canonical(path))).copied()
    }
}

/// `name` is `part` or lies inside it.
pub(super) fn within(name: &str, part: &str) -> bool {
    name.strip_prefix(part).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Every submodule that `name` lies inside, outermost first, and `name` itself.
pub(super) fn parts(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('.').map(|(dot, _)| name.get(..dot).unwrap_or(name)).chain([name])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn savers_agree() {
        for name in [
            "embeddings.LayerNorm.weight",
            "bert.embeddings.LayerNorm.weight",
            "bert.embeddings.LayerNorm.gamma",
            "module.bert.embeddings.LayerNorm.gamma",
        ] {
            assert_eq!(canonical(name), "embeddings.LayerNorm.weight");
        }
        assert_eq!(canonical("bert.embeddings.LayerNorm.beta"), "embeddings.LayerNorm.bias");
        assert_eq!(canonical("classifier.weight"), "classifier.weight");
        assert_eq!(canonical("bertish.weight"), "bertish.weight");
    }

    #[test]
    fn a_saved_name_keeps_the_prefix() {
        assert_eq!(saved("module.bert.embeddings.LayerNorm.gamma"), "bert.embeddings.LayerNorm.weight");
        assert_eq!(saved("embeddings.LayerNorm.beta"), "embeddings.LayerNorm.bias");
        assert_eq!(saved("cls.predictions.bias"), "cls.predictions.bias");
    }

    #[test]
    fn an_exact_name_comes_first() {
        let mut names = Names::default();
        names.insert("bert.pooler.dense.bias", 0);
        names.insert("pooler.dense.bias", 1);
        assert_eq!(names.find("pooler.dense.bias"), Some(1));
        assert_eq!(names.find("bert.pooler.dense.bias"), Some(0));
        assert_eq!(names.find("module.pooler.dense.bias"), Some(0));
        assert_eq!(names.find("pooler.dense"), None);
    }

    #[test]
    fn parts_are_whole_names() {
        assert_eq!(parts("a.b.c").collect::<Vec<_>>(), ["a", "a.b", "a.b.c"]);
        assert!(within("layer.1.weight", "layer.1"));
        assert!(!within("layer.11.weight", "layer.1"));
    }
}
