//! Batches of records through a model, one reply or problem for each record, in order.

use super::{
    Example, Options, Problem, Reading, Record, Reply, Runner, Task, Tokenizer,
    answers::{self, continuation, outputs::Outputs},
    chunk::{Chunk, chunks, output_names},
    task::Layout,
};
use crate::{answer::Answer, config::Config, failure::Failure};
use std::sync::Arc;

/// How a run went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Records with a reply.
    pub answered: u64,
    /// Records with a problem in place of a reply.
    pub failed: u64,
    /// Replies to texts that were cut to fit the model.
    pub truncated: u64,
}

/// Takes what became of each record. `Err` stops the run.
pub type Sink<'a> = dyn FnMut(Result<Reply, Problem>) -> Result<(), Failure> + 'a;

/// Runs a model on records in batches and hands the sink a reply, or a problem with its line, for every
/// record in order. Only one batch is held at a time. A batch whose run fails is a problem of each of its
/// records, and the next goes on. `Err` where the options or answers cannot be, where the records cannot be
/// read on (a disk fails), or where the sink says so.
pub fn run_records(
    records: impl IntoIterator<Item = Result<Record, Problem>>,
    tokenizer: &Tokenizer,
    config: &Config,
    answers: &[Answer],
    options: &Options,
    runner: &mut dyn Runner,
    sink: &mut Sink<'_>,
) -> Result<Summary, Failure> {
    let task = Task::new(tokenizer, config, answers, options)?;
    let mut run = Run { task: &task, runner, sink, summary: Summary::default() };
    let mut pending: Vec<Result<Example, Problem>> = Vec::new();
    for record in records {
        match record {
            Err(problem) if matches!(*problem.failure, Failure::Outside(_)) => {
                run.flush(&mut pending)?;
                return Err(problem.into_failure());
            }
            Err(problem) => pending.push(Err(problem)),
            Ok(record) => {
                let line = record.line;
                pending.push(task.prepare(record).map_err(|failure| Problem::new(line, failure)));
            }
        }
        if pending.len() >= options.batch {
            run.flush(&mut pending)?;
        }
    }
    run.flush(&mut pending)?;
    Ok(run.summary)
}

struct Run<'a> {
    task: &'a Task<'a>,
    runner: &'a mut dyn Runner,
    sink: &'a mut Sink<'a>,
    summary: Summary,
}

impl Run<'_> {
    /// Runs what is pending and hands out what became of it.
    fn flush(&mut self, pending: &mut Vec<Result<Example, Problem>>) -> Result<(), Failure> {
        let examples: Vec<&Example> = pending.iter().flatten().collect();
        let mut replies = self.replies(&examples).into_iter();
        for item in pending.drain(..) {
            let result = match item {
                Err(problem) => Err(problem),
                Ok(example) => match replies.next() {
                    Some(Ok(readings)) => Ok(reply(example, readings)),
                    Some(Err(failure)) => Err(Problem::new(example.record.line, failure)),
                    None => Err(Problem::new(example.record.line, Failure::input("the record was not run"))),
                },
            };
            match &result {
                Ok(reply) => {
                    self.summary.answered += 1;
                    self.summary.truncated += u64::from(reply.truncated);
                }
                Err(_) => self.summary.failed += 1,
            }
            (self.sink)(result)?;
        }
        Ok(())
    }

    /// The readings of each example.
    fn replies(&mut self, examples: &[&Example]) -> Vec<Result<Vec<Reading>, Arc<Failure>>> {
        if self.task.layout == Layout::Prompt {
            return examples.iter().map(|example| self.continuation(example).map_err(Arc::new)).collect();
        }
        let mut outputs: Vec<Result<Vec<Outputs>, Arc<Failure>>> =
            examples.iter().map(|_| Ok(Vec::new())).collect();
        for chunk in chunks(self.task, examples) {
            let result = self.outputs(&chunk).map_err(Arc::new);
            let shared = result.as_ref().err().cloned();
            let mut members = result.unwrap_or_default().into_iter();
            for owner in chunk.owners {
                let Some(owned) = outputs.get_mut(owner) else { continue };
                match (&shared, owned.as_mut(), members.next()) {
                    (Some(failure), _, _) => *owned = Err(failure.clone()),
                    (None, Ok(list), Some(member)) => list.push(member),
                    _ => {}
                }
            }
        }
        let read = |(example, outputs): (&&Example, Result<Vec<Outputs>, Arc<Failure>>)| {
            self.readings(example, &outputs?).map_err(Arc::new)
        };
        examples.iter().zip(outputs).map(read).collect()
    }

    fn continuation(&mut self, example: &Example) -> Result<Vec<Reading>, Failure> {
        let mut readings = Vec::new();
        for answer in self.task.answers {
            let output = answers::output(answer, 0)?;
            let continuation = continuation::write(self.task, example, output, self.runner)?;
            readings.push(Reading::Continuation(continuation));
        }
        Ok(readings)
    }

    fn readings(&self, example: &Example, outputs: &[Outputs]) -> Result<Vec<Reading>, Failure> {
        let Task { answers, reader, .. } = self.task;
        let present = answers.iter().filter(|answer| reader.missing(answer.kind, example).is_none());
        present.map(|answer| reader.read(answer, example, outputs)).collect()
    }

    /// The outputs of each member of a chunk.
    fn outputs(&mut self, chunk: &Chunk<'_>) -> Result<Vec<Outputs>, Failure> {
        let outputs = self.runner.run(&chunk.inputs(self.task)?, &[])?;
        Outputs::split(&outputs, &output_names(self.task.answers), chunk.owners.len())
    }
}

fn reply(example: Example, readings: Vec<Reading>) -> Reply {
    let truncated = example.truncated();
    Reply { line: example.record.line, fields: example.record.fields, truncated, readings }
}
