//! The counts behind the metrics of one answer.

use super::{
    gold::{Gold, LabelKind},
    question::Question,
};
use crate::{
    answer::{Answer, AnswerKind},
    failure::Failure,
    tasks::{
        answers::{
            Reader, Reading, output,
            outputs::Outputs,
            scores::{Labels, highest},
        },
        metrics::{
            Confusion, Entities, Loss, Metric, MultiLabel, Squad, accuracy, f1, macro_f1, matthews, pearson,
            spearman,
        },
    },
};

/// The counts behind the metrics of one answer.
pub(super) enum Tally {
    /// One label of several.
    Class(Confusion, usize),
    /// Any labels.
    Classes(MultiLabel),
    /// By output, the pairs of the right number and the predicted one.
    Numbers(Vec<Vec<(f64, f64)>>),
    /// Tags.
    Entities(Entities),
    /// Answer texts.
    Span(Squad),
    /// Following, which is class 0, or not.
    NextSentence(Confusion),
    /// Choices: right ones and all.
    Choice(Confusion),
    /// Pairs of the right likeness and the cosine.
    Embedding(Vec<(f64, f64)>),
    /// Tokens.
    Tokens(Loss),
}

impl Tally {
    pub(super) fn new(kind: AnswerKind, labels: LabelKind) -> Tally {
        match (kind, labels) {
            (AnswerKind::Labels, LabelKind::One(count)) => Tally::Class(Confusion::new(), count),
            (AnswerKind::Labels, LabelKind::Any(_)) => Tally::Classes(MultiLabel::default()),
            (AnswerKind::Labels, LabelKind::Numbers(count)) => Tally::Numbers(vec![Vec::new(); count]),
            (AnswerKind::Entities, _) => Tally::Entities(Entities::default()),
            (AnswerKind::Span, _) => Tally::Span(Squad::default()),
            (AnswerKind::NextSentence, _) => Tally::NextSentence(Confusion::new()),
            (AnswerKind::Choice, _) => Tally::Choice(Confusion::new()),
            (AnswerKind::Embedding, _) => Tally::Embedding(Vec::new()),
            (AnswerKind::FillMask | AnswerKind::Continuation, _) => Tally::Tokens(Loss::default()),
        }
    }

    /// Counts one question: the outputs of its sequences. Without what is right nothing is counted.
    pub(super) fn add(
        &mut self,
        reader: &Reader<'_>,
        answer: &Answer,
        question: &Question,
        gold: Option<&Gold>,
        outputs: &[Outputs],
    ) -> Result<(), Failure> {
        let name = output(answer, 0)?;
        let Some(first) = outputs.first() else { return Ok(()) };
        match (self, gold) {
            (Tally::Tokens(loss), _) => {
                for target in &question.targets {
                    if let Some(outputs) = outputs.get(target.sequence) {
                        loss.add(&outputs.at(name, target.at)?, target.id);
                    }
                }
            }
            (Tally::Class(confusion, count), Some(Gold::Class(gold))) => {
                let logits = scores(name, first, *count)?;
                confusion.add(*gold, highest(name, &logits)?.0);
            }
            (Tally::NextSentence(confusion), Some(Gold::Class(gold))) => {
                confusion.add(*gold, highest(name, &scores(name, first, 2)?)?.0);
            }
            (Tally::Choice(confusion), Some(Gold::Class(gold))) => {
                let logits = scores(name, first, question.example.record.choices.len())?;
                confusion.add(*gold, highest(name, &logits)?.0);
            }
            (Tally::Classes(labels), Some(Gold::Classes(gold))) => {
                let logits = scores(name, first, gold.len())?;
                // A probability of at least one half is a logit of at least 0.
                let predicted: Vec<bool> = logits.iter().map(|logit| *logit >= 0.0).collect();
                labels.add(gold, &predicted);
            }
            (Tally::Numbers(lists), Some(Gold::Numbers(gold))) => {
                let predicted = scores(name, first, gold.len())?;
                for ((pairs, gold), predicted) in lists.iter_mut().zip(gold).zip(predicted) {
                    pairs.push((*gold, f64::from(predicted)));
                }
            }
            (Tally::Embedding(pairs), Some(Gold::Numbers(gold))) => {
                if let ([one, other], [gold]) = (outputs, gold.as_slice()) {
                    pairs.push((*gold, cosine(&one.list(name)?, &other.list(name)?)));
                }
            }
            (Tally::Entities(entities), Some(Gold::Tags(gold))) => {
                if let Reading::Entities(read) = reader.read(answer, &question.example, outputs)? {
                    let gold: Vec<String> = gold.iter().map(|tag| reader.labels.name(*tag)).collect();
                    let gold: Vec<&str> = gold.iter().map(String::as_str).collect();
                    let predicted: Vec<&str> = read.words.iter().map(|word| word.tag.as_str()).collect();
                    entities.add(&gold, &predicted);
                }
            }
            (Tally::Span(squad), Some(Gold::Answers(gold))) => {
                if let Reading::Span(span) = reader.read(answer, &question.example, outputs)? {
                    squad.add(gold, &span.answer.text);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The metrics; none where nothing was counted.
    pub(super) fn metrics(&self, labels: &Labels) -> Vec<Metric> {
        match self {
            Tally::Class(confusion, count) if confusion.total() > 0 => {
                let f1 = match count {
                    2 => Metric::percent("f1", f1(confusion, 1)).of(labels.name(1)),
                    _ => Metric::percent("f1_macro", macro_f1(confusion)),
                };
                vec![
                    Metric::percent("accuracy", accuracy(confusion)),
                    f1,
                    Metric::percent("matthews", matthews(confusion)),
                ]
            }
            Tally::NextSentence(confusion) if confusion.total() > 0 => vec![
                Metric::percent("accuracy", accuracy(confusion)),
                Metric::percent("f1", f1(confusion, 0)).of("follows"),
            ],
            Tally::Choice(confusion) if confusion.total() > 0 => {
                vec![Metric::percent("accuracy", accuracy(confusion))]
            }
            Tally::Numbers(lists) => {
                let several = lists.len() > 1;
                let of = |(index, pairs): (usize, &Vec<(f64, f64)>)| {
                    let metrics = correlations(pairs);
                    let named = |metric: Metric| if several { metric.of(labels.name(index)) } else { metric };
                    metrics.into_iter().map(named).collect::<Vec<_>>()
                };
                lists.iter().enumerate().flat_map(of).collect()
            }
            Tally::Embedding(pairs) => correlations(pairs),
            Tally::Classes(labels) => labels.metrics(),
            Tally::Entities(entities) => entities.metrics(),
            Tally::Span(squad) => squad.metrics(),
            Tally::Tokens(loss) if loss.tokens() > 0 => loss.metrics(),
            Tally::Class(..) | Tally::NextSentence(_) | Tally::Choice(_) | Tally::Tokens(_) => Vec::new(),
        }
    }
}

fn correlations(pairs: &[(f64, f64)]) -> Vec<Metric> {
    if pairs.is_empty() {
        return Vec::new();
    }
    vec![Metric::percent("pearson", pearson(pairs)), Metric::percent("spearman", spearman(pairs))]
}

/// An output `[batch, n]` of so many numbers.
pub(super) fn scores(name: &str, outputs: &Outputs, count: usize) -> Result<Vec<f32>, Failure> {
    let scores = outputs.list(name)?;
    if scores.len() == count {
        return Ok(scores);
    }
    Err(Failure::input(format!("`{name}` has {} scores where {count} belong", scores.len()))
        .help("say how many labels there are with --set num_labels=N"))
}

/// `a·b / (|a| |b|)`, summed in f64; two vectors of zeros are alike, one is like no other.
pub(super) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let (own, other) = (dot(a, a), dot(b, b));
    match (own == 0.0, other == 0.0) {
        (true, true) => 1.0,
        (false, false) => dot(a, b) / (own.sqrt() * other.sqrt()),
        _ => 0.0,
    }
}
