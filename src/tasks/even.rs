//! Batches without padding: sequences of one length together.

use super::{Evaluator, Options, Problem, Record, Tokenizer, batch, task::Layout, tokenizer::Encoding};
use crate::{answer::Answer, config::Config, failure::Failure};
use candle_core::Tensor;
use std::collections::{BTreeMap, VecDeque};

/// How many batches' worth of records are sorted by length at a time.
const WINDOW: usize = 64;

/// The inputs of one call.
#[derive(Clone, Debug)]
pub struct EvenBatch {
    /// Named tensors, on the CPU.
    pub inputs: BTreeMap<String, Tensor>,
    /// Sequences in it; for choices, groups of them.
    pub samples: u64,
    /// Records whose first sequence is in it.
    pub records: u64,
}

/// Batches of records in which no sequence is padded, apart from the choices of
/// one record, which are as long as the longest of them.
///
/// The sequences are those that an [`Evaluator`] runs a model on: words are masked,
/// long texts are cut in pieces, texts of a pair are embedded each alone. What is
/// right is not needed.
///
/// Records are taken in windows; in each, sequences are sorted by length and those
/// of one length are put together, at most `options.batch` of them. So what is in
/// which batch depends on the records and the batch size alone.
pub struct EvenBatches<'a, R> {
    evaluator: Evaluator<'a>,
    records: R,
    ready: VecDeque<Vec<Sample>>,
    /// Samples still to be taken.
    left: u64,
}

impl<'a, R: Iterator<Item = Result<Record, Problem>>> EvenBatches<'a, R> {
    /// At most `most` records in batches.
    ///
    /// # Errors
    /// The options cannot be, or the answers do not say how texts become inputs.
    pub fn new(
        records: R,
        most: Option<u64>,
        tokenizer: &'a Tokenizer,
        config: &'a Config,
        answers: &'a [Answer],
        options: &'a Options,
    ) -> Result<Self, Failure> {
        let evaluator = Evaluator::new(tokenizer, config, answers, options)?;
        Ok(EvenBatches { evaluator, records, ready: VecDeque::new(), left: most.unwrap_or(u64::MAX) })
    }

    /// Reads a window of records and sorts it into batches.
    fn fill(&mut self) -> Result<(), Problem> {
        let mut samples = Vec::new();
        let size = self.evaluator.task.options.batch;
        let window = size.saturating_mul(WINDOW);
        while samples.len() < window && self.left > 0 {
            let Some(record) = self.records.next() else { break };
            let record = record?;
            self.left -= 1;
            let sequences = self.evaluator.asked(&record);
            let sequences = sequences.map_err(|failure| Problem::new(record.line, failure))?;
            samples.extend(self.samples(record.line, sequences));
        }
        samples.sort_by_key(Sample::shape);
        let mut samples = samples.into_iter().peekable();
        while let Some(first) = samples.next() {
            let shape = first.shape();
            let mut batch = vec![first];
            while batch.len() < size {
                let Some(alike) = samples.next_if(|sample| sample.shape() == shape) else { break };
                batch.push(alike);
            }
            self.ready.push_back(batch);
        }
        Ok(())
    }

    /// A sample for each sequence; choices stay together.
    fn samples(&self, line: u64, sequences: Vec<Encoding>) -> Vec<Sample> {
        if self.evaluator.task.layout == Layout::Choices {
            return vec![Sample { line, is_first: true, sequences }];
        }
        let sequences = sequences.into_iter().enumerate();
        sequences.map(|(at, one)| Sample { line, is_first: at == 0, sequences: vec![one] }).collect()
    }

    fn batch(&self, samples: &[Sample]) -> Result<EvenBatch, Failure> {
        let sequences: Vec<&Encoding> = samples.iter().flat_map(|sample| &sample.sequences).collect();
        let choices = samples.first().filter(|_| self.evaluator.task.layout == Layout::Choices);
        let choices = choices.map(|sample| sample.sequences.len());
        let inputs = batch::inputs(&sequences, choices, self.evaluator.task.tokenizer.special().pad)?;
        let records = samples.iter().filter(|sample| sample.is_first).count() as u64;
        Ok(EvenBatch { inputs, samples: samples.len() as u64, records })
    }
}

impl<R: Iterator<Item = Result<Record, Problem>>> Iterator for EvenBatches<'_, R> {
    type Item = Result<EvenBatch, Problem>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ready.is_empty()
            && let Err(problem) = self.fill()
        {
            return Some(Err(problem));
        }
        let samples = self.ready.pop_front()?;
        let line = samples.first().map_or(0, |sample| sample.line);
        Some(self.batch(&samples).map_err(|failure| Problem::new(line, failure)))
    }
}

/// One sequence, or the choices of one record.
struct Sample {
    /// The record's.
    line: u64,
    /// It is the record's first.
    is_first: bool,
    sequences: Vec<Encoding>,
}

impl Sample {
    /// What samples must share to be run together: the number of sequences, and
    /// their longest.
    fn shape(&self) -> (usize, usize) {
        let longest = self.sequences.iter().map(|sequence| sequence.tokens.len()).max();
        (self.sequences.len(), longest.unwrap_or(0))
    }
}
