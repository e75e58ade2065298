//! What a teacher said of whole texts.

use super::{Pair, lacking};
use crate::{failure::Failure, tasks::training::Dataset, training::trainer::failed};
use candle_core::{DType, Device, Tensor};
use std::collections::{BTreeMap, BTreeSet};

/// What is remembered is at most so large, in bytes.
const MOST: usize = 512 << 20;

/// The teacher's outputs for each example, asked for in the batches of the first epoch.
pub(super) struct Memory {
    /// Of the first epoch.
    batches: Vec<Vec<usize>>,
    /// By example: which of them it is in.
    batch_of: Vec<usize>,
    /// By example: a row for each pair.
    rows: Vec<Option<Vec<Row>>>,
}

/// An output's numbers for one example, and their shape.
struct Row {
    numbers: Box<[f32]>,
    shape: Box<[usize]>,
}

impl Memory {
    /// Nothing said yet.
    pub(super) fn new(data: &Dataset<'_>) -> Memory {
        let batches = data.epoch(0);
        let mut batch_of = vec![0; data.len()];
        for (index, batch) in batches.iter().enumerate() {
            for example in batch {
                if let Some(place) = batch_of.get_mut(*example) {
                    *place = index;
                }
            }
        }
        let rows = std::iter::repeat_with(|| None).take(data.len()).collect();
        Memory { batches, batch_of, rows }
    }

    /// The batches to ask about before everything is known of these examples.
    pub(super) fn lacking(&self, examples: &[usize]) -> Vec<Vec<usize>> {
        let unknown = examples.iter().filter(|at| !matches!(self.rows.get(**at), Some(Some(_))));
        let batches: BTreeSet<usize> = unknown.filter_map(|at| self.batch_of.get(*at).copied()).collect();
        batches.into_iter().filter_map(|at| self.batches.get(at).cloned()).collect()
    }

    /// Keeps what the teacher said of these examples; `false` where all of it would be too much.
    pub(super) fn keep(
        &mut self,
        examples: &[usize],
        pairs: &[Pair],
        outputs: &BTreeMap<String, Tensor>,
    ) -> Result<bool, Failure> {
        let mut rows: Vec<Vec<Row>> = examples.iter().map(|_| Vec::new()).collect();
        for pair in pairs {
            let output = outputs.get(&pair.teacher).ok_or_else(|| lacking("teacher", &pair.teacher))?;
            let (count, shape) = match output.dims() {
                [count, shape @ ..] => (*count, shape),
                [] => (0, &[][..]),
            };
            let size: usize = shape.iter().product();
            let each = size.saturating_mul(pairs.len()).saturating_mul(size_of::<f32>());
            if self.rows.len().saturating_mul(each) > MOST {
                return Ok(false);
            }
            if count != examples.len() {
                let text = format!(
                    "the teacher gives {count} rows of `{}` for {} texts",
                    pair.teacher,
                    examples.len()
                );
                return Err(Failure::input(text));
            }
            let numbers =
                output.to_dtype(DType::F32).and_then(|output| output.flatten_all()?.to_vec1::<f32>());
            let numbers = numbers.map_err(failed)?;
            for (row, numbers) in rows.iter_mut().zip(numbers.chunks(size.max(1))) {
                row.push(Row { numbers: numbers.into(), shape: shape.into() });
            }
        }
        for (example, row) in examples.iter().zip(rows) {
            if let Some(place) = self.rows.get_mut(*example) {
                *place = Some(row);
            }
        }
        Ok(true)
    }

    /// What the teacher said of these examples, as outputs.
    pub(super) fn recall(
        &self,
        examples: &[usize],
        pairs: &[Pair],
    ) -> Result<BTreeMap<String, Tensor>, Failure> {
        let mut outputs = BTreeMap::new();
        for (index, pair) in pairs.iter().enumerate() {
            let rows: Option<Vec<&Row>> =
                examples.iter().map(|at| self.rows.get(*at)?.as_ref()?.get(index)).collect();
            let rows = rows.ok_or_else(|| lacking("teacher", &pair.teacher))?;
            let row = rows.first().map_or(&[][..], |row| &row.shape);
            if rows.iter().any(|other| *other.shape != *row) {
                return Err(lacking("teacher", &pair.teacher));
            }
            let shape: Vec<usize> = std::iter::once(rows.len()).chain(row.iter().copied()).collect();
            let numbers: Vec<f32> = rows.iter().flat_map(|row| row.numbers.iter().copied()).collect();
            let output = Tensor::from_vec(numbers, shape, &Device::Cpu).map_err(failed)?;
            outputs.insert(pair.teacher.clone(), output);
        }
        Ok(outputs)
    }
}
