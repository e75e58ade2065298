//! Records to examples.

use super::{
    example::{Example, IGNORED, Target, pieces},
    head::Head,
    masking::Mask,
    span,
};
use crate::{
    answer::AnswerKind,
    failure::Failure,
    names::shortened,
    tasks::{
        Record, Text,
        evaluation::{Evaluator, gold::Gold, right_answers},
        tokenizer::{Encoding, Token},
    },
};

/// Makes examples of records.
pub(super) struct Maker<'a> {
    pub(super) head: Head,
    pub(super) evaluator: Evaluator<'a>,
    /// What hides words, where words are hidden.
    pub(super) mask: Option<Mask>,
}

/// What a record gives.
#[derive(Debug)]
pub(super) enum Made {
    /// Examples, at least one.
    Examples(Vec<Example>),
    /// None: it has no words, or its answer is not in its context. The failure says which.
    Nothing(Failure),
}

/// The sequences of an example, with what is right.
type Sequences = (Vec<Encoding>, Target);

impl<'a> Maker<'a> {
    /// # Errors
    /// Words are to be hidden, and the tokenizer has nothing to hide them with.
    pub(super) fn new(head: Head, evaluator: Evaluator<'a>) -> Result<Maker<'a>, Failure> {
        let size = evaluator.task.tokenizer.vocabulary_size();
        let vocabulary = u32::try_from(size).unwrap_or(u32::MAX);
        let mask = head.hides_words().then(|| evaluator.mask()).transpose()?;
        Ok(Maker { head, evaluator, mask: mask.map(|id| Mask { id, vocabulary }) })
    }

    /// The examples of the record that is number `index` of all.
    ///
    /// # Errors
    /// The record lacks a text or what is right, or what is right cannot be.
    pub(super) fn make(&self, index: usize, record: &Record) -> Result<Made, Failure> {
        self.usable(record)?;
        let made = match (self.head, &record.pair) {
            (Head::Span, Some(context)) => match self.windows(record, context)? {
                Ok(windows) => windows,
                Err(nowhere) => return Ok(Made::Nothing(nowhere)),
            },
            (Head::Continuation, _) => self.continued(record)?,
            (Head::FillMask, None) => {
                let pieces = self.evaluator.task.tokenizer.pieces(&record.text, self.evaluator.task.limit)?;
                self.hidden(record, pieces)?
            }
            (Head::FillMask, Some(_)) => self.hidden(record, self.evaluator.task.sequences(record)?)?,
            (Head::Embedding, _) => self.alone(record)?,
            _ => {
                let sequences = self.evaluator.task.sequences(record)?;
                let target = self.target(record, &sequences)?;
                vec![(sequences, target)]
            }
        };
        let examples: Vec<Example> =
            made.into_iter().filter(|example| self.teaches(example)).map(small(index, record.line)).collect();
        if examples.is_empty() {
            return Ok(Made::Nothing(Failure::input("the text has no words")));
        }
        Ok(Made::Examples(examples))
    }

    /// Refuses a record that lacks a text.
    fn usable(&self, record: &Record) -> Result<(), Failure> {
        self.evaluator.usable(record)?;
        let follows = self.head.joins_texts().then_some(AnswerKind::NextSentence);
        follows.and_then(|kind| self.evaluator.task.reader.lacks(kind, record)).map_or(Ok(()), Err)
    }

    /// There is something to learn from an example: a word to find, a tag, a token after another. Without, a
    /// mean over nothing would be no number.
    fn teaches(&self, (sequences, target): &Sequences) -> bool {
        let has_text = |sequence: &Encoding| sequence.tokens.iter().any(|token| token.sequence.is_some());
        match (self.head, target) {
            (_, Target::Tokens(labels)) => labels.iter().any(|label| *label != IGNORED),
            (Head::FillMask | Head::FillMaskAndNextSentence, _) => sequences.iter().any(has_text),
            (Head::Continuation, _) => {
                sequences.iter().any(|sequence| has_text(sequence) && sequence.tokens.len() > 1)
            }
            _ => true,
        }
    }

    /// What is right for one sequence, or for choices.
    fn target(&self, record: &Record, sequences: &[Encoding]) -> Result<Target, Failure> {
        let Some(kind) = self.head.labelled() else { return Ok(Target::Text) };
        if let Some(mask) = self.mask {
            // Refuses a text with masks: its label says what follows, and no word.
            self.evaluator.asked_for(record, mask.id, sequences)?;
        }
        let gold = self.evaluator.gold(kind, record)?.ok_or_else(|| self.evaluator.lacking(record))?;
        Ok(match gold {
            Gold::Class(class) => Target::Class(class),
            Gold::Classes(marks) => {
                Target::Numbers(marks.iter().map(|mark| f32::from(u8::from(*mark))).collect())
            }
            Gold::Numbers(numbers) => {
                Target::Numbers(numbers.iter().map(|number| narrowed(*number)).collect::<Result<_, _>>()?)
            }
            Gold::Tags(tags) => tags_of(sequences, &tags),
            Gold::Answers(_) => return Err(self.evaluator.lacking(record)),
        })
    }

    /// Texts in which words are hidden: for every epoch anew, unless they have masks of their own.
    fn hidden(&self, record: &Record, sequences: Vec<Encoding>) -> Result<Vec<Sequences>, Failure> {
        let own = match self.mask {
            Some(mask) => self.evaluator.asked_for(record, mask.id, &sequences)?,
            None => None,
        };
        let target = |number: usize, sequence: &Encoding| match &own {
            None => Target::Text,
            Some(asked) => {
                let mut labels = vec![IGNORED; sequence.tokens.len()];
                for asked in asked.iter().filter(|asked| asked.sequence == number) {
                    if let (Some(label), Ok(id)) = (labels.get_mut(asked.at), i64::try_from(asked.id)) {
                        *label = id;
                    }
                }
                Target::Tokens(labels.into())
            }
        };
        let sequences = sequences.into_iter().enumerate();
        Ok(sequences.map(|(number, sequence)| (target(number, &sequence), sequence)).map(of_one).collect())
    }

    /// A text in pieces. What ends the text, which a model must learn to write, ends the last of them alone.
    fn continued(&self, record: &Record) -> Result<Vec<Sequences>, Failure> {
        let mut pieces = self.evaluator.task.tokenizer.pieces(&record.text, self.evaluator.task.limit)?;
        let last = pieces.len().saturating_sub(1);
        pieces.iter_mut().take(last).for_each(Encoding::open_end);
        Ok(pieces.into_iter().map(|piece| of_one((Target::Text, piece))).collect())
    }

    /// Each text of a record alone.
    fn alone(&self, record: &Record) -> Result<Vec<Sequences>, Failure> {
        let pair = record.pair.iter().map(|pair| Text::Plain(pair.clone()));
        let texts = std::iter::once(record.text.clone()).chain(pair);
        let task = &self.evaluator.task;
        texts
            .map(|text| Ok(of_one((Target::Text, task.tokenizer.encode(&text, None, task.limit)?))))
            .collect()
    }

    /// The windows of a context with the place of the answer in each; or why no answer is there.
    fn windows(&self, record: &Record, context: &str) -> Result<Result<Vec<Sequences>, Failure>, Failure> {
        let texts = right_answers(record)?.ok_or_else(|| self.evaluator.lacking(record))?;
        let starts = record.gold.as_ref().map(span::starts).unwrap_or_default();
        let answer = span::find(context, &texts, &starts);
        if let (None, Some(first)) = (&answer, texts.first()) {
            let text = format!("the answer `{}` is not in the context", shortened(first));
            return Ok(Err(Failure::input(text)));
        }
        let cls = self.evaluator.task.tokenizer.special().cls;
        let place = |window: Encoding| {
            let inside = answer.as_ref().and_then(|answer| span::tokens(&window, answer));
            let (start, end) = inside.unwrap_or_else(|| span::nowhere(&window, cls));
            of_one((Target::Span(start, end), window))
        };
        Ok(Ok(self.evaluator.task.sequences(record)?.into_iter().map(place).collect()))
    }
}

fn of_one((target, sequence): (Target, Encoding)) -> Sequences {
    (vec![sequence], target)
}

/// A number as labels hold it.
fn narrowed(number: f64) -> Result<f32, Failure> {
    let narrow = number as f32;
    let too_large = || Failure::input(format!("the label `{number:e}` is too large for a 32-bit float"));
    narrow.is_finite().then_some(narrow).ok_or_else(too_large)
}

/// An example as small as it gets.
fn small(record: usize, line: u64) -> impl Fn(Sequences) -> Example {
    move |(sequences, target)| Example {
        line,
        record,
        is_truncated: sequences.iter().any(|sequence| sequence.truncated),
        sequences: sequences.iter().map(pieces).collect(),
        target,
    }
}

/// The tag of each word at its first token, as in HuggingFace's `run_ner`.
fn tags_of(sequences: &[Encoding], tags: &[usize]) -> Target {
    let tokens = sequences.first().map_or(&[][..], |sequence| &sequence.tokens);
    let mut before = None;
    let label = |token: &Token| {
        let word = token.word.filter(|_| token.sequence == Some(0));
        let begins = word.is_some() && word != before;
        before = word;
        let tag = word.filter(|_| begins).and_then(|word| tags.get(word as usize));
        tag.and_then(|tag| i64::try_from(*tag).ok()).unwrap_or(IGNORED)
    };
    Target::Tokens(tokens.iter().map(label).collect())
}
