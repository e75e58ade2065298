//! `choice(logits)`: one of several endings.

use super::scores::{Scored, highest, softmax};
use crate::failure::Failure;
use serde::Serialize;
use std::fmt;

/// One of several endings.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Choice {
    /// Which, from 0.
    pub choice: usize,
    /// Its text.
    pub text: String,
    /// Its probability.
    pub score: f32,
    /// Every ending, in the record's order.
    pub scores: Vec<Scored>,
}

impl Choice {
    /// Reads logits `[choices]`.
    pub(super) fn read(name: &str, logits: &[f32], choices: &[String]) -> Result<Choice, Failure> {
        if logits.len() != choices.len() {
            let text = format!("`{name}` has {} scores for {} choices", logits.len(), choices.len());
            return Err(Failure::input(text));
        }
        let odds = softmax(logits);
        let (choice, score) = highest(name, &odds)?;
        let scores = choices.iter().zip(odds).map(|(text, score)| Scored { label: text.clone(), score });
        Ok(Choice {
            choice,
            text: choices.get(choice).cloned().unwrap_or_default(),
            score,
            scores: scores.collect(),
        })
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:.4} {}", self.choice, self.score, self.text)
    }
}
