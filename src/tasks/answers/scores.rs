//! Logits as probabilities, with names.

use crate::{config::Config, failure::Failure};
use serde::Serialize;
use std::{cmp::Reverse, fmt};

/// A name and its score.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Scored {
    /// The name: a label of `id2label`, a token.
    pub label: String,
    /// A probability, or for regression the value itself.
    pub score: f32,
}

impl fmt::Display for Scored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:.4}", self.label, self.score)
    }
}

/// `exp(xᵢ) / Σ exp(xⱼ)`, summed in f64. Where every logit is -∞ all are as likely.
pub(crate) fn softmax(logits: &[f32]) -> Vec<f32> {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let above = |logit: f32| if logit == most { 0.0 } else { f64::from(logit) - f64::from(most) };
    let exponentials: Vec<f64> = logits.iter().map(|logit| above(*logit).exp()).collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials.into_iter().map(|exponential| (exponential / sum) as f32).collect()
}

/// `1 / (1 + exp(-x))`.
pub(crate) fn sigmoid(logit: f32) -> f32 {
    (1.0 / (1.0 + (-f64::from(logit)).exp())) as f32
}

/// Indices by score, the best first and of equals the earlier; `count` of them.
pub(crate) fn best(scores: &[f32], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    let rank = |index: &usize| Reverse(Total(scores.get(*index).copied().unwrap_or(f32::NEG_INFINITY)));
    if count < order.len() {
        order.select_nth_unstable_by_key(count, |index| (rank(index), *index));
        order.truncate(count);
    }
    order.sort_by_key(|index| (rank(index), *index));
    order
}

/// The index and value of the highest score, of equals the earliest.
pub(crate) fn highest(name: &str, scores: &[f32]) -> Result<(usize, f32), Failure> {
    let first = best(scores, 1).into_iter().find_map(|index| Some((index, *scores.get(index)?)));
    first.ok_or_else(|| Failure::input(format!("`{name}` has no scores")))
}

/// `f32` in the total order of IEEE 754.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Total(pub(crate) f32);

impl Eq for Total {}

impl Ord for Total {
    fn cmp(&self, other: &Total) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Total {
    fn partial_cmp(&self, other: &Total) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// The labels of a config.
#[derive(Clone, Debug)]
pub(crate) struct Labels(Vec<String>);

impl Labels {
    pub(crate) fn new(config: &Config) -> Labels {
        Labels(config.labels())
    }

    /// The label's name: that of `id2label`, or `LABEL_3` as HuggingFace names those without.
    pub(crate) fn name(&self, index: usize) -> String {
        self.0.get(index).cloned().unwrap_or_else(|| format!("LABEL_{index}"))
    }

    /// Every score with its name, in the order of the indices.
    pub(crate) fn scored(&self, scores: &[f32]) -> Vec<Scored> {
        scores
            .iter()
            .enumerate()
            .map(|(index, score)| Scored { label: self.name(index), score: *score })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_sums_to_one_and_takes_infinities() {
        let odds = softmax(&[0.0, f32::ln(3.0), f32::NEG_INFINITY]);
        assert!((odds[0] - 0.25).abs() < 1e-7 && (odds[1] - 0.75).abs() < 1e-7 && odds[2] == 0.0);
        assert_eq!(softmax(&[f32::NEG_INFINITY; 2]), [0.5, 0.5]);
        assert_eq!(softmax(&[1e30, -1e30]), [1.0, 0.0]);
    }

    #[test]
    fn best_orders_ties_by_index() {
        assert_eq!(best(&[1.0, 3.0, 3.0, 2.0], 3), [1, 2, 3]);
        assert_eq!(best(&[1.0], 5), [0]);
        assert_eq!(best(&[], 5), Vec::<usize>::new());
    }
}
