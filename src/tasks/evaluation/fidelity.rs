//! How near one model's outputs are to another's, such as a quantized model's to the float original's.

use super::{
    Batch, BatchOutputs, Evaluator, gold::LabelKind, question::Question, scores::within, tally::cosine,
};
use crate::{
    answer::{Answer, AnswerKind},
    failure::Failure,
    tasks::{
        Problem,
        answers::{Reading, output, outputs::Outputs, scores::highest, word_tokens},
        metrics::{Metric, Unit, share},
    },
};
use std::collections::BTreeSet;

/// How near one model's outputs are to another's. What is right plays no part.
///
/// | answer | figures |
/// |---|---|
/// | `embedding` | `cosine`: the mean over distinct texts of the cosine of the two embeddings |
/// | `labels`, `next_sentence`, `choice` | `agreement`, `kl` |
/// | `entities` | the same over words |
/// | `fill_mask`, `continuation` | the same over the tokens to be predicted |
/// | `span` | `agreement` of places; `kl` over the tokens of a window, of start and end |
/// | `labels`, numbers | `difference`: the mean of `abs(a - b)` |
///
/// `agreement` is the share of same answers; `kl` is the mean of `Σ p ln(p / q)`, with p the reference's
/// probabilities and q the other's, in nats.
pub struct Fidelity<'a> {
    evaluator: &'a Evaluator<'a>,
    /// One for each answer.
    nearness: Vec<Nearness>,
}

/// Sums for one answer.
#[derive(Clone, Debug, Default)]
struct Nearness {
    cosine: Mean,
    kl: Mean,
    difference: Mean,
    same: u64,
    answers: u64,
    /// Texts whose embeddings were compared.
    seen: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    sum: f64,
    count: u64,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    /// The mean, if there is anything.
    fn value(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

impl<'a> Fidelity<'a> {
    pub(super) fn new(evaluator: &'a Evaluator<'a>) -> Fidelity<'a> {
        let nearness = evaluator.task.answers.iter().map(|_| Nearness::default()).collect();
        Fidelity { evaluator, nearness }
    }

    /// Counts a batch: what the reference gave for it, and what the other model gave.
    ///
    /// # Errors
    /// The first record for which an output does not have the shape that its answer is read from, or holds NaN.
    pub fn add(
        &mut self,
        batch: &Batch,
        reference: &BatchOutputs,
        other: &BatchOutputs,
    ) -> Result<(), Problem> {
        let pairs = reference.questions.iter().zip(&other.questions);
        for (question, (reference, other)) in batch.questions.iter().zip(pairs) {
            for (nearness, answer) in self.nearness.iter_mut().zip(self.evaluator.task.answers) {
                if self.evaluator.task.reader.lacks(answer.kind, &question.example.record).is_none() {
                    let added = nearness.add(self.evaluator, answer, question, (reference, other));
                    added.map_err(|failure| question.problem(failure))?;
                }
            }
        }
        Ok(())
    }

    /// The figures of everything counted.
    pub fn metrics(&self) -> Vec<Metric> {
        let answers = self.evaluator.task.answers;
        let of = |(nearness, answer): (&Nearness, &Answer)| {
            within(nearness.metrics(), (answers.len() > 1).then(|| answer.kind.name()))
        };
        self.nearness.iter().zip(answers).flat_map(of).collect()
    }
}

/// The outputs of a question's sequences, from the reference and from the other model.
type Both<'a> = (&'a [Outputs], &'a [Outputs]);

impl Nearness {
    fn add(
        &mut self,
        evaluator: &Evaluator<'_>,
        answer: &Answer,
        question: &Question,
        (reference, other): (&Vec<Outputs>, &Vec<Outputs>),
    ) -> Result<(), Failure> {
        let name = output(answer, 0)?;
        let (Some(first), Some(second)) = (reference.first(), other.first()) else { return Ok(()) };
        match answer.kind {
            AnswerKind::Embedding => return self.embeddings(name, question, (reference, other)),
            AnswerKind::Span => return self.span(evaluator, answer, question, (reference, other)),
            AnswerKind::Labels => {
                let (p, q) = (first.list(name)?, second.list(name)?);
                match evaluator.labels {
                    LabelKind::One(_) => self.distributions(name, &p, &q)?,
                    LabelKind::Any(_) => self.truths(&p, &q),
                    LabelKind::Numbers(_) => {
                        p.iter().zip(&q).for_each(|(p, q)| self.difference.add(f64::from((p - q).abs())));
                    }
                }
            }
            AnswerKind::NextSentence | AnswerKind::Choice => {
                self.distributions(name, &first.list(name)?, &second.list(name)?)?;
            }
            AnswerKind::Entities => {
                for at in word_tokens(&question.example) {
                    self.distributions(name, &first.at(name, at)?, &second.at(name, at)?)?;
                }
            }
            AnswerKind::FillMask | AnswerKind::Continuation => {
                for target in &question.targets {
                    if let (Some(p), Some(q)) = (reference.get(target.sequence), other.get(target.sequence)) {
                        self.distributions(name, &p.at(name, target.at)?, &q.at(name, target.at)?)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// One answer of several, by its logits.
    fn distributions(&mut self, name: &str, p: &[f32], q: &[f32]) -> Result<(), Failure> {
        self.agree(highest(name, p)?.0 == highest(name, q)?.0);
        self.kl.add(divergence(p, q));
        Ok(())
    }

    /// Answers that are each true or not, by their logits.
    fn truths(&mut self, p: &[f32], q: &[f32]) {
        self.agree(p.iter().zip(q).all(|(p, q)| (*p >= 0.0) == (*q >= 0.0)));
        self.kl.add(p.iter().zip(q).map(|(p, q)| divergence(&[*p, 0.0], &[*q, 0.0])).sum());
    }

    fn agree(&mut self, same: bool) {
        self.same += u64::from(same);
        self.answers += 1;
    }

    fn embeddings(&mut self, name: &str, question: &Question, (p, q): Both<'_>) -> Result<(), Failure> {
        let record = &question.example.record;
        let texts = [record.text.joined().into_owned()].into_iter().chain(record.pair.clone());
        // Several texts are embedded each alone, or all together as one.
        let texts: Vec<String> =
            if p.len() > 1 { texts.collect() } else { vec![texts.collect::<Vec<_>>().join("\n")] };
        for ((text, p), q) in texts.into_iter().zip(p).zip(q) {
            if self.seen.insert(text) {
                self.cosine.add(cosine(&p.list(name)?, &q.list(name)?));
            }
        }
        Ok(())
    }

    fn span(
        &mut self,
        evaluator: &Evaluator<'_>,
        answer: &Answer,
        question: &Question,
        (reference, other): Both<'_>,
    ) -> Result<(), Failure> {
        let read = |outputs| evaluator.task.reader.read(answer, &question.example, outputs);
        if let (Reading::Span(one), Reading::Span(two)) = (read(reference)?, read(other)?) {
            self.agree((one.answer.start, one.answer.end) == (two.answer.start, two.answer.end));
        }
        for place in 0..2 {
            let name = output(answer, place)?;
            for ((window, p), q) in question.example.sequences.iter().zip(reference).zip(other) {
                let (mut p, mut q) = (p.list(name)?, q.list(name)?);
                // What fills the batch up is no part of the window.
                p.truncate(window.tokens.len());
                q.truncate(window.tokens.len());
                self.kl.add(divergence(&p, &q));
            }
        }
        Ok(())
    }

    fn metrics(&self) -> Vec<Metric> {
        let mut metrics = Vec::new();
        let cosine = self.cosine.value().map(|value| Metric {
            name: "cosine",
            of: None,
            value,
            unit: Unit::Number,
            higher_is_better: true,
        });
        metrics.extend(cosine);
        if self.answers > 0 {
            metrics.push(Metric::percent("agreement", share(self.same, self.answers)));
        }
        metrics.extend(self.kl.value().map(|value| Metric::cost("kl", value)));
        metrics.extend(self.difference.value().map(|value| Metric::cost("difference", value)));
        metrics
    }
}

/// `Σ p ln(p / q)` of the probabilities that softmax makes of two sets of logits, in nats; never below 0,
/// infinite where q rules out what p does not.
fn divergence(p: &[f32], q: &[f32]) -> f64 {
    let (p, q) = (log_softmax(p), log_softmax(q));
    let terms = p.iter().zip(&q).filter(|(p, _)| **p > f64::NEG_INFINITY).map(|(p, q)| p.exp() * (p - q));
    terms.sum::<f64>().max(0.0)
}

/// `xᵢ - ln Σ exp(xⱼ)`, in f64.
fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let most = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|logit| (f64::from(*logit) - most).exp()).sum();
    logits.iter().map(|logit| f64::from(*logit) - most - sum.ln()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// p = (3/4, 1/4), q = (1/2, 1/2): 3/4 ln 3/2 + 1/4 ln 1/2.
    #[test]
    fn divergence_as_computed_by_hand() {
        let expected = 0.75 * 1.5f64.ln() + 0.25 * 0.5f64.ln();
        assert!((divergence(&[3f32.ln(), 0.0], &[7.0, 7.0]) - expected).abs() < 1e-7);
        assert_eq!(divergence(&[1.0, 2.0], &[1.0, 2.0]), 0.0);
        assert_eq!(divergence(&[0.0, f32::NEG_INFINITY], &[0.0, f32::NEG_INFINITY]), 0.0);
        assert_eq!(divergence(&[0.0, 0.0], &[0.0, f32::NEG_INFINITY]), f64::INFINITY);
    }

    #[test]
    fn cosines_of_zeros() {
        assert!((cosine(&[3.0, 4.0], &[4.0, 3.0]) - 0.96).abs() < 1e-12);
        assert_eq!((cosine(&[0.0], &[0.0]), cosine(&[0.0], &[1.0])), (1.0, 0.0));
    }
}
