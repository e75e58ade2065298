//! Files of tensors, written whole.

use crate::{
    failure::Failure,
    files::{Existing, WholeFile, cannot_write},
};
use ::safetensors::{Dtype, View};
use candle_core::{DType, Device, Tensor};
use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    fs, io,
    path::Path,
};

/// Writes a safetensors file of f32, f64 and i64 tensors, whole or not at all. Whatever
/// their order in memory, they are stored row by row.
///
/// # Errors
/// A tensor has other elements, or the disk or the device refuses.
pub fn write_tensors(path: &Path, tensors: &BTreeMap<String, Tensor>) -> Result<(), Failure> {
    staged(path, plain(tensors)?)?.finish()
}

/// The tensors in the form that files have.
pub(super) fn plain(tensors: &BTreeMap<String, Tensor>) -> Result<BTreeMap<String, Plain>, Failure> {
    tensors.iter().map(|(name, tensor)| Ok((name.clone(), Plain::new(name, tensor)?))).collect()
}

/// A file of tensors, written but for its name.
pub(super) fn staged<V: View>(path: &Path, tensors: BTreeMap<String, V>) -> Result<WholeFile, Failure> {
    let file = WholeFile::create(path, Existing::Replace)?;
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let target = file.temporary().unwrap_or(path);
    let failed = |error: io::Error| cannot_write(path, &error);
    let permissions = fs::metadata(target).map_err(failed)?.permissions();
    ::safetensors::serialize_to_file(tensors, Some(metadata), target)
        .map_err(|error| failed(io::Error::other(error)))?;
    // The writer may have put a file of its own there.
    fs::set_permissions(target, permissions).map_err(failed)?;
    Ok(file)
}

/// A tensor in the form that files have: row by row, in a CPU's memory.
pub(super) struct Plain {
    tensor: Tensor,
    dtype: Dtype,
}

impl Plain {
    fn new(name: &str, tensor: &Tensor) -> Result<Plain, Failure> {
        let dtype = match tensor.dtype() {
            DType::F32 => Dtype::F32,
            DType::F64 => Dtype::F64,
            DType::I64 => Dtype::I64,
            other => {
                return Err(Failure::outside(format!("`{name}` of {} cannot be written", other.as_str())));
            }
        };
        let tensor = tensor.to_device(&Device::Cpu).and_then(|tensor| tensor.contiguous());
        let tensor = tensor.map_err(|error| Failure::outside(format!("`{name}`: {error}")))?;
        Ok(Plain { tensor, dtype })
    }

    fn bytes(&self) -> candle_core::Result<Vec<u8>> {
        let flat = self.tensor.flatten_all()?;
        Ok(match self.dtype {
            Dtype::F64 => flat.to_vec1::<f64>()?.into_iter().flat_map(f64::to_le_bytes).collect(),
            Dtype::I64 => flat.to_vec1::<i64>()?.into_iter().flat_map(i64::to_le_bytes).collect(),
            _ => flat.to_vec1::<f32>()?.into_iter().flat_map(f32::to_le_bytes).collect(),
        })
    }
}

impl View for Plain {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        self.tensor.dims()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        // Nothing that could fail is left: the element type is the tensor's, which is on a CPU.
        self.bytes().unwrap_or_default().into()
    }

    fn data_len(&self) -> usize {
        self.tensor.elem_count().saturating_mul(self.dtype.bitsize() / 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_tensor_comes_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.safetensors");
        let turned = Tensor::new(&[[1.0_f32, 2.0, 3.0], [4.0, 5.0, 6.0]], &Device::Cpu).unwrap().t().unwrap();
        let tensors = BTreeMap::from([
            ("turned".to_owned(), turned.clone()),
            ("part".to_owned(), turned.narrow(0, 1, 1).unwrap()),
            ("count".to_owned(), Tensor::new(-3_i64, &Device::Cpu).unwrap()),
            ("double".to_owned(), Tensor::new(&[0.1_f64], &Device::Cpu).unwrap()),
            ("none".to_owned(), Tensor::zeros((0, 2), DType::F32, &Device::Cpu).unwrap()),
        ]);
        write_tensors(&path, &tensors).unwrap();
        let read = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
        assert_eq!(read.len(), tensors.len());
        assert_eq!(read["turned"].to_vec2::<f32>().unwrap(), turned.to_vec2::<f32>().unwrap());
        assert_eq!(read["part"].to_vec2::<f32>().unwrap(), [[2.0, 5.0]]);
        assert_eq!(read["count"].to_scalar::<i64>().unwrap(), -3);
        assert_eq!(read["double"].to_vec1::<f64>().unwrap(), [0.1]);
        assert_eq!(read["none"].dims(), [0, 2]);
        let half = Tensor::new(1.0_f32, &Device::Cpu).unwrap().to_dtype(DType::BF16).unwrap();
        assert!(write_tensors(&path, &BTreeMap::from([("half".into(), half)])).is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
