//! A calibrated copy of a checkpoint: its files, and ranges among its weights.

use super::{
    Checkpoint, TOKENIZER,
    names::{is_range, saved, within},
    tensor_file::{Stored, TensorFile},
    write::staged,
};
use crate::{
    failure::Failure,
    files::{Existing, WholeFile, cannot_write},
};
use ::safetensors::{Dtype, View};
use serde_json::{Map, Value};
use std::{borrow::Cow, cell::Cell, collections::BTreeMap, io::Write, path::Path};

/// Small files that belong to a model, copied as they are where it has them.
const BESIDE: [&str; 2] = ["added_tokens.json", "generation_config.json"];

/// The parts of the model that a head's checkpoint holds under `bert.`.
const TRUNK: [&str; 3] = ["embeddings", "encoder", "pooler"];

/// The range of a quantizer, as a state dict holds it.
#[derive(Clone, Debug, PartialEq)]
pub struct Range {
    /// `[]`, or one axis with a size for each channel and the others 1.
    pub shape: Vec<usize>,
    /// Magnitudes of the largest code, row by row.
    pub amax: Vec<f32>,
}

/// A tensor to write: one of the checkpoint's, or a range.
enum Tensor<'a> {
    /// The file, the name in it, where it lies, and the tensor whose bytes were asked
    /// for before this one's.
    Stored(&'a TensorFile, &'a str, &'a Stored, &'a Cell<Option<(&'a TensorFile, &'a Stored)>>),
    Range(&'a Range),
}

impl View for Tensor<'_> {
    fn dtype(&self) -> Dtype {
        match self {
            Tensor::Stored(_, _, stored, _) => stored.dtype,
            Tensor::Range(_) => Dtype::F32,
        }
    }

    fn shape(&self) -> &[usize] {
        match self {
            Tensor::Stored(_, _, stored, _) => &stored.shape,
            Tensor::Range(range) => &range.shape,
        }
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match self {
            Tensor::Stored(file, name, stored, before) => {
                // Tensors are written one after the other, so the last is not needed again.
                if let Some((file, stored)) = before.replace(Some((*file, *stored))) {
                    file.forget(stored);
                }
                // Seen to be readable before anything is written.
                file.bytes(name).unwrap_or_default()
            }
            Tensor::Range(range) => range.amax.iter().flat_map(|amax| amax.to_le_bytes()).collect(),
        }
    }

    fn data_len(&self) -> usize {
        match self {
            Tensor::Stored(file, name, ..) => file.bytes(name).map_or(0, |bytes| bytes.len()),
            Tensor::Range(range) => range.amax.len().saturating_mul(4),
        }
    }
}

impl Checkpoint {
    /// Writes a folder that HuggingFace and qdqc load: the config with what was laid
    /// over it, the tokenizer's files, and all tensors in their own element types
    /// with `NAME._amax` for each quantizer. Earlier ranges are left out. Weights keep
    /// the prefix that the file gives them, and ranges get the same; `gamma` and
    /// `beta` become `weight` and `bias`. Files take their names only when all are
    /// written, the weights last.
    ///
    /// # Errors
    /// A tensor cannot be read, or the disk refuses.
    pub fn save(&self, folder: &Path, ranges: &BTreeMap<String, Range>) -> Result<(), Failure> {
        let weights = self.weights()?;
        let before = Cell::new(None);
        let mut tensors: BTreeMap<String, Tensor<'_>> = BTreeMap::new();
        let mut prefixed = false;
        for (name, file) in weights.tensors().filter(|(name, _)| !is_range(name)) {
            let Some(stored) = file.get(name) else { continue };
            file.bytes(name)?;
            let saved = saved(name);
            prefixed |= saved.starts_with("bert.");
            tensors.insert(saved, Tensor::Stored(file, name, stored, &before));
        }
        for (name, range) in ranges {
            let bare = name.strip_prefix("bert.").unwrap_or(name);
            let inside = TRUNK.iter().any(|part| within(bare, part));
            let prefix = if prefixed && inside { "bert." } else { "" };
            tensors.insert(format!("{prefix}{bare}._amax"), Tensor::Range(range));
        }
        let mut files = self.staged_beside(folder, self.config.fields())?;
        files.push(staged(&folder.join("model.safetensors"), tensors)?);
        files.into_iter().try_for_each(WholeFile::finish)
    }

    /// The config and the tokenizer's files, written but for their names.
    pub(super) fn staged_beside(
        &self,
        folder: &Path,
        config: &Map<String, Value>,
    ) -> Result<Vec<WholeFile>, Failure> {
        let mut files = Vec::new();
        let mut stage = |name: &str, bytes: &[u8]| {
            let path = folder.join(name);
            let mut file = WholeFile::create(&path, Existing::Replace)?;
            file.write_all(bytes).map_err(|error| cannot_write(&path, &error))?;
            files.push(file);
            Ok(())
        };
        for name in TOKENIZER.iter().chain(&BESIDE) {
            let Some(bytes) = self.folder.read(name)? else { continue };
            stage(name, &bytes)?;
        }
        stage("config.json", format!("{:#}\n", Value::Object(config.clone())).as_bytes())?;
        Ok(files)
    }
}
