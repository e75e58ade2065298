//! A list of records, run on models side by side.

use super::{Evaluator, Fidelity, Scores};
use crate::tasks::{Problem, Record, Runner};
use std::ops::ControlFlow;

/// How many batches of records are ordered by length together.
const WINDOW: usize = 32;

/// What came of an evaluation.
pub struct Evaluation<'a> {
    /// The scores of each model.
    pub scores: Vec<Scores<'a>>,
    /// How near each model but the first is to the first.
    pub fidelity: Vec<Fidelity<'a>>,
    /// Records counted.
    pub records: usize,
    /// Records of them that were cut to fit the model.
    pub truncated: usize,
}

/// Runs each model on the same records in one pass and counts what they give. `done` is told of every so many
/// records, and can end the evaluation early, with what there is. Records of like length are run together;
/// that changes no answer but by rounding.
///
/// # Errors
/// The first record that cannot be used, or whose outputs cannot be read; where a model cannot be run on a
/// batch, the first of it.
pub fn evaluate<'a>(
    evaluator: &'a Evaluator<'a>,
    mut records: Vec<Record>,
    models: &mut [&mut dyn Runner],
    done: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Evaluation<'a>, Problem> {
    let size = evaluator.task.options.batch.max(1);
    let mut evaluation = Evaluation {
        scores: models.iter().map(|_| evaluator.scores()).collect(),
        fidelity: models.iter().skip(1).map(|_| evaluator.fidelity()).collect(),
        records: 0,
        truncated: 0,
    };
    records.chunks_mut(size.saturating_mul(WINDOW)).for_each(|window| window.sort_by_key(length));
    let mut records = records.into_iter().peekable();
    while records.peek().is_some() {
        let together: Vec<Record> = records.by_ref().take(size).collect();
        let count = together.len();
        evaluation.add(evaluator, together, models)?;
        if done(count).is_break() {
            break;
        }
    }
    Ok(evaluation)
}

impl<'a> Evaluation<'a> {
    fn add(
        &mut self,
        evaluator: &'a Evaluator<'a>,
        records: Vec<Record>,
        models: &mut [&mut dyn Runner],
    ) -> Result<(), Problem> {
        let line = records.iter().map(|record| record.line).min().unwrap_or(0);
        let batch = evaluator.batch(records)?;
        let mut reference = None;
        let mut fidelity = self.fidelity.iter_mut();
        for (model, scores) in models.iter_mut().zip(&mut self.scores) {
            let outputs = batch.run(*model).map_err(|failure| Problem::new(line, failure))?;
            scores.add(&batch, &outputs)?;
            match &reference {
                None => reference = Some(outputs),
                Some(reference) => {
                    if let Some(fidelity) = fidelity.next() {
                        fidelity.add(&batch, reference, &outputs)?;
                    }
                }
            }
        }
        self.records += batch.records();
        self.truncated += batch.truncated();
        Ok(())
    }
}

/// About how long a record is, in bytes.
fn length(record: &Record) -> usize {
    let longest = record.choices.iter().map(String::len).max().unwrap_or(0);
    record.text.joined().len() + record.pair.as_ref().map_or(0, String::len) + longest
}
