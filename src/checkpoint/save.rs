//! A calibrated copy of a checkpoint: its files, and ranges among its weights.

use super::{
    Checkpoint, TOKENIZER,
    names::{is_range, saved, within},
    tensor_file::{Stored, TensorFile},
};
use crate::{
    failure::Failure,
    files::{Existing, WholeFile, cannot_write, write_file},
};
use ::safetensors::{Dtype, View};
use serde_json::Value;
use std::{
    borrow::Cow,
    cell::Cell,
    collections::{BTreeMap, HashMap},
    fs, io,
    path::Path,
};

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
    /// `beta` become `weight` and `bias`. Each file is written whole, the weights
    /// last.
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
        self.save_beside(folder)?;
        let path = folder.join("model.safetensors");
        let file = WholeFile::create(&path, Existing::Replace)?;
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        let target = file.temporary().unwrap_or(&path);
        let failed = |error: io::Error| cannot_write(&path, &error);
        let permissions = fs::metadata(target).map_err(failed)?.permissions();
        ::safetensors::serialize_to_file(tensors, Some(metadata), target)
            .map_err(|error| failed(io::Error::other(error)))?;
        // The writer may have put a file of its own there.
        fs::set_permissions(target, permissions).map_err(failed)?;
        file.finish()
    }

    /// The config and the tokenizer's files.
    fn save_beside(&self, folder: &Path) -> Result<(), Failure> {
        for name in TOKENIZER.iter().chain(&BESIDE) {
            let Some(path) = self.file(name) else { continue };
            let bytes = fs::read(&path)
                .map_err(|error| Failure::outside(format!("{} cannot be read: {error}", path.display())))?;
            write_file(&folder.join(name), &bytes, Existing::Replace)?;
        }
        let config = Value::Object(self.config.fields().clone());
        let text = format!("{config:#}\n");
        write_file(&folder.join("config.json"), text.as_bytes(), Existing::Replace)
    }
}
