//! The files that hold a checkpoint's weights.

use super::{bundled::Bundled, config_file, mapped::file_name, tensor_file::TensorFile};
use crate::failure::Failure;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// The names that weights have in a folder, best first.
pub(super) const NAMES: [&str; 4] = [
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

/// The weights of a checkpoint: one file, or shards with an index.
#[derive(Debug)]
pub struct Weights {
    /// The file that was asked for, without its folder.
    pub name: String,
    files: Vec<Arc<TensorFile>>,
    /// Which file holds each tensor.
    places: BTreeMap<String, usize>,
}

/// `model.safetensors.index.json`: which shard holds each tensor.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Weights {
    /// Opens the weights at `path`: a file of tensors, or the index of shards,
    /// which `find` finds by the names that the index gives them.
    pub(super) fn open(
        path: &Path,
        find: impl Fn(&str) -> Result<Option<PathBuf>, Failure>,
    ) -> Result<Weights, Failure> {
        let name = file_name(path);
        if path.extension().is_some_and(|extension| extension == "json") {
            return Weights::sharded(name, path, find);
        }
        Ok(Weights::single(name, TensorFile::open(path)?))
    }

    /// The weights of a checkpoint that the binary carries.
    pub(super) fn bundled(bundled: &Bundled) -> Result<Weights, Failure> {
        let [name, ..] = NAMES;
        let bytes = bundled.file(name);
        let bytes = bytes.ok_or_else(|| Failure::input(format!("`{}` has no {name}", bundled.name)))?;
        Ok(Weights::single(name.to_owned(), TensorFile::bundled(name, bytes)?))
    }

    fn single(name: String, file: TensorFile) -> Weights {
        let places = file.names().map(|(name, ..)| (name.to_owned(), 0)).collect();
        Weights { name, files: vec![Arc::new(file)], places }
    }

    fn sharded(
        name: String,
        path: &Path,
        find: impl Fn(&str) -> Result<Option<PathBuf>, Failure>,
    ) -> Result<Weights, Failure> {
        let index: Index = serde_json::from_str(&config_file::text(path)?).map_err(|error| {
            Failure::input(format!("{} is not an index of shards: {error}", path.display()))
                .help("give the folder of the checkpoint, or the file of weights in it")
        })?;
        let shards: BTreeSet<&String> = index.weight_map.values().collect();
        let mut files = Vec::with_capacity(shards.len());
        let mut numbers = BTreeMap::new();
        for shard in shards {
            if !stays_inside(shard) {
                return Err(Failure::input(format!("{name} names the shard `{shard}`, outside its folder")));
            }
            let file = find(shard)?.ok_or_else(|| {
                Failure::input(format!("the shard {shard}, which {name} names, is not there"))
                    .help("fetch or copy all files of the checkpoint")
            })?;
            numbers.insert(shard, files.len());
            files.push(Arc::new(TensorFile::open(&file)?));
        }
        let mut places = BTreeMap::new();
        for (tensor, shard) in &index.weight_map {
            let Some(number) = numbers.get(shard) else { continue };
            if files.get(*number).and_then(|file: &Arc<TensorFile>| file.get(tensor)).is_none() {
                return Err(Failure::input(format!(
                    "{name} says that `{tensor}` is in {shard}, which lacks it"
                ))
                .help("the shards and their index belong to different checkpoints: fetch them again"));
            }
            places.insert(tensor.clone(), *number);
        }
        Ok(Weights { name, files, places })
    }

    /// Every tensor, by name, and the file that holds it.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &TensorFile)> {
        self.places
            .iter()
            .filter_map(|(name, place)| self.files.get(*place).map(|file| (name.as_str(), file.as_ref())))
    }

    /// The same, for whoever keeps a file longer than this.
    pub(super) fn shared(&self) -> impl Iterator<Item = (&str, &Arc<TensorFile>)> {
        self.places
            .iter()
            .filter_map(|(name, place)| self.files.get(*place).map(|file| (name.as_str(), file)))
    }
}

/// A relative path that leads nowhere but down.
fn stays_inside(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}
