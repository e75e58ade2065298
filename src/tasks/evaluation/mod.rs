//! How good a model is at its task, and how near a quantized one is to its float original.
//!
//! Which metrics apply is the spec's word: they follow from its `answer`s. [`Evaluator`] makes batches of
//! records, [`Batch::run`] runs a model on one, and [`Scores`] and [`Fidelity`] take in what it gave;
//! [`evaluate`] does all of it for a list of records and any number of models, side by side. A batch can be
//! run on many variants of a model, and its inputs are there to be run in any other way.
//!
//! | answer | what is right | metrics |
//! |---|---|---|
//! | `labels` | a label, by name or by id | accuracy, F1 (two labels: of label 1; more: the mean over labels), Matthews |
//! | `labels`, several a record | a list of labels | micro and macro F1, exact match |
//! | `labels`, a number | a number | Pearson, Spearman |
//! | `entities` | a tag for every word | F1, precision, recall of entities, in all and by type; accuracy of tags |
//! | `span` | answer texts, none where there is no answer | exact match, F1 |
//! | `next_sentence` | 0 where the second text follows, else 1 | accuracy, F1 (of following) |
//! | `choice` | which choice, from 0 | accuracy |
//! | `embedding` | how alike two texts are | Pearson, Spearman of the embeddings' cosine |
//! | `fill_mask` | the text itself, or a word for every mask | loss, perplexity and accuracy over masked tokens |
//! | `continuation` | the text itself | loss, perplexity and accuracy over tokens |
//!
//! The first of the metrics is what models are chosen by.

mod batch;
mod evaluate;
mod fidelity;
pub(super) mod gold;
pub(super) mod question;
mod scores;
mod tally;

pub use batch::{Batch, BatchOutputs};
pub use evaluate::{Evaluation, evaluate};
pub use fidelity::Fidelity;
pub use gold::{is_unanswerable, right_answers};
pub use scores::Scores;

use super::{Options, Problem, Record, Task, Tokenizer};
use crate::{
    answer::{Answer, AnswerKind},
    config::Config,
    failure::Failure,
};
use gold::{Gold, LabelKind};
use question::Question;
use std::collections::HashMap;

/// What is asked of the records of an evaluation, and what is right.
pub struct Evaluator<'a> {
    pub(super) task: Task<'a>,
    pub(super) labels: LabelKind,
    /// The ids of labels, by name.
    ids: HashMap<String, usize>,
}

/// How these records are evaluated unless told otherwise: `batch` of them together, the usual number where
/// `None`; a question may have no answer where one of them has none (SQuAD 2).
pub fn options(records: &[Record], batch: Option<usize>) -> Options {
    let default = Options::default();
    Options {
        batch: batch.unwrap_or(default.batch),
        no_answer: records.iter().any(is_unanswerable),
        ..default
    }
}

impl<'a> Evaluator<'a> {
    /// An evaluation of what these answers say.
    ///
    /// # Errors
    /// The options mean nothing, or the answers cannot be read together.
    pub fn new(
        tokenizer: &'a Tokenizer,
        config: &'a Config,
        answers: &'a [Answer],
        options: &'a Options,
    ) -> Result<Evaluator<'a>, Failure> {
        let task = Task::new(tokenizer, config, answers, options)?;
        let ids = gold::ids(config, &task.reader.labels);
        Ok(Evaluator { task, labels: LabelKind::of(config), ids })
    }

    /// Whether the records say what is right: all of them do, or, with `false`, none does. Nothing is needed
    /// where the text itself is what is right.
    ///
    /// # Errors
    /// The first record that cannot be used: it lacks a text, what is right is not a possible answer, or it
    /// alone says what is right, or alone does not.
    pub fn is_labelled(&self, records: &[Record]) -> Result<bool, Problem> {
        let mut labelled = None;
        for record in records {
            let refused = |failure| Problem::new(record.line, failure);
            let golds = self.golds(record).map_err(refused)?;
            let known = golds.iter().zip(self.task.answers).any(|(gold, answer)| {
                gold.is_some() || matches!(answer.kind, AnswerKind::FillMask | AnswerKind::Continuation)
            });
            if *labelled.get_or_insert(known) != known {
                return Err(refused(match known {
                    true => Failure::input("the record says what is right, unlike those before it"),
                    false => self.lacking(record),
                }));
            }
        }
        Ok(labelled.unwrap_or(false))
    }

    /// Why a record without what is right cannot be scored.
    pub fn lacking(&self, record: &Record) -> Failure {
        let kind = self.task.answers.first().map(|answer| answer.kind);
        gold::lacking(kind, record)
    }

    /// Records run together. Those that do not say what is right count for [`Fidelity`] alone.
    ///
    /// # Errors
    /// A record cannot be cut into tokens, or what is right is not a possible answer.
    pub fn batch(&self, records: Vec<Record>) -> Result<Batch, Problem> {
        let question = |record: Record| {
            let line = record.line;
            self.question(record).map_err(|failure| Problem::new(line, failure))
        };
        let questions: Vec<Question> = records.into_iter().map(question).collect::<Result<_, _>>()?;
        let line = questions.first().map_or(0, |question| question.example.record.line);
        Batch::new(&self.task, questions).map_err(|failure| Problem::new(line, failure))
    }

    /// Scores of a model, nothing counted yet.
    pub fn scores(&self) -> Scores<'_> {
        Scores::new(self)
    }

    /// The nearness of one model to another, nothing counted yet.
    pub fn fidelity(&self) -> Fidelity<'_> {
        Fidelity::new(self)
    }

    /// What is right for each answer, as far as the record says it.
    fn golds(&self, record: &Record) -> Result<Vec<Option<Gold>>, Failure> {
        self.usable(record)?;
        self.task.answers.iter().map(|answer| self.gold(answer.kind, record)).collect()
    }

    /// Refuses a record that lacks what every answer needs.
    pub(super) fn usable(&self, record: &Record) -> Result<(), Failure> {
        let mut lacking = self.task.answers.iter().map(|answer| self.task.reader.lacks(answer.kind, record));
        match lacking.next() {
            Some(Some(first)) if lacking.all(|failure| failure.is_some()) => Err(first),
            _ => Ok(()),
        }
    }
}
