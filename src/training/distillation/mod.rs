//! Learning from a teacher: its outputs are what is right, beside the labels.
//!
//! ```text
//! loss = (1 - share) * spec's loss + share * T² * KL(teacher / T || student / T)
//! ```
//!
//! with the logits of both divided by the temperature `T` (Hinton, Vinyals and Dean 2015, arXiv
//! 1503.02531); without a loss of the spec's own the share is 1. What is compared follows from the spec's
//! `answer`s:
//!
//! | answer | compared |
//! |---|---|
//! | `labels`, `choice`, `next_sentence` | the probabilities of classes, in each row |
//! | `labels`, several a record | the probability of each label |
//! | `labels`, numbers; `embedding` | the numbers: their squared error |
//! | `span` | the probabilities of starts, and of ends, over the tokens that are not padding |
//! | `entities`, `fill_mask` | the probabilities of classes at the tokens that have a label |
//! | `continuation` | the same at the tokens before those |
//!
//! Hidden states can be compared too: the teacher's part then has besides the squared error of the states of
//! tokens that are not padding, a mean over the layers, layer `i` of `n` with the teacher's `i * m / n` of `m`.

mod hidden;
mod losses;
mod memory;

use super::{
    ranges::text,
    trainer::{failed, filled, scalar},
};
use crate::{
    answer::{Answer, AnswerKind},
    config::Config,
    failure::Failure,
    names::list_of,
    session::Session,
    tasks::{
        Problem,
        training::{Batch, Dataset},
    },
};
use candle_core::{DType, Tensor};
use losses::Compared;
use memory::Memory;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// How a student learns from its teacher.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distillation {
    /// What logits are divided by.
    pub temperature: f64,
    /// The teacher's share of the loss, from 0 to 1.
    pub share: f64,
    /// Hidden states are compared too.
    pub hidden: bool,
}

/// A model whose outputs another learns to give.
pub struct Teacher<'a> {
    session: &'a mut Session,
    /// Its tokens, example by example those of the student.
    data: &'a Dataset<'a>,
    options: Distillation,
    pairs: Vec<Pair>,
    memory: Option<Memory>,
}

/// An output, and the teacher's that it is compared with.
#[derive(Clone, Debug)]
struct Pair {
    compared: Compared,
    student: String,
    teacher: String,
    /// Its part of what the teacher says.
    share: f64,
}

/// What is made small, and what follows from it for each output.
pub(super) struct Objective {
    pub(super) loss: f64,
    pub(super) teacher_loss: Option<f64>,
    pub(super) upstream: BTreeMap<String, Tensor>,
}

/// A student as its teacher must know it.
#[derive(Clone, Copy)]
pub struct Student<'a> {
    /// Its settings.
    pub config: &'a Config,
    /// How its outputs are read.
    pub answers: &'a [Answer],
    /// Its examples.
    pub data: &'a Dataset<'a>,
}

impl<'a> Teacher<'a> {
    /// A teacher whose outputs are read as `answers` say. `data`: the same records as its own tokenizer
    /// cuts them, where that is not the student's.
    ///
    /// # Errors
    /// What the two give cannot be compared.
    pub fn new(
        session: &'a mut Session,
        data: Option<&'a Dataset<'a>>,
        answers: &[Answer],
        student: Student<'a>,
        options: Distillation,
    ) -> Result<Teacher<'a>, Failure> {
        let pairs = pairs(student, answers)?;
        same_labels(student, session.config())?;
        let by_token = pairs.iter().any(|pair| pair.compared.is_by_token());
        if let Some(own) = data {
            if by_token || options.hidden {
                return Err(Failure::input("the teacher's tokens are others than the model's, so what both say of each token cannot be compared")
                    .help("take a teacher with the same vocabulary"));
            }
            if !student.data.matches(own) {
                return Err(Failure::input(
                    "the teacher's tokenizer cuts the records into other examples than the model's",
                )
                .help(
                    "take a teacher with the same vocabulary, or a `--max-length` that leaves texts whole",
                ));
            }
        }
        if options.hidden {
            hidden::same_size(student.config, session.config())?;
        }
        let remembered = !by_token && !options.hidden;
        let memory = remembered.then(|| Memory::new(student.data));
        Ok(Teacher { session, data: data.unwrap_or(student.data), options, pairs, memory })
    }

    /// The outputs that the student must be asked for besides those always made.
    pub fn request(&self) -> BTreeSet<String> {
        let wanted = self.options.hidden.then(|| hidden::OUTPUT.to_owned());
        wanted.into_iter().collect()
    }

    /// What a batch of the student's makes small, and its upstream times `weight`.
    pub(super) fn objective(
        &mut self,
        outputs: &BTreeMap<String, Tensor>,
        examples: &[usize],
        batch: &Batch,
        epoch: u64,
        weight: f64,
    ) -> Result<Objective, Failure> {
        let taught = self.taught(examples, epoch)?;
        let hard = outputs.get("loss");
        let share = if hard.is_some() { self.options.share } else { 1.0 };
        let mut upstream = BTreeMap::new();
        let mut loss = 0.0;
        if let Some(hard) = hard {
            loss += (1.0 - share) * scalar(hard)?;
            upstream.insert("loss".to_owned(), filled(hard, (1.0 - share) * weight)?);
        }
        let mut soft = 0.0;
        for pair in &self.pairs {
            let student = outputs.get(&pair.student).ok_or_else(|| lacking("model", &pair.student))?;
            let teacher = taught.get(&pair.teacher).ok_or_else(|| lacking("teacher", &pair.teacher))?;
            let (own, gradient) = pair.compared.loss(
                &pair.student,
                student,
                teacher,
                &batch.inputs,
                self.options.temperature,
            )?;
            soft += own * pair.share;
            let gradient = gradient.affine(share * pair.share * weight, 0.0).map_err(failed)?;
            add(&mut upstream, &pair.student, gradient, student.dtype())?;
        }
        if self.options.hidden {
            let (own, gradients) = hidden::loss(outputs, &taught, &batch.inputs)?;
            soft += own;
            for (name, gradient) in gradients {
                let dtype = outputs.get(&name).map_or(DType::F32, Tensor::dtype);
                add(&mut upstream, &name, gradient.affine(share * weight, 0.0).map_err(failed)?, dtype)?;
            }
        }
        Ok(Objective { loss: loss + share * soft, teacher_loss: Some(soft), upstream })
    }

    /// The teacher's outputs for a batch of the student's. What it says of whole texts is remembered: it is
    /// asked once, about the batches of the first epoch, so that it always says the same to the bit.
    fn taught(&mut self, examples: &[usize], epoch: u64) -> Result<BTreeMap<String, Tensor>, Failure> {
        let request = self.request();
        let mut ask = |examples: &[usize], epoch: u64| {
            let batch = self.data.batch(examples, epoch).map_err(Problem::into_failure)?;
            let inputs = self.session.own_inputs(&text(&batch.inputs));
            self.session.call(&inputs, &request)
        };
        let Some(memory) = &mut self.memory else { return ask(examples, epoch) };
        for batch in memory.lacking(examples) {
            let outputs = ask(&batch, 0)?;
            if !memory.keep(&batch, &self.pairs, &outputs)? {
                self.memory = None;
                return ask(examples, epoch);
            }
        }
        memory.recall(examples, &self.pairs)
    }
}

/// Adds to what is upstream of an output, in the output's element type.
fn add(
    upstream: &mut BTreeMap<String, Tensor>,
    output: &str,
    gradient: Tensor,
    dtype: DType,
) -> Result<(), Failure> {
    let sum = match upstream.remove(output) {
        Some(known) => known.to_dtype(DType::F32).and_then(|known| known + gradient),
        None => Ok(gradient),
    };
    upstream.insert(output.to_owned(), sum.and_then(|sum| sum.to_dtype(dtype)).map_err(failed)?);
    Ok(())
}

fn lacking(who: &str, output: &str) -> Failure {
    Failure::input(format!("the {who} gives no output `{output}` for these inputs"))
}

/// What of the student is compared with what of the teacher.
fn pairs(student: Student<'_>, answers: &[Answer]) -> Result<Vec<Pair>, Failure> {
    let kinds =
        |answers: &[Answer]| -> Vec<AnswerKind> { answers.iter().map(|answer| answer.kind).collect() };
    let (own, other) = (kinds(student.answers), kinds(answers));
    if own.is_empty() || own != other {
        let named = |kinds: &[AnswerKind]| match kinds {
            [] => "nothing".to_owned(),
            kinds => list_of(kinds.iter().map(|kind| kind.name())),
        };
        return Err(Failure::input(format!(
            "the model answers {}, and its teacher {}",
            named(&own),
            named(&other)
        ))
        .help("give the spec of a teacher for the same task: --teacher-spec SPEC"));
    }
    let mut pairs = Vec::new();
    for (own, other) in student.answers.iter().zip(answers) {
        let compared = Compared::of(own.kind, student.config);
        let share = 1.0 / own.outputs.len().max(1) as f64;
        let outputs = own.outputs.iter().cloned().zip(other.outputs.iter().cloned());
        pairs.extend(outputs.map(|(student, teacher)| Pair { compared, student, teacher, share }));
    }
    Ok(pairs)
}

/// Refuses a teacher that knows other labels, or knows them in another order.
fn same_labels(student: Student<'_>, teacher: &Config) -> Result<(), Failure> {
    let labelled = [AnswerKind::Labels, AnswerKind::Entities];
    if !student.answers.iter().any(|answer| labelled.contains(&answer.kind)) {
        return Ok(());
    }
    let (own, other) = (student.config.labels(), teacher.labels());
    let count = |config: &Config| config.get("num_labels").and_then(Value::as_u64).unwrap_or(2);
    if count(student.config) != count(teacher) {
        return Err(Failure::input(format!(
            "the model has {} labels, and its teacher {}",
            count(student.config),
            count(teacher)
        ))
        .help("take a teacher that was trained on the same labels"));
    }
    if is_named(&own) && is_named(&other) && own != other {
        let listed = |labels: &[String]| list_of(labels.iter().take(LISTED).map(String::as_str));
        return Err(Failure::input(format!(
            "the model's labels are {}, and its teacher's {}",
            listed(&own),
            listed(&other)
        ))
        .help("give the model the teacher's, in its order: --set 'id2label={\"0\": \"name\", ...}'"));
    }
    Ok(())
}

/// Labels that a message lists, at most.
const LISTED: usize = 12;

/// The labels have other names than HuggingFace's `LABEL_0`.
pub fn is_named(labels: &[String]) -> bool {
    labels.iter().enumerate().any(|(index, name)| *name != format!("LABEL_{index}"))
}
