//! What is asked of every record: the spec's answers, with the options.

use super::{
    Options, Record, Text, Tokenizer,
    answers::{Reader, scores::Labels},
    tokenizer::Encoding,
};
use crate::{
    answer::{Answer, AnswerKind},
    config::Config,
    failure::Failure,
};

/// The longest window of a question with its context, as in HuggingFace's pipeline.
const WINDOW: usize = 384;

/// What is asked of every record.
pub(crate) struct Task<'a> {
    pub(crate) tokenizer: &'a Tokenizer,
    pub(crate) options: &'a Options,
    pub(crate) answers: &'a [Answer],
    pub(crate) reader: Reader<'a>,
    /// Longest sequence, in tokens.
    pub(crate) limit: usize,
    /// How a record becomes sequences.
    pub(crate) layout: Layout,
}

/// How a record becomes sequences of tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One sequence, cut where it is too long.
    One,
    /// As many windows as the context needs.
    Windows,
    /// One sequence for each choice, run side by side.
    Choices,
    /// A text to be continued.
    Prompt,
}

/// A record as sequences of tokens.
pub(crate) struct Example {
    pub(crate) record: Record,
    pub(crate) sequences: Vec<Encoding>,
}

impl Example {
    /// Tokens were cut off.
    pub(crate) fn truncated(&self) -> bool {
        self.sequences.iter().any(|sequence| sequence.truncated)
    }
}

impl<'a> Task<'a> {
    pub(crate) fn new(
        tokenizer: &'a Tokenizer,
        config: &'a Config,
        answers: &'a [Answer],
        options: &'a Options,
    ) -> Result<Task<'a>, Failure> {
        options.check()?;
        let layout = Layout::of(answers)?;
        let usual = if layout == Layout::Windows { WINDOW } else { usize::MAX };
        let limit = options.max_length.unwrap_or(usual).min(tokenizer.longest());
        let reader = Reader { tokenizer, config, options, labels: Labels::new(config) };
        Ok(Task { tokenizer, options, answers, reader, limit, layout })
    }

    /// The sequences of a record. `Err` where it lacks what every answer needs.
    pub(crate) fn prepare(&self, record: Record) -> Result<Example, Failure> {
        let example = Example { sequences: self.sequences(&record)?, record };
        let mut lacking = self.answers.iter().map(|answer| self.reader.missing(answer.kind, &example));
        match lacking.next() {
            Some(Some(first)) if lacking.all(|failure| failure.is_some()) => Err(first),
            _ => Ok(example),
        }
    }

    pub(crate) fn sequences(&self, record: &Record) -> Result<Vec<Encoding>, Failure> {
        let (text, pair) = (&record.text, record.pair.as_deref());
        match (self.layout, pair) {
            (Layout::Windows, Some(context)) => {
                self.tokenizer.windows(text, context, self.limit, self.options.doc_stride)
            }
            (Layout::Choices, _) => {
                record.choices.iter().map(|choice| self.choice(text, pair, choice)).collect()
            }
            (Layout::Prompt, _) => {
                let room = self.limit - self.options.max_new_tokens.min(self.limit / 2);
                Ok(vec![self.tokenizer.prompt(text, room)?])
            }
            (Layout::One | Layout::Windows, _) => Ok(vec![self.tokenizer.encode(text, pair, self.limit)?]),
        }
    }

    /// A choice beside the text; where there is a pair, it begins the choice, as in SWAG.
    fn choice(&self, text: &Text, pair: Option<&str>, choice: &str) -> Result<Encoding, Failure> {
        let ending = pair.map_or_else(|| choice.to_owned(), |pair| format!("{pair} {choice}"));
        self.tokenizer.encode(text, Some(&ending), self.limit)
    }
}

impl Layout {
    fn of(answers: &[Answer]) -> Result<Layout, Failure> {
        let mut layouts: Vec<Layout> = Vec::new();
        for answer in answers {
            let layout = match answer.kind {
                AnswerKind::Span => Layout::Windows,
                AnswerKind::Choice => Layout::Choices,
                AnswerKind::Continuation => Layout::Prompt,
                _ => Layout::One,
            };
            if !layouts.contains(&layout) {
                layouts.push(layout);
            }
        }
        match layouts.as_slice() {
            [layout] => Ok(*layout),
            [] => {
                Err(Failure::usage("the spec does not say how its outputs are read, so text has no answer")
                    .help("add for example `answer labels(logits)` to the model, or use --tensors"))
            }
            _ => Err(Failure::input("the spec's answers need different inputs and cannot be read together")
                .help("leave one `answer` of span, choice and continuation, without others")),
        }
    }
}
