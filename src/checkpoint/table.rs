//! Tables that stay in their file: rows are read as they are asked for.
//!
//! A call reads few rows of an embedding, which is a large part of a packed checkpoint.

use super::{Checkpoint, Wanted, packed, tensor_file::TensorFile};
use crate::failure::Failure;
use ::safetensors::Dtype;
use half::{bf16, f16};
use std::{collections::HashMap, fmt, ops::Range, sync::Arc};

/// A matrix in a file that is mapped into memory.
pub(crate) struct Table {
    file: Arc<TensorFile>,
    bytes: Range<usize>,
    dtype: Dtype,
    rows: usize,
    columns: usize,
}

/// Tables by the names that a spec has for them.
pub(crate) type Tables = HashMap<String, Arc<Table>>;

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows of {} in {}", self.rows, self.columns, self.file.name())
    }
}

impl Checkpoint {
    /// Those of the wanted tensors that can be read row by row: matrices of f32, f16 or bf16 that
    /// lie in their file row by row, as large as they are wanted. Only of packed checkpoints: what
    /// writes others may write over them while they are read.
    ///
    /// # Errors
    /// The weights cannot be read.
    pub(crate) fn tables(&self, wanted: &[Wanted]) -> Result<Tables, Failure> {
        if wanted.is_empty() {
            return Ok(Tables::new());
        }
        let weights = self.weights()?;
        if !packed::is_packed(&weights) {
            return Ok(Tables::new());
        }
        let tensors: Vec<_> = weights.shared().collect();
        let names = packed::names(&weights);
        let table = |wanted: &Wanted| {
            let (name, file) = tensors.get(packed::place(&names, wanted, "")?)?;
            let table = Table::new(file, name, &wanted.shape)?;
            Some((wanted.path.clone(), Arc::new(table)))
        };
        Ok(wanted.iter().filter_map(table).collect())
    }
}

impl Table {
    fn new(file: &Arc<TensorFile>, name: &str, shape: &[usize]) -> Option<Table> {
        let stored = file.get(name)?;
        let [rows, columns] = *shape else { return None };
        let is_float = matches!(stored.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16);
        let length = stored.count()?.checked_mul(stored.dtype.bitsize() / 8)?;
        let end = stored.bytes.start.checked_add(length)?;
        let is_there = end <= stored.bytes.end && file.as_ref().as_ref().get(stored.bytes.clone()).is_some();
        let fits = stored.shape == shape && stored.strides.is_none() && is_float && is_there;
        let (bytes, dtype) = (stored.bytes.start..end, stored.dtype);
        fits.then(|| Table { file: Arc::clone(file), bytes, dtype, rows, columns })
    }

    /// How many rows it has.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Adds the numbers of a row to as many; nothing where there is no such row.
    #[inline(always)]
    pub(crate) fn add_row(&self, row: usize, sum: &mut [f32]) {
        let width = self.dtype.bitsize() / 8 * self.columns;
        let bytes = self.file.as_ref().as_ref().get(self.bytes.clone()).unwrap_or_default();
        let bytes = row.checked_mul(width).and_then(|start| bytes.get(start..start.checked_add(width)?));
        let bytes = bytes.unwrap_or_default();
        match self.dtype {
            Dtype::F32 => add(bytes, f32::from_le_bytes, sum),
            Dtype::F16 => add(bytes, |half| f16::from_le_bytes(half).to_f32(), sum),
            _ => add(bytes, |half| bf16::from_le_bytes(half).to_f32(), sum),
        }
    }
}

#[inline(always)]
fn add<const WIDTH: usize>(bytes: &[u8], number: impl Fn([u8; WIDTH]) -> f32, sum: &mut [f32]) {
    for (sum, bytes) in sum.iter_mut().zip(bytes.as_chunks().0) {
        *sum += number(*bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::HubOptions;
    use std::fs;

    /// A folder with a matrix `[3, 2]` of these bytes, and a packed one beside it or not.
    fn checkpoint(dtype: Dtype, bytes: &[u8], is_packed: bool) -> (tempfile::TempDir, Checkpoint) {
        let folder = tempfile::tempdir().unwrap();
        let config = r#"{"model_type": "bert"}"#;
        fs::write(folder.path().join("config.json"), config).unwrap();
        let view = |dtype, shape, bytes| ::safetensors::tensor::TensorView::new(dtype, shape, bytes).unwrap();
        let mut tensors = vec![("bert.table", view(dtype, vec![3, 2], bytes))];
        if is_packed {
            tensors.push(("other.int8_panels", view(Dtype::I8, vec![1, 1, 16, 4], &[0; 64])));
        }
        let file = ::safetensors::serialize(tensors, None).unwrap();
        fs::write(folder.path().join("model.safetensors"), file).unwrap();
        let checkpoint =
            Checkpoint::open(&folder.path().display().to_string(), &HubOptions::from_env()).unwrap();
        (folder, checkpoint)
    }

    fn tables(checkpoint: &Checkpoint, shape: &[usize]) -> Tables {
        let wanted = Wanted { path: "table".into(), shape: shape.to_vec(), ..Wanted::default() };
        checkpoint.tables(&[wanted]).unwrap()
    }

    fn read(table: &Table, row: usize) -> Vec<f32> {
        let mut numbers = vec![1.0; 2];
        table.add_row(row, &mut numbers);
        numbers.iter().map(|number| number - 1.0).collect()
    }

    #[test]
    fn rows_are_read_in_every_float_type() {
        let numbers = [1.0_f32, -2.0, 0.5, 3.25, -0.125, 8.0];
        let whole: Vec<u8> = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        let half: Vec<u8> = numbers.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect();
        let brain: Vec<u8> = numbers.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect();
        for (dtype, bytes) in [(Dtype::F32, whole), (Dtype::F16, half), (Dtype::BF16, brain)] {
            let (_folder, checkpoint) = checkpoint(dtype, &bytes, true);
            let tables = tables(&checkpoint, &[3, 2]);
            let table = &tables["table"];
            assert_eq!(table.rows(), 3);
            assert_eq!([0, 1, 2].map(|row| read(table, row)).concat(), numbers);
            assert_eq!(read(table, 3), [0.0; 2]);
            assert_eq!(read(table, usize::MAX), [0.0; 2]);
        }
    }

    #[test]
    fn what_is_no_such_table_is_left_to_others() {
        let (_folder, whole) = checkpoint(Dtype::I8, &[0; 6], true);
        assert!(tables(&whole, &[3, 2]).is_empty());
        let (_folder, float) = checkpoint(Dtype::F32, &[0; 24], true);
        assert!(tables(&float, &[2, 3]).is_empty());
        assert!(tables(&float, &[6]).is_empty());
        assert!(float.tables(&[]).unwrap().is_empty());
        let (_folder, plain) = checkpoint(Dtype::F32, &[0; 24], false);
        assert!(tables(&plain, &[3, 2]).is_empty());
    }
}
