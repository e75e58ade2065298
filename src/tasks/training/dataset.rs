//! Examples in batches.

use super::{
    example::{Example, IGNORED, Piece, Target},
    head::Head,
    maker::{Made, Maker},
    masking::Mask,
    order::{self, Purpose},
    pairs::Pairs,
};
use crate::{
    answer::Answer,
    config::Config,
    failure::Failure,
    tasks::{
        Evaluator, Options, Problem, Record, Tokenizer,
        batch::{padded, tensor},
        evaluation::gold::LabelKind,
    },
};
use candle_core::{Device, Tensor};
use rayon::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// The examples that a model is trained on, as token ids: 8 bytes a token.
#[derive(Debug)]
pub struct Dataset<'a> {
    tokenizer: &'a Tokenizer,
    head: Head,
    labels: LabelKind,
    mask: Option<Mask>,
    batch: usize,
    seed: u64,
    examples: Vec<Example>,
    truncated: usize,
    skipped: usize,
}

/// The inputs of one step.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Named tensors, on the CPU.
    pub inputs: BTreeMap<String, Tensor>,
    /// Tokens that are not padding.
    pub tokens: usize,
    /// How much its loss counts beside those of other batches: as many as the labels that it is a mean over,
    /// those of tokens where tokens have labels, else one for each example.
    pub weight: usize,
    /// The line of each example's record.
    pub lines: Vec<u64>,
}

impl<'a> Dataset<'a> {
    /// The examples of these records, tokenized in parallel; the texts are let go. Of `options` the batch, the
    /// lengths, the stride and the seed count.
    ///
    /// Where whether a text follows another is learned, and no record has a second text or a label, pairs are
    /// drawn from the lines by the seed: neighbours of one document, or for half of them a line of another; a
    /// blank line or a title (`= Title =`) ends a document.
    ///
    /// # Errors
    /// The first record that cannot be used: it lacks a text or its label, or the label cannot be. With line
    /// 0: there are no records, most give no example, or the answers or the options cannot be.
    pub fn new(
        tokenizer: &'a Tokenizer,
        config: &'a Config,
        answers: &'a [Answer],
        options: Options,
        records: Vec<Record>,
    ) -> Result<Dataset<'a>, Problem> {
        let of_none = |failure| Problem::new(0, failure);
        let head = Head::of(answers).map_err(of_none)?;
        let evaluator = Evaluator::new(tokenizer, config, answers, &options).map_err(of_none)?;
        let maker = Maker::new(head, evaluator).map_err(of_none)?;
        if records.is_empty() {
            return Err(of_none(Failure::input("there are no records to learn from")));
        }
        let made = made(&maker, records, options.seed)?;
        let count = made.len();
        let mut examples = Vec::with_capacity(count);
        let mut skipped: Vec<Problem> = Vec::new();
        for (line, made) in made {
            match made {
                Made::Examples(list) => examples.extend(list),
                Made::Nothing(failure) => skipped.push(Problem::new(line, failure)),
            }
        }
        if skipped.len() > count / 2 {
            return Err(useless(&skipped, count));
        }
        Ok(Dataset {
            tokenizer,
            head,
            labels: maker.evaluator.labels,
            mask: maker.mask,
            batch: options.batch,
            seed: options.seed,
            truncated: examples.iter().filter(|example| example.is_truncated).count(),
            skipped: skipped.len(),
            examples,
        })
    }

    /// How many examples there are: windows and pieces of long texts count each.
    pub fn len(&self) -> usize {
        self.examples.len()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.examples.is_empty()
    }

    /// How many examples were cut to fit the model.
    pub fn truncated(&self) -> usize {
        self.truncated
    }

    /// How many records gave no example: a text without words, an answer that is not in its context.
    pub fn skipped(&self) -> usize {
        self.skipped
    }

    /// Whether example `i` of both is from the same record, for every `i`: a teacher's example and its
    /// student's. So it is for datasets of the same records where each gives one sequence, whatever the
    /// tokenizers; and always where the tokenizer and the options are the same.
    pub fn matches(&self, other: &Dataset<'_>) -> bool {
        let others = other.examples.iter().map(|example| example.record);
        self.examples.iter().map(|example| example.record).eq(others)
    }

    /// The batches of an epoch, each a list of example positions: every example once, in an order drawn by the
    /// seed and the epoch, with examples of like length together. The same on every machine.
    pub fn epoch(&self, epoch: u64) -> Vec<Vec<usize>> {
        let mut random = order::random(self.seed, epoch, 0, Purpose::Order);
        let shape = |at: usize| {
            self.examples.get(at).map_or((0, 0), |example| (example.sequences.len(), example.length()))
        };
        order::batches(self.examples.len(), self.batch, &mut random, shape)
    }

    /// How many batches every epoch has; `None` where epochs differ, since examples have different numbers of
    /// sequences.
    pub fn batches_each(&self) -> Option<usize> {
        let kind = |example: &Example| example.sequences.len();
        let first = self.examples.first().map(kind);
        let alike = self.examples.iter().all(|example| Some(kind(example)) == first);
        alike.then(|| self.examples.len().div_ceil(self.batch.max(1)))
    }

    /// The inputs of some examples: `input_ids`, `attention_mask` and `token_type_ids`, each `i64[batch, seq]`
    /// (`i64[batch, choices, seq]`), and the label inputs. Words are hidden as drawn by seed, epoch and example.
    ///
    /// # Errors
    /// A position is not below [`Dataset::len`], there is none, or the examples have different numbers of
    /// choices.
    pub fn batch(&self, examples: &[usize], epoch: u64) -> Result<Batch, Problem> {
        let members = examples.iter().map(|at| self.member(*at, epoch)).collect::<Result<Vec<_>, _>>()?;
        let Some(first) = members.first() else {
            return Err(Problem::new(0, Failure::input("a batch of no examples has no inputs")));
        };
        let choices = first.example.sequences.len();
        if let Some(other) = members.iter().find(|member| member.example.sequences.len() != choices) {
            let text = format!("{} choices in a batch of {choices} each", other.example.sequences.len());
            return Err(Problem::new(other.example.line, Failure::input(text)));
        }
        let inputs = self.inputs(&members, choices);
        let lines = members.iter().map(|member| member.example.line).collect();
        let tokens = members.iter().flat_map(|member| &member.sequences).map(Vec::len).sum();
        let inputs = inputs.map_err(|failure| Problem::new(first.example.line, failure))?;
        Ok(Batch { inputs, tokens, weight: self.weight(&members), lines })
    }

    /// See [`Batch::weight`]. Where words and following are learned at once, their losses are means over
    /// different things, and each example counts one.
    fn weight(&self, members: &[Member<'_>]) -> usize {
        // Nothing comes before the first word, so that nobody is asked for it.
        let first = usize::from(self.head == Head::Continuation);
        let asked =
            |member: &Member<'_>| member.labels.iter().skip(first).filter(|label| **label != IGNORED).count();
        match self.head {
            Head::Entities | Head::FillMask | Head::Continuation => members.iter().map(asked).sum(),
            _ => members.len(),
        }
    }

    /// The names of the inputs that the batches have.
    pub fn input_names(&self) -> BTreeSet<String> {
        let tokens = ["input_ids", "attention_mask", "token_type_ids"];
        tokens.iter().chain(self.head.inputs()).map(|name| (*name).to_owned()).collect()
    }

    fn member(&self, at: usize, epoch: u64) -> Result<Member<'_>, Problem> {
        let example = self.examples.get(at).ok_or_else(|| {
            let text = format!("there is no example {at}, only {}", self.examples.len());
            Problem::new(0, Failure::input(text))
        })?;
        let mut sequences: Vec<Vec<Piece>> =
            example.sequences.iter().map(|sequence| sequence.to_vec()).collect();
        let first = sequences.first_mut();
        let labels = match (&example.target, self.mask, first) {
            (Target::Tokens(labels), ..) => labels.to_vec(),
            (_, Some(mask), Some(first)) => {
                mask.hide(first, &mut order::random(self.seed, epoch, at as u64, Purpose::Words))
            }
            (_, None, Some(first)) if self.head == Head::Continuation => {
                first.iter().map(|piece| i64::from(piece.id)).collect()
            }
            _ => Vec::new(),
        };
        Ok(Member { example, sequences, labels })
    }

    fn inputs(&self, members: &[Member<'_>], choices: usize) -> Result<BTreeMap<String, Tensor>, Failure> {
        let row = |sequence: &Vec<Piece>| -> Vec<(u32, u32)> {
            sequence.iter().map(|piece| (piece.id, u32::from(piece.type_id))).collect()
        };
        let rows: Vec<_> = members.iter().flat_map(|member| &member.sequences).map(row).collect();
        let choices = (self.head == Head::Choice).then_some(choices);
        let mut inputs = padded(&rows, choices, self.tokenizer.special().pad)?;
        let names = self.head.inputs().iter().map(|name| (*name).to_owned());
        inputs.extend(names.zip(self.labels(members)?));
        Ok(inputs)
    }

    /// The label inputs, in the order of their names.
    fn labels(&self, members: &[Member<'_>]) -> Result<Vec<Tensor>, Failure> {
        Ok(match self.head {
            Head::Embedding => Vec::new(),
            Head::Labels if !matches!(self.labels, LabelKind::One(_)) => vec![self.numbers(members)?],
            Head::Labels | Head::Choice | Head::NextSentence => vec![classes(members)?],
            Head::Entities | Head::FillMask | Head::Continuation => vec![by_token(members)?],
            Head::FillMaskAndNextSentence => vec![by_token(members)?, classes(members)?],
            Head::Span => {
                let ends = members.iter().map(|member| match member.example.target {
                    Target::Span(start, end) => (start as i64, end as i64),
                    _ => (0, 0),
                });
                let (starts, ends) = ends.unzip();
                vec![tensor(starts, &[members.len()])?, tensor(ends, &[members.len()])?]
            }
        })
    }

    /// `f32[batch]` where each is one number, else `f32[batch, n]`.
    fn numbers(&self, members: &[Member<'_>]) -> Result<Tensor, Failure> {
        let numbers = members.iter().flat_map(|member| match &member.example.target {
            Target::Numbers(numbers) => &numbers[..],
            _ => &[],
        });
        let shape = match self.labels {
            LabelKind::Numbers(1) => vec![members.len()],
            labels => vec![members.len(), labels.count()],
        };
        let numbers: Vec<f32> = numbers.copied().collect();
        Tensor::from_vec(numbers, shape.as_slice(), &Device::Cpu)
            .map_err(|error| Failure::outside(format!("cannot make labels of shape {shape:?}: {error}")))
    }
}

/// An example in a batch.
struct Member<'a> {
    example: &'a Example,
    /// Its sequences, with words hidden.
    sequences: Vec<Vec<Piece>>,
    /// The label of each token, where tokens have labels.
    labels: Vec<i64>,
}

/// `i64[batch]`.
fn classes(members: &[Member<'_>]) -> Result<Tensor, Failure> {
    let class = |member: &Member<'_>| match member.example.target {
        Target::Class(class) => class as i64,
        _ => IGNORED,
    };
    tensor(members.iter().map(class).collect(), &[members.len()])
}

/// `i64[batch, seq]`; what is padding asks for nothing.
fn by_token(members: &[Member<'_>]) -> Result<Tensor, Failure> {
    let seq = members.iter().map(|member| member.labels.len()).max().unwrap_or(0);
    let row = |member: &Member<'_>| -> Vec<i64> {
        member.labels.iter().copied().chain(std::iter::repeat(IGNORED)).take(seq).collect()
    };
    tensor(members.iter().flat_map(row).collect(), &[members.len(), seq])
}

/// What each record gives, with its line, in order.
fn made(maker: &Maker<'_>, records: Vec<Record>, seed: u64) -> Result<Vec<(u64, Made)>, Problem> {
    let make = |index: usize, record: Record| match maker.make(index, &record) {
        Ok(made) => Ok((record.line, made)),
        Err(failure) => Err(Problem::new(record.line, failure)),
    };
    // With a label it is a second text that is missing, and each record says so.
    let is_running_text = records.iter().all(|record| record.pair.is_none() && record.gold.is_none());
    let made: Vec<Result<_, _>> = if maker.head.joins_texts() && is_running_text {
        let pairs = Pairs::new(records, seed)?;
        let numbers = (0..pairs.len()).into_par_iter();
        numbers.filter_map(|index| Some(make(index, pairs.record(index)?))).collect()
    } else {
        records.into_par_iter().enumerate().map(|(index, record)| make(index, record)).collect()
    };
    // Of several problems the first, which rayon does not promise.
    made.into_iter().collect()
}

/// Most records give no example.
fn useless(skipped: &[Problem], count: usize) -> Problem {
    let why = skipped.first().map_or_else(String::new, |problem| format!(", first {problem}"));
    let text = format!("{} of {count} records have nothing to learn from{why}", skipped.len());
    let help = "are these the right columns? name them: --columns text=NAME,pair=NAME,label=NAME";
    Problem::new(0, Failure::input(text).help(help))
}
