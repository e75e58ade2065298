//! `next_sentence(logits)`: whether the second text follows the first.

use super::scores::softmax;
use crate::failure::Failure;
use serde::Serialize;
use std::fmt;

/// Whether the second text follows the first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NextSentence {
    /// It does.
    pub is_next: bool,
    /// How likely it does.
    pub probability: f32,
}

impl NextSentence {
    /// Reads logits `[2]`; BERT's label 0 means that it follows.
    pub(super) fn read(name: &str, logits: &[f32]) -> Result<NextSentence, Failure> {
        match softmax(logits).as_slice() {
            [next, other] => Ok(NextSentence { is_next: next >= other, probability: *next }),
            odds => Err(Failure::input(format!("`{name}` has {} scores, not 2", odds.len()))),
        }
    }
}

impl fmt::Display for NextSentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.is_next {
            true => write!(f, "next {:.4}", self.probability),
            false => write!(f, "not next {:.4}", 1.0 - self.probability),
        }
    }
}
