//! The models of the reference set.

use super::reference::{Tensors, json};
use candle_core::Tensor;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Tensors whose name begins with `prefix`, without it.
pub fn under(tensors: &Tensors, prefix: &str) -> Tensors {
    let strip =
        |(name, tensor): (&String, &Tensor)| Some((name.strip_prefix(prefix)?.to_owned(), tensor.clone()));
    tensors.iter().filter_map(strip).collect()
}

/// The manifests of the models, with their folders. `hist_calib` is not among them:
/// it has no calls.
pub fn models(reference: &Path) -> Vec<(PathBuf, Value)> {
    let folders = std::fs::read_dir(reference.join("models")).unwrap().map(|entry| entry.unwrap().path());
    let cases = folders.filter(|folder| folder.file_name().unwrap() != "hist_calib");
    cases.map(|folder| (folder.clone(), json(&folder.join("case.json")))).collect()
}
