//! Records run together.

use super::question::Question;
use crate::{
    failure::Failure,
    tasks::{
        Example, Runner, Task,
        answers::outputs::Outputs,
        chunk::{Chunk, chunks, output_names},
    },
};
use candle_core::Tensor;
use std::collections::BTreeMap;

/// Records run together, as the calls of a model that they take.
pub struct Batch {
    pub(super) questions: Vec<Question>,
    calls: Vec<Call>,
    names: Vec<String>,
}

/// One call of a model.
struct Call {
    inputs: BTreeMap<String, Tensor>,
    /// The question that each member belongs to.
    owners: Vec<usize>,
}

/// What a model gave for the records of a batch.
pub struct BatchOutputs {
    /// Of each question, the outputs of its sequences.
    pub(super) questions: Vec<Vec<Outputs>>,
}

impl Batch {
    pub(super) fn new(task: &Task<'_>, questions: Vec<Question>) -> Result<Batch, Failure> {
        let examples: Vec<&Example> = questions.iter().map(|question| &question.example).collect();
        let call = |chunk: Chunk<'_>| {
            let inputs = chunk.inputs(task)?;
            Ok(Call { inputs, owners: chunk.owners })
        };
        let calls = chunks(task, &examples).into_iter().map(call).collect::<Result<_, Failure>>()?;
        Ok(Batch { questions, calls, names: output_names(task.answers) })
    }

    /// How many records it holds.
    pub fn records(&self) -> usize {
        self.questions.len()
    }

    /// How many of its records were cut to fit the model.
    pub fn truncated(&self) -> usize {
        self.questions.iter().filter(|question| question.example.truncated()).count()
    }

    /// The inputs of each call: `input_ids`, `attention_mask` and `token_type_ids`, each `i64[batch, seq]`,
    /// or `i64[batch, choices, seq]`.
    pub fn inputs(&self) -> impl Iterator<Item = &BTreeMap<String, Tensor>> {
        self.calls.iter().map(|call| &call.inputs)
    }

    /// Runs a model on it.
    ///
    /// # Errors
    /// The model cannot be run, or does not give what the answers are read from.
    pub fn run(&self, runner: &mut dyn Runner) -> Result<BatchOutputs, Failure> {
        let outputs = self.inputs().map(|inputs| runner.run(inputs, &[]));
        self.outputs(outputs.collect::<Result<Vec<_>, _>>()?)
    }

    /// What a model gave for [`Batch::inputs`], one set of named outputs for each call.
    ///
    /// # Errors
    /// An output that an answer is read from is missing, or not as long as the batch.
    pub fn outputs(&self, outputs: Vec<BTreeMap<String, Tensor>>) -> Result<BatchOutputs, Failure> {
        let mut questions: Vec<Vec<Outputs>> = self.questions.iter().map(|_| Vec::new()).collect();
        for (call, outputs) in self.calls.iter().zip(outputs) {
            let members = Outputs::split(&outputs, &self.names, call.owners.len())?;
            for (owner, member) in call.owners.iter().zip(members) {
                if let Some(question) = questions.get_mut(*owner) {
                    question.push(member);
                }
            }
        }
        Ok(BatchOutputs { questions })
    }
}
