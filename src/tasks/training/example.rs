//! An example: tokens and what is right, as small as they get.

use crate::tasks::tokenizer::{Encoding, Token};

/// Where a token's label asks for nothing.
pub(super) const IGNORED: i64 = -100;

/// A token of an example: 8 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Its row in the word embeddings.
    pub(super) id: u32,
    /// Its segment.
    pub(super) type_id: u16,
    /// It is of a text, not put around texts by the tokenizer.
    pub(super) is_text: bool,
    /// It begins a word of a text.
    pub(super) begins_word: bool,
}

/// What is trained on at a time.
#[derive(Clone, Debug)]
pub(super) struct Example {
    /// The record's line.
    pub(super) line: u64,
    /// Which of the records it is from.
    pub(super) record: usize,
    /// Tokens were cut off to fit the model.
    pub(super) is_truncated: bool,
    /// One sequence, or one for each choice.
    pub(super) sequences: Vec<Box<[Piece]>>,
    pub(super) target: Target,
}

/// What is right.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Target {
    /// Nothing beside the text.
    Text,
    /// One of several.
    Class(usize),
    /// Numbers, one for each output.
    Numbers(Box<[f32]>),
    /// A class for each token, [`IGNORED`] where none is asked for.
    Tokens(Box<[i64]>),
    /// The first and the last token of the answer.
    Span(usize, usize),
}

impl Example {
    /// The tokens of its longest sequence.
    pub(super) fn length(&self) -> usize {
        self.sequences.iter().map(|sequence| sequence.len()).max().unwrap_or(0)
    }
}

/// A sequence without what only readers of outputs need. Of a segment above 65535, which no model has, 65535
/// is left.
pub(super) fn pieces(encoding: &Encoding) -> Box<[Piece]> {
    let mut before = None;
    let piece = |token: &Token| {
        let word = token.word.map(|word| (token.sequence, word));
        let same = word.is_some() && word == before;
        before = word;
        let is_text = token.sequence.is_some();
        let type_id = u16::try_from(token.type_id).unwrap_or(u16::MAX);
        Piece { id: token.id, type_id, is_text, begins_word: is_text && !same }
    };
    encoding.tokens.iter().map(piece).collect()
}
