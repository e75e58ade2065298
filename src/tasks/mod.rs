//! Text in, answers out: records become tensors, a model runs, and its outputs are read in the task's terms.
//!
//! [`Records`] streams text records, [`Tokenizer`] cuts them into tokens, [`run_records`] runs a model on
//! batches of them and gives a [`Reply`] or a [`Problem`] for every record, in order. Which reading applies
//! is the spec's word (`answer span(start_logits, end_logits)`), so nothing here knows a model by name.
//! [`training`] makes records the batches that a model learns from, by the same readings.
//! Only [`records`] and [`tokenizer`] touch files.

pub mod answers;
mod batch;
mod chunk;
pub mod evaluation;
mod even;
pub mod metrics;
mod options;
pub mod records;
mod run;
mod task;
pub mod tokenizer;
pub mod training;

pub use answers::Reading;
pub use batch::inputs;
pub use evaluation::{Evaluator, evaluate};
pub use even::{EvenBatch, EvenBatches};
pub use options::Options;
pub use records::{Columns, Format, Problem, Record, Records, Text};
pub use run::{Summary, run_records};
pub use tokenizer::Tokenizer;

pub(crate) use task::{Example, Task};

use crate::failure::Failure;
use candle_core::Tensor;
use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::{Map, Value};
use std::{collections::BTreeMap, fmt};

/// A model that can be run.
pub trait Runner {
    /// Runs the model once on named inputs, which are on the CPU apart from earlier outputs that come back.
    /// An input that the model does not have is ignored. `request` names outputs made only when asked for,
    /// such as `present`, whose tensors are then `present.0.key` and so on; those that the model does not
    /// have are ignored too.
    fn run(
        &mut self,
        inputs: &BTreeMap<String, Tensor>,
        request: &[&str],
    ) -> Result<BTreeMap<String, Tensor>, Failure>;
}

/// The answers to one record.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The record's line.
    pub line: u64,
    /// The record's fields that were not the text, the pair or the choices: `id` and so on.
    pub fields: Map<String, Value>,
    /// Tokens were cut off to fit the model.
    pub truncated: bool,
    /// The answers, in the spec's order.
    pub readings: Vec<Reading>,
}

/// One object: `line`, the record's other fields, `truncated` where it is so, and every answer under its
/// reading's name. A field with one of these names gives way.
impl Serialize for Reply {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let own = |name: &str| {
            matches!(name, "line" | "truncated") || self.readings.iter().any(|reading| reading.name() == name)
        };
        let mut object = serializer.serialize_map(None)?;
        object.serialize_entry("line", &self.line)?;
        for (name, value) in self.fields.iter().filter(|(name, _)| !own(name)) {
            object.serialize_entry(name, value)?;
        }
        if self.truncated {
            object.serialize_entry("truncated", &true)?;
        }
        for reading in &self.readings {
            object.serialize_entry(reading.name(), reading)?;
        }
        object.end()
    }
}

/// For people: the answer, or where there are several each with its reading's name.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [reading] = self.readings.as_slice() {
            return reading.fmt(f);
        }
        for (index, reading) in self.readings.iter().enumerate() {
            write!(f, "{}{}: {reading}", if index > 0 { "\n" } else { "" }, reading.name())?;
        }
        Ok(())
    }
}
