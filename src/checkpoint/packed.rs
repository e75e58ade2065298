//! Weights as int8 codes, in the order in which products read them.
//!
//! In place of a tensor `NAME` a packed file has `NAME.int8_panels`, its codes in panels
//! (`[panels, groups, 16, 4]`: of a matrix `[out, in]`, 16 outputs a panel, four inputs a
//! group), and `NAME.int8_scales`, what a code of each output is worth.

use super::{
    Checkpoint, Wanted, Weights,
    names::{Names, canonical, saved},
    tensor_file::{Stored, TensorFile},
    write::staged,
};
use crate::{
    failure::Failure,
    files::WholeFile,
    ops::kernels::integer::{Bytes, Matrix},
};
use ::safetensors::{Dtype, View};
use candle_core::{DType, Device};
use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    path::Path,
    sync::Arc,
};

const PANELS: &str = ".int8_panels";
const SCALES: &str = ".int8_scales";

/// What the names of a packed tensor's parts end with.
pub(super) const PARTS: [&str; 2] = [PANELS, SCALES];

/// Packed weights by the names that a spec has for them.
pub(crate) type Matrices = HashMap<String, Arc<Matrix>>;

impl Checkpoint {
    /// Those of the wanted tensors that the checkpoint has packed, mapped into memory.
    ///
    /// # Errors
    /// The weights cannot be read, or parts of a packed one do not fit.
    pub(crate) fn packed(&self, wanted: &[Wanted]) -> Result<Matrices, Failure> {
        let weights = self.weights()?;
        let tensors: Vec<_> = weights.shared().collect();
        let names = names(&weights);
        let mut found = Matrices::new();
        for wanted in wanted {
            let at = place(&names, wanted, PANELS);
            if let Some((name, file)) = at.and_then(|place| tensors.get(place)) {
                let matrix = matrix(file, name.strip_suffix(PANELS).unwrap_or(name), &wanted.shape)?;
                found.insert(wanted.path.clone(), Arc::new(matrix));
            }
        }
        Ok(found)
    }

    /// The numbers of packed tensors.
    ///
    /// # Errors
    /// As [`packed`](Checkpoint::packed), or the device has no room.
    pub(super) fn unpacked(
        &self,
        wanted: &[Wanted],
        device: &Device,
        dtype: DType,
    ) -> Result<HashMap<String, candle_core::Tensor>, Failure> {
        let numbers = |(path, matrix): (String, Arc<Matrix>)| {
            let shape = (matrix.columns(), matrix.rows());
            let tensor = candle_core::Tensor::from_vec(matrix.values(), shape, device)
                .and_then(|tensor| tensor.to_dtype(dtype));
            tensor
                .map(|tensor| (path.clone(), tensor))
                .map_err(|error| Failure::outside(format!("`{path}`: {error}")))
        };
        if wanted.is_empty() {
            return Ok(HashMap::new());
        }
        self.packed(wanted)?.into_iter().map(numbers).collect()
    }

    /// Writes a folder with these weights packed in place of the checkpoint's own; all else is
    /// as it was, ranges included, those laid over too.
    ///
    /// # Errors
    /// A tensor cannot be read, or the disk refuses.
    pub(crate) fn save_packed(&self, folder: &Path, packed: &Matrices) -> Result<(), Failure> {
        let weights = self.weights()?;
        let replaced: HashMap<String, &Matrix> =
            packed.iter().map(|(path, matrix)| (canonical(path), matrix.as_ref())).collect();
        let mut tensors: BTreeMap<String, Tensor<'_>> = BTreeMap::new();
        for (name, file) in weights.tensors() {
            let Some(stored) = file.get(name) else { continue };
            file.bytes(name)?;
            match replaced.get(&canonical(whole(name))) {
                Some(matrix) => {
                    for part in PARTS {
                        let name = format!("{}{part}", saved(whole(name)));
                        tensors.insert(name, Tensor::Packed(matrix, part));
                    }
                }
                None => {
                    tensors.insert(saved(name), Tensor::Stored(file, name, stored));
                }
            }
        }
        for overlay in &self.overlays {
            for (name, ..) in overlay.names().filter(|(name, ..)| super::names::is_range(name)) {
                let Some(stored) = overlay.get(name) else { continue };
                overlay.bytes(name)?;
                tensors.retain(|known, _| canonical(known) != canonical(name));
                tensors.insert(saved(name), Tensor::Stored(overlay, name, stored));
            }
        }
        let mut files = self.staged_beside(folder, self.config.fields())?;
        files.push(staged(&folder.join("model.safetensors"), tensors)?);
        files.into_iter().try_for_each(WholeFile::finish)
    }
}

/// The tensors of a file by what specs may call them.
pub(super) fn names(weights: &Weights) -> Names {
    let mut names = Names::default();
    for (place, (name, _)) in weights.tensors().enumerate() {
        names.insert(name, place);
    }
    names
}

/// The weights have the wanted tensor packed.
pub(super) fn has(weights: &Weights, wanted: &Wanted) -> bool {
    // Few checkpoints have any.
    is_packed(weights) && place(&names(weights), wanted, PANELS).is_some()
}

/// The weights have some tensor packed.
pub(super) fn is_packed(weights: &Weights) -> bool {
    weights.tensors().any(|(name, _)| name.ends_with(PANELS))
}

/// Where a part of the wanted tensor is, or of a tied copy.
pub(super) fn place(names: &Names, wanted: &Wanted, part: &str) -> Option<usize> {
    let paths = std::iter::once(&wanted.path).chain(&wanted.tied);
    paths.into_iter().find_map(|path| names.find(&format!("{path}{part}")))
}

/// The name of the tensor that a part is of; of no part, its own.
fn whole(name: &str) -> &str {
    PARTS.iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name)
}

/// A packed matrix of a file, of the shape that is wanted.
fn matrix(file: &Arc<TensorFile>, name: &str, shape: &[usize]) -> Result<Matrix, Failure> {
    let fault = |what: &str| {
        Failure::input(format!("`{name}` in {}: {what}", file.name()))
            .help("pack the checkpoint again with `qdqc pack`")
    };
    let [columns, rows] = *shape else {
        return Err(fault("what is packed is a matrix, and another is wanted"));
    };
    let part = |part: &str, dtype: Dtype, shape: &[usize]| {
        let stored = file.get(&format!("{name}{part}"));
        let stored = stored.ok_or_else(|| fault(&format!("its part `{part}` is missing")))?;
        match stored.dtype == dtype && stored.shape == shape && stored.strides.is_none() {
            true => Ok(stored),
            false => Err(fault(&format!("its part `{part}` is {:?}, not {shape:?}", stored.shape))),
        }
    };
    let codes = part(PANELS, Dtype::I8, &Matrix::panels_of(rows, columns))?;
    let scales = part(SCALES, Dtype::F32, &[columns])?;
    let bytes = |stored: &Stored| file.as_ref().as_ref().get(stored.bytes.clone()).unwrap_or_default();
    let scales = bytes(scales).as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let mapped = Bytes::Mapped(Arc::clone(file) as Arc<_>, codes.bytes.clone());
    Matrix::new(mapped, scales, [rows, columns]).ok_or_else(|| fault("its parts are too short"))
}

/// A tensor to write.
enum Tensor<'a> {
    Stored(&'a TensorFile, &'a str, &'a Stored),
    /// A part of a packed matrix.
    Packed(&'a Matrix, &'static str),
}

impl View for Tensor<'_> {
    fn dtype(&self) -> Dtype {
        match self {
            Tensor::Stored(_, _, stored) => stored.dtype,
            Tensor::Packed(_, PANELS) => Dtype::I8,
            Tensor::Packed(..) => Dtype::F32,
        }
    }

    fn shape(&self) -> &[usize] {
        match self {
            Tensor::Stored(_, _, stored) => &stored.shape,
            Tensor::Packed(matrix, part) => {
                let [panels, scales] = matrix.shapes();
                if *part == PANELS { panels } else { scales }
            }
        }
    }

    fn data(&self) -> Cow<'_, [u8]> {
        match self {
            // Seen to be readable before anything is written.
            Tensor::Stored(file, name, _) => file.bytes(name).unwrap_or_default(),
            Tensor::Packed(matrix, PANELS) => Cow::Borrowed(matrix.codes()),
            Tensor::Packed(matrix, _) => {
                matrix.scales().iter().flat_map(|scale| scale.to_le_bytes()).collect()
            }
        }
    }

    fn data_len(&self) -> usize {
        match self {
            Tensor::Stored(file, name, _) => file.bytes(name).map_or(0, |bytes| bytes.len()),
            Tensor::Packed(matrix, PANELS) => matrix.codes().len(),
            Tensor::Packed(matrix, _) => size_of_val(matrix.scales()),
        }
    }
}
