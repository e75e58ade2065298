//! Which sequences are run together.

use super::{Example, Task, batch, task::Layout, tokenizer::Encoding};
use crate::{answer::Answer, failure::Failure};
use candle_core::Tensor;
use std::collections::BTreeMap;

/// Sequences run together, and how many of them make one member of the batch.
pub(crate) struct Chunk<'a> {
    sequences: Vec<&'a Encoding>,
    /// The example that each member of the batch belongs to.
    pub(crate) owners: Vec<usize>,
    choices: Option<usize>,
}

impl Chunk<'_> {
    /// The inputs of the model.
    pub(crate) fn inputs(&self, task: &Task<'_>) -> Result<BTreeMap<String, Tensor>, Failure> {
        batch::inputs(&self.sequences, self.choices, task.tokenizer.special().pad)
    }
}

/// Sequences in batches: choices with as many choices, everything else as it comes.
pub(crate) fn chunks<'a>(task: &Task<'_>, examples: &[&'a Example]) -> Vec<Chunk<'a>> {
    let numbered: Vec<(usize, &Example)> = examples.iter().copied().enumerate().collect();
    if task.layout == Layout::Choices {
        let alike = |a: &(usize, &Example), b: &(usize, &Example)| a.1.sequences.len() == b.1.sequences.len();
        let chunk = |group: &[(usize, &'a Example)]| Chunk {
            sequences: group.iter().flat_map(|(_, example)| &example.sequences).collect(),
            owners: group.iter().map(|(owner, _)| *owner).collect(),
            choices: group.first().map(|(_, example)| example.sequences.len()),
        };
        return numbered.chunk_by(alike).map(chunk).collect();
    }
    let owned: Vec<(usize, &Encoding)> = numbered
        .iter()
        .flat_map(|(owner, example)| example.sequences.iter().map(|sequence| (*owner, sequence)))
        .collect();
    let chunk = |members: &[(usize, &'a Encoding)]| {
        let (owners, sequences) = members.iter().copied().unzip();
        Chunk { sequences, owners, choices: None }
    };
    owned.chunks(task.options.batch.max(1)).map(chunk).collect()
}

/// The outputs that answers are read from, each once.
pub(crate) fn output_names(answers: &[Answer]) -> Vec<String> {
    let mut names: Vec<String> = answers.iter().flat_map(|answer| answer.outputs.clone()).collect();
    names.sort();
    names.dedup();
    names
}
