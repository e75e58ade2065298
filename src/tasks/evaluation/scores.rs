//! What a model is worth: the metrics of its answers.

use super::{Batch, BatchOutputs, Evaluator, tally::Tally};
use crate::{
    answer::Answer,
    tasks::{Problem, metrics::Metric},
};

/// The metrics of a model's answers.
pub struct Scores<'a> {
    evaluator: &'a Evaluator<'a>,
    /// One for each answer.
    tallies: Vec<Tally>,
}

impl<'a> Scores<'a> {
    pub(super) fn new(evaluator: &'a Evaluator<'a>) -> Scores<'a> {
        let tally = |answer: &Answer| Tally::new(answer.kind, evaluator.labels);
        Scores { evaluator, tallies: evaluator.task.answers.iter().map(tally).collect() }
    }

    /// Counts what a model gave for a batch.
    ///
    /// # Errors
    /// The first record for which an output does not have the shape that its answer is read from, or holds NaN.
    pub fn add(&mut self, batch: &Batch, outputs: &BatchOutputs) -> Result<(), Problem> {
        let task = &self.evaluator.task;
        for (question, outputs) in batch.questions.iter().zip(&outputs.questions) {
            for ((tally, answer), gold) in self.tallies.iter_mut().zip(task.answers).zip(&question.golds) {
                let added = tally.add(&task.reader, answer, question, gold.as_ref(), outputs);
                added.map_err(|failure| question.problem(failure))?;
            }
        }
        Ok(())
    }

    /// The metrics of everything counted, in the order of the spec's answers; none for an answer that nothing
    /// was counted for.
    pub fn metrics(&self) -> Vec<Metric> {
        let answers = self.evaluator.task.answers;
        let labels = &self.evaluator.task.reader.labels;
        let of = |(tally, answer): (&Tally, &Answer)| {
            let part = (answers.len() > 1).then(|| answer.kind.name());
            within(tally.metrics(labels), part)
        };
        self.tallies.iter().zip(answers).flat_map(of).collect()
    }
}

/// The metrics of one answer of several carry its name.
pub(super) fn within(metrics: Vec<Metric>, answer: Option<&'static str>) -> Vec<Metric> {
    let Some(answer) = answer else { return metrics };
    let named = |metric: Metric| {
        let part = metric.of.as_ref().map_or_else(|| answer.to_owned(), |part| format!("{answer}, {part}"));
        metric.of(part)
    };
    metrics.into_iter().map(named).collect()
}
