//! The outputs of a model as answers in the task's own terms: one file for each reading.

mod choice;
pub(crate) mod continuation;
mod embedding;
mod entities;
mod fill_mask;
mod labels;
mod next_sentence;
pub(crate) mod outputs;
pub(crate) mod scores;
mod span;

pub use choice::Choice;
pub use continuation::Continuation;
pub use embedding::Embedding;
pub use entities::{Entities, Entity, Word};
pub use fill_mask::{FillMask, Filled};
pub use labels::Labels;
pub use next_sentence::NextSentence;
pub use scores::Scored;
pub use span::{Candidate, Span};

pub(in crate::tasks) use entities::{stretches, word_tokens};

use super::{Example, Options, Record, Tokenizer};
use crate::{
    answer::{Answer, AnswerKind},
    config::Config,
    failure::Failure,
};
use outputs::Outputs;
use serde::Serialize;
use std::fmt;

/// One answer, read in the way that the spec says.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Reading {
    /// `labels(logits)`.
    Labels(Labels),
    /// `entities(logits)`.
    Entities(Entities),
    /// `span(start_logits, end_logits)`.
    Span(Span),
    /// `fill_mask(logits)`.
    FillMask(FillMask),
    /// `next_sentence(logits)`.
    NextSentence(NextSentence),
    /// `choice(logits)`.
    Choice(Choice),
    /// `continuation(logits)`.
    Continuation(Continuation),
    /// `embedding(vector)`.
    Embedding(Embedding),
}

impl Reading {
    /// Which reading it is.
    pub fn kind(&self) -> AnswerKind {
        match self {
            Reading::Labels(_) => AnswerKind::Labels,
            Reading::Entities(_) => AnswerKind::Entities,
            Reading::Span(_) => AnswerKind::Span,
            Reading::FillMask(_) => AnswerKind::FillMask,
            Reading::NextSentence(_) => AnswerKind::NextSentence,
            Reading::Choice(_) => AnswerKind::Choice,
            Reading::Continuation(_) => AnswerKind::Continuation,
            Reading::Embedding(_) => AnswerKind::Embedding,
        }
    }

    /// Its name in specs and in JSON: `labels`, `fill_mask`, ...
    pub fn name(&self) -> &'static str {
        self.kind().name()
    }
}

/// For people: one line, or several where the answer has parts.
impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reading::Labels(answer) => answer.fmt(f),
            Reading::Entities(answer) => answer.fmt(f),
            Reading::Span(answer) => answer.fmt(f),
            Reading::FillMask(answer) => answer.fmt(f),
            Reading::NextSentence(answer) => answer.fmt(f),
            Reading::Choice(answer) => answer.fmt(f),
            Reading::Continuation(answer) => answer.fmt(f),
            Reading::Embedding(answer) => answer.fmt(f),
        }
    }
}

/// What readings need besides outputs.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) tokenizer: &'a Tokenizer,
    pub(crate) config: &'a Config,
    pub(crate) options: &'a Options,
    pub(crate) labels: scores::Labels,
}

impl Reader<'_> {
    /// What an example lacks for a reading, as the failure that says so.
    pub(crate) fn missing(&self, kind: AnswerKind, example: &Example) -> Option<Failure> {
        if kind == AnswerKind::FillMask && fill_mask::masks(self, example).next().is_none() {
            let mask = &self.tokenizer.special().mask_text;
            let cut = if example.truncated() { ", as far as it fits the model" } else { "" };
            let failure = Failure::input(format!("the text has no {mask}{cut}"));
            return Some(failure.help(format!("write {mask} where a word is to be found")));
        }
        self.lacks(kind, &example.record)
    }

    /// Which text a record lacks for a reading, as the failure that says so.
    pub(crate) fn lacks(&self, kind: AnswerKind, record: &Record) -> Option<Failure> {
        match kind {
            AnswerKind::Span if record.pair.is_none() => Some(
                Failure::input("the record has a question and no context")
                    .help("give the context as --text-pair, or as a field `context` or `pair`"),
            ),
            AnswerKind::NextSentence if record.pair.is_none() => Some(
                Failure::input("the record has only one text")
                    .help("give the second as --text-pair, or as a field `sentence2` or `pair`"),
            ),
            AnswerKind::Choice if record.choices.is_empty() => Some(
                Failure::input("the record has no choices")
                    .help("give a list `choices` in jsonl, or a column for each: `ending0`, `ending1`, ..."),
            ),
            _ => None,
        }
    }

    /// Reads an answer out of the outputs: one set for every sequence of the example, or a single one.
    pub(crate) fn read(
        &self,
        answer: &Answer,
        example: &Example,
        outputs: &[Outputs],
    ) -> Result<Reading, Failure> {
        let none = Outputs::default();
        let first = outputs.first().unwrap_or(&none);
        let name = output(answer, 0)?;
        Ok(match answer.kind {
            AnswerKind::Labels => Reading::Labels(Labels::read(self, name, &first.list(name)?)?),
            AnswerKind::Entities => Reading::Entities(Entities::read(self, name, example, first)?),
            AnswerKind::Span => {
                Reading::Span(Span::read(self, (name, output(answer, 1)?), example, outputs)?)
            }
            AnswerKind::FillMask => Reading::FillMask(FillMask::read(self, name, example, first)?),
            AnswerKind::NextSentence => Reading::NextSentence(NextSentence::read(name, &first.list(name)?)?),
            AnswerKind::Choice => {
                Reading::Choice(Choice::read(name, &first.list(name)?, &example.record.choices)?)
            }
            AnswerKind::Embedding => Reading::Embedding(Embedding(first.list(name)?)),
            AnswerKind::Continuation => {
                return Err(Failure::input("a continuation is not read together with other answers"));
            }
        })
    }
}

/// The name of the output that a reading takes at this place.
pub(crate) fn output(answer: &Answer, place: usize) -> Result<&str, Failure> {
    let name = answer.outputs.get(place).map(String::as_str);
    name.ok_or_else(|| Failure::input(format!("the spec's `answer` names {} outputs", answer.outputs.len())))
}
