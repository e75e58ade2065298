//! A record as sequences of tokens, with what is right.

use super::{Evaluator, gold::Gold};
use crate::{
    answer::AnswerKind,
    failure::Failure,
    tasks::{Example, Problem, Record, Text, task::Layout, tokenizer::Encoding},
};
use rand::{SeedableRng, rngs::StdRng, seq::index};

/// Of every hundred tokens, how many are masked (Devlin et al., NAACL 2019, section 3.1). All of them become
/// the mask token, none another word.
const MASKED_PERCENT: usize = 15;

/// A record as sequences of tokens, with what is right.
pub(super) struct Question {
    pub(super) example: Example,
    /// For each answer, as far as the record says it.
    pub(super) golds: Vec<Option<Gold>>,
    /// The tokens that a language model is to predict.
    pub(super) targets: Vec<Target>,
}

/// A token to be predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tasks) struct Target {
    /// In which of the sequences.
    pub(in crate::tasks) sequence: usize,
    /// The token whose scores predict it.
    pub(in crate::tasks) at: usize,
    /// The right token.
    pub(in crate::tasks) id: usize,
}

impl Question {
    /// A failure with the line of its record.
    pub(super) fn problem(&self, failure: Failure) -> Problem {
        Problem::new(self.example.record.line, failure)
    }
}

impl Evaluator<'_> {
    pub(super) fn question(&self, record: Record) -> Result<Question, Failure> {
        let golds = self.golds(&record)?;
        let mut sequences = self.sequences(&record)?;
        let targets = if self.reads(AnswerKind::Continuation) {
            following(&sequences)
        } else if self.reads(AnswerKind::FillMask) {
            self.masked(&record, &mut sequences)?
        } else {
            Vec::new()
        };
        Ok(Question { example: Example { record, sequences }, golds, targets })
    }

    /// The sequences that the record is evaluated on. Whether it says what is right plays no part.
    ///
    /// # Errors
    /// The record lacks a text that every answer needs, or cannot be cut into tokens.
    pub(in crate::tasks) fn asked(&self, record: &Record) -> Result<Vec<Encoding>, Failure> {
        self.usable(record)?;
        let mut sequences = self.sequences(record)?;
        if self.reads(AnswerKind::FillMask) {
            let mask = self.mask()?;
            if places(&sequences, |id| id == mask).is_empty() {
                self.drawn(record.line, mask, &mut sequences);
            }
        }
        Ok(sequences)
    }

    /// The spec has an answer of this kind.
    pub(super) fn reads(&self, kind: AnswerKind) -> bool {
        self.task.answers.iter().any(|answer| answer.kind == kind)
    }

    /// Language models read a long text in pieces, embeddings are of each text alone; all else is as in
    /// answering.
    fn sequences(&self, record: &Record) -> Result<Vec<Encoding>, Failure> {
        let (tokenizer, limit) = (self.task.tokenizer, self.task.limit);
        let alone = self.task.answers.iter().all(|answer| answer.kind == AnswerKind::Embedding);
        match &record.pair {
            _ if self.task.layout == Layout::Prompt => {
                let mut pieces = tokenizer.pieces(&record.text, limit)?;
                // What ends a text does not end its pieces, and predicts nothing.
                pieces.iter_mut().for_each(Encoding::open_end);
                Ok(pieces)
            }
            None if self.reads(AnswerKind::FillMask) => tokenizer.pieces(&record.text, limit),
            Some(pair) if alone => {
                let pair = Text::Plain(pair.clone());
                Ok(vec![tokenizer.encode(&record.text, None, limit)?, tokenizer.encode(&pair, None, limit)?])
            }
            _ => self.task.sequences(record),
        }
    }

    /// Masks tokens, unless the text has masks already: then what is right must name their words.
    fn masked(&self, record: &Record, sequences: &mut [Encoding]) -> Result<Vec<Target>, Failure> {
        let mask = self.mask()?;
        match self.asked_for(record, mask, sequences)? {
            Some(targets) => Ok(targets),
            None => Ok(self.drawn(record.line, mask, sequences)),
        }
    }

    /// The words for the masks that the text itself has, `None` where it has none.
    ///
    /// # Errors
    /// The record does not say the words, or says more or fewer of them, or one that is not one token.
    pub(in crate::tasks) fn asked_for(
        &self,
        record: &Record,
        mask: u32,
        sequences: &[Encoding],
    ) -> Result<Option<Vec<Target>>, Failure> {
        let present = places(sequences, |id| id == mask);
        if present.is_empty() {
            return Ok(None);
        }
        let words = self.words(record)?.ok_or_else(|| {
            let mask = &self.task.tokenizer.special().mask_text;
            Failure::input(format!("the text has {mask} and does not say for which word")).help(
                "name the column of the word with --columns label=NAME, or give the text without masks, \
                 to have some of its words masked",
            )
        })?;
        self.given(&present, &words).map(Some)
    }

    /// The token that hides a word.
    pub(in crate::tasks) fn mask(&self) -> Result<u32, Failure> {
        self.task.tokenizer.special().mask.ok_or_else(|| {
            Failure::input("the tokenizer has no mask token").help("name it in tokenizer_config.json")
        })
    }

    /// The words given for the masks, each one token.
    fn given(&self, masks: &[(usize, usize)], words: &[String]) -> Result<Vec<Target>, Failure> {
        if masks.len() != words.len() {
            let text = format!("there are {} words for {} masks", words.len(), masks.len());
            return Err(Failure::input(text));
        }
        let target = |(&(sequence, at), word): (&(usize, usize), &String)| {
            let ids = self.task.tokenizer.ids(word)?;
            match ids.as_slice() {
                [id] => Ok(Target { sequence, at, id: *id as usize }),
                ids => {
                    let text = format!("`{word}` is {} tokens, and a mask stands for one", ids.len());
                    Err(Failure::input(text))
                }
            }
        };
        masks.iter().zip(words).map(target).collect()
    }

    /// Masks a share of the tokens of every sequence, at least one, drawn by the seed and the record's line.
    fn drawn(&self, line: u64, mask: u32, sequences: &mut [Encoding]) -> Vec<Target> {
        let mut targets = Vec::new();
        // The odd factor spreads the line numbers, so that no two lines of a file share a stream.
        let seed = self.task.options.seed ^ line.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut random = StdRng::seed_from_u64(seed);
        for (number, sequence) in sequences.iter_mut().enumerate() {
            let words: Vec<usize> = (0..)
                .zip(&sequence.tokens)
                .filter(|(_, token)| token.sequence.is_some())
                .map(|(at, _)| at)
                .collect();
            let count = (words.len() * MASKED_PERCENT).div_ceil(100);
            let mut chosen = index::sample(&mut random, words.len(), count).into_vec();
            chosen.sort_unstable();
            for at in chosen.into_iter().filter_map(|word| words.get(word).copied()) {
                if let Some(token) = sequence.tokens.get_mut(at) {
                    let id = std::mem::replace(&mut token.id, mask) as usize;
                    targets.push(Target { sequence: number, at, id });
                }
            }
        }
        targets
    }
}

/// Every token of the text that another stands before, predicted by that.
fn following(sequences: &[Encoding]) -> Vec<Target> {
    let of = |(sequence, encoding): (usize, &Encoding)| {
        let words = (0..).zip(&encoding.tokens).skip(1).filter(|(_, token)| token.sequence.is_some());
        words
            .map(move |(at, token): (usize, _)| Target { sequence, at: at - 1, id: token.id as usize })
            .collect::<Vec<_>>()
    };
    sequences.iter().enumerate().flat_map(of).collect()
}

/// The tokens of texts with such an id, by sequence and place.
fn places(sequences: &[Encoding], wanted: impl Fn(u32) -> bool) -> Vec<(usize, usize)> {
    let of = |(number, sequence): (usize, &Encoding)| {
        let tokens = sequence.tokens.iter().enumerate();
        let found = tokens.filter(|(_, token)| token.sequence.is_some() && wanted(token.id));
        found.map(|(at, _)| (number, at)).collect::<Vec<_>>()
    };
    sequences.iter().enumerate().flat_map(of).collect()
}
