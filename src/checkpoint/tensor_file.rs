//! One file of tensors, whatever its format.
//!
//! Each format's reader makes a directory: where in the file each tensor's
//! bytes lie. One function then reads them, so names and shapes are known
//! without touching the data.

use super::{
    decode,
    mapped::{self, MappedFile},
    safetensors, torch,
};
use crate::failure::Failure;
use ::safetensors::Dtype;
use candle_core::{DType, Device, Tensor};
use std::{borrow::Cow, collections::BTreeMap, fmt::Display, ops::Range, path::Path};

/// Where a file keeps its tensors, by name.
pub(super) type Directory = BTreeMap<String, Stored>;

/// Where a tensor lies in its file, and as what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Element type.
    pub dtype: Dtype,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// The bytes of the file that hold it. Where it has strides: those of the
    /// storage from its first element on.
    pub(super) bytes: Range<usize>,
    /// Distances in elements along each axis; `None` for row by row.
    pub(super) strides: Option<Vec<usize>>,
}

impl Stored {
    /// Number of elements; `None` where it leaves the machine's word.
    pub(super) fn count(&self) -> Option<usize> {
        self.shape.iter().try_fold(1usize, |count, size| count.checked_mul(*size))
    }
}

/// A file of tensors: safetensors, or what `torch.save` writes.
#[derive(Debug)]
pub struct TensorFile {
    name: String,
    map: MappedFile,
    directory: Directory,
}

impl AsRef<[u8]> for TensorFile {
    /// All of the file.
    fn as_ref(&self) -> &[u8] {
        self.map.bytes()
    }
}

impl TensorFile {
    /// Maps the file and reads its directory, not its data. The format is told
    /// from the content. Nothing in a pickle is executed.
    pub fn open(path: &Path) -> Result<TensorFile, Failure> {
        TensorFile::read_directory(mapped::file_name(path), &path.display(), MappedFile::open(path)?)
    }

    /// A file that the binary carries.
    pub(super) fn bundled(name: &str, bytes: &'static [u8]) -> Result<TensorFile, Failure> {
        TensorFile::read_directory(name.to_owned(), &name, MappedFile::Static(bytes))
    }

    fn read_directory(name: String, place: &dyn Display, map: MappedFile) -> Result<TensorFile, Failure> {
        let directory = directory(map.bytes()).map_err(|problem| {
            let failure = Failure::input(format!("{place}: {}", problem.text));
            match problem.help {
                Some(help) => failure.help(help),
                None => failure,
            }
        })?;
        Ok(TensorFile { name, map, directory })
    }

    /// The file's name, without its folder.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Every tensor's name, element type and shape, by name.
    pub fn names(&self) -> impl Iterator<Item = (&str, Dtype, &[usize])> {
        self.directory.iter().map(|(name, stored)| (name.as_str(), stored.dtype, stored.shape.as_slice()))
    }

    /// Where a tensor lies; `None` where the file has none of this name.
    pub fn get(&self, name: &str) -> Option<&Stored> {
        self.directory.get(name)
    }

    /// Reads a tensor and converts it to `dtype` (f32, f16, bf16 or f64). The
    /// file's pages are given back once read.
    ///
    /// # Errors
    /// The file has no such tensor, its bytes or element type make none, or the
    /// device has no room.
    pub fn read(&self, name: &str, device: &Device, dtype: DType) -> Result<Tensor, Failure> {
        let failure = |what: String| Failure::input(format!("`{name}` in {}: {what}", self.name));
        let stored = self.get(name).ok_or_else(|| failure("there is no such tensor".into()))?;
        let bytes = self.elements(stored).map_err(failure)?;
        let tensor = decode::decode(&bytes, stored.dtype, &stored.shape, dtype, device).map_err(failure)?;
        self.map.forget(&stored.bytes);
        Ok(tensor)
    }

    /// The bytes of a tensor, row by row, in its own element type.
    ///
    /// # Errors
    /// The file has no such tensor, or its bytes make none.
    pub fn bytes(&self, name: &str) -> Result<Cow<'_, [u8]>, Failure> {
        let failure = |what: String| Failure::input(format!("`{name}` in {}: {what}", self.name));
        let stored = self.get(name).ok_or_else(|| failure("there is no such tensor".into()))?;
        self.elements(stored).map_err(failure)
    }

    /// Gives the pages of a tensor's bytes back to the system.
    pub(super) fn forget(&self, stored: &Stored) {
        self.map.forget(&stored.bytes);
    }

    /// The bytes of a tensor, row by row.
    fn elements(&self, stored: &Stored) -> Result<Cow<'_, [u8]>, String> {
        let bytes = self.map.bytes().get(stored.bytes.clone()).ok_or("its data ends beyond the file")?;
        let width = stored.dtype.bitsize() / 8;
        let length = stored.count().and_then(|count| count.checked_mul(width));
        let length = length.filter(|length| *length <= bytes.len()).ok_or_else(|| {
            format!("a tensor of shape {:?} needs more than its {} bytes", stored.shape, bytes.len())
        })?;
        match &stored.strides {
            None => bytes.get(..length).map(Cow::Borrowed).ok_or_else(|| "its data is cut short".into()),
            Some(strides) => gather(bytes, width, &stored.shape, strides, length).map(Cow::Owned),
        }
    }
}

/// The elements of a strided tensor, row by row: `length` bytes of them.
fn gather(
    bytes: &[u8],
    width: usize,
    shape: &[usize],
    strides: &[usize],
    length: usize,
) -> Result<Vec<u8>, String> {
    let mut row_major = Vec::with_capacity(length);
    let mut position = vec![0usize; shape.len()];
    while row_major.len() < length {
        let element = position
            .iter()
            .zip(strides)
            .try_fold(0usize, |sum, (index, stride)| sum.checked_add(index.checked_mul(*stride)?));
        let element = element
            .and_then(|element| element.checked_mul(width))
            .and_then(|start| bytes.get(start..start.checked_add(width)?))
            .ok_or("its strides lead out of its storage")?;
        row_major.extend_from_slice(element);
        for (index, size) in position.iter_mut().zip(shape).rev() {
            *index += 1;
            if *index < *size {
                break;
            }
            *index = 0;
        }
    }
    Ok(row_major)
}

/// Why a file is no file of tensors, and what to do.
pub(super) struct Problem {
    text: String,
    help: Option<&'static str>,
}

fn directory(bytes: &[u8]) -> Result<Directory, Problem> {
    if let Some((text, help)) = mistaken(bytes) {
        return Err(Problem { text: text.into(), help });
    }
    let directory = if bytes.starts_with(torch::ZIP) {
        torch::zip_directory(bytes)
    } else if torch::is_legacy(bytes) {
        torch::legacy_directory(bytes)
    } else {
        safetensors::directory(bytes)
    };
    directory.map_err(|text| Problem { text, help: None })
}

/// What is often found in place of weights.
fn mistaken(bytes: &[u8]) -> Option<(&'static str, Option<&'static str>)> {
    let page = bytes.trim_ascii_start();
    if bytes.is_empty() {
        Some(("the file is empty", Some("fetch it again: it was not downloaded, or not written, to its end")))
    } else if bytes.starts_with(b"version https://git-lfs") {
        Some(("this is a git-lfs pointer, not the weights", Some("run `git lfs pull` in its repository")))
    } else if page.starts_with(b"<!DOCTYPE") || page.starts_with(b"<html") {
        Some(("this is a web page, not weights", Some("fetch the file itself, not the page that shows it")))
    } else if bytes.starts_with(b"\x89HDF") {
        Some((
            "this is an HDF5 file, as TensorFlow and Keras write",
            Some("save the model as safetensors: `model.save_pretrained(folder, safe_serialization=True)`"),
        ))
    } else if bytes.starts_with(b"GGUF") {
        Some(("this is a GGUF file", Some("give the original HuggingFace folder")))
    } else {
        None
    }
}
