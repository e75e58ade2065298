//! `labels(logits)`: what a record is, out of the labels of the config.

use super::{
    Reader,
    scores::{Scored, best, highest, sigmoid, softmax},
};
use crate::failure::Failure;
use serde::Serialize;
use std::fmt;

/// What a record is.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Labels {
    /// One of several: the likeliest, then all with probabilities that sum to one.
    One {
        /// The likeliest label.
        label: String,
        /// Its probability.
        score: f32,
        /// Every label, the likeliest first.
        scores: Vec<Scored>,
    },
    /// Any of several (`problem_type` is `multi_label_classification`), each with its own probability.
    Any {
        /// The labels with a probability of at least one half, the likeliest first.
        labels: Vec<String>,
        /// Every label, the likeliest first.
        scores: Vec<Scored>,
    },
    /// A number: one output.
    Number {
        /// The number.
        score: f32,
    },
    /// Several numbers (`problem_type` is `regression`).
    Numbers {
        /// Every label with its number, in the config's order.
        scores: Vec<Scored>,
    },
}

impl Labels {
    /// Reads logits `[labels]`: softmax, or a sigmoid for each with `multi_label_classification`, or as they
    /// are with `regression` and where there is only one.
    pub(super) fn read(reader: &Reader<'_>, name: &str, logits: &[f32]) -> Result<Labels, Failure> {
        let problem = reader.config.get("problem_type").and_then(|value| value.as_str());
        match (problem, logits) {
            (Some("multi_label_classification"), _) => Ok(any(reader, logits)),
            (_, [score]) => Ok(Labels::Number { score: *score }),
            (Some("regression"), _) => Ok(Labels::Numbers { scores: reader.labels.scored(logits) }),
            _ => one(reader, name, logits),
        }
    }
}

fn one(reader: &Reader<'_>, name: &str, logits: &[f32]) -> Result<Labels, Failure> {
    let odds = softmax(logits);
    let (index, score) = highest(name, &odds)?;
    Ok(Labels::One { label: reader.labels.name(index), score, scores: ordered(reader, &odds) })
}

fn any(reader: &Reader<'_>, logits: &[f32]) -> Labels {
    let odds: Vec<f32> = logits.iter().map(|logit| sigmoid(*logit)).collect();
    let scores = ordered(reader, &odds);
    let labels =
        scores.iter().filter(|scored| scored.score >= 0.5).map(|scored| scored.label.clone()).collect();
    Labels::Any { labels, scores }
}

fn ordered(reader: &Reader<'_>, odds: &[f32]) -> Vec<Scored> {
    let scored = reader.labels.scored(odds);
    best(odds, odds.len()).into_iter().filter_map(|index| scored.get(index).cloned()).collect()
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Labels::One { label, score, .. } => write!(f, "{label} {score:.4}"),
            Labels::Number { score } => write!(f, "{score:.4}"),
            Labels::Any { scores, .. } | Labels::Numbers { scores } => {
                let parts: Vec<_> = scores.iter().map(Scored::to_string).collect();
                f.write_str(&parts.join("  "))
            }
        }
    }
}
