//! `span(start_logits, end_logits)`: a stretch of the context.

use super::{
    Reader,
    entities::cut,
    outputs::Outputs,
    scores::{Total, softmax},
};
use crate::{
    failure::Failure,
    tasks::{
        Example,
        tokenizer::{Encoding, Token},
    },
};
use serde::Serialize;
use std::{cmp::Reverse, collections::BTreeSet, fmt};

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Span {
    /// The best answer; its text is empty where there is none.
    #[serde(flatten)]
    pub answer: Candidate,
    /// How far no answer leads the best span, both as start logit + end logit; with `no_answer` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_answer_lead: Option<f32>,
    /// The best answers, the likeliest first, where more than one is asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub n_best: Vec<Candidate>,
}

/// A stretch of the context.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
    /// Its text.
    pub text: String,
    /// First letter in the context.
    pub start: usize,
    /// One past the last letter.
    pub end: usize,
    /// The probability of its start times that of its end, in the window where that is highest.
    pub score: f32,
}

/// A place in the context with its score and its start logit + end logit.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    start: usize,
    end: usize,
    score: f32,
    logit: f32,
}

impl Place {
    fn rank(&self) -> (Reverse<Total>, usize, usize) {
        (Reverse(Total(self.score)), self.start, self.end)
    }
}

impl Span {
    /// Reads start and end logits `[seq]` of every window, as HuggingFace's pipeline does: in each window,
    /// softmax over the tokens of the context and `[CLS]`; a span's score is the product of both ends, its
    /// ends are moved out to those of words, and the best of all windows wins. No answer has the score of
    /// `[CLS]` in the window where that is lowest, and is the answer where it leads the best span by more
    /// than the threshold (SQuAD 2's rule).
    pub(super) fn read(
        reader: &Reader<'_>,
        (starts, ends): (&str, &str),
        example: &Example,
        outputs: &[Outputs],
    ) -> Result<Span, Failure> {
        let options = reader.options;
        let mut places = Vec::new();
        let mut nothing: Option<Place> = None;
        for (window, outputs) in example.sequences.iter().zip(outputs) {
            let window = Window::new(
                window,
                outputs.list(starts)?,
                outputs.list(ends)?,
                reader.tokenizer.special().cls,
            )?;
            places.extend(window.best(options.max_answer_length, options.n_best));
            if let Some(none) = window.none() {
                let lowest = nothing.map_or(none, |lowest| Place {
                    score: lowest.score.min(none.score),
                    logit: lowest.logit.min(none.logit),
                    ..lowest
                });
                nothing = Some(lowest);
            }
        }
        let best = distinct(places, options.n_best);
        let nothing = nothing.filter(|_| options.no_answer);
        let Some(first) = best.first().copied() else {
            return Err(Failure::input("the context has no words"));
        };
        let lead = nothing.map(|nothing| nothing.logit - first.logit);
        let answer = match (nothing, lead) {
            (Some(nothing), Some(lead)) if lead > options.no_answer_threshold => nothing,
            _ => first,
        };
        let mut n_best: Vec<Place> = best.into_iter().chain(nothing).collect();
        n_best.sort_by_key(Place::rank);
        n_best.truncate(if options.n_best > 1 { options.n_best } else { 0 });
        let context = example.record.pair.as_deref().unwrap_or_default();
        Ok(Span {
            answer: candidate(context, &answer),
            no_answer_lead: lead,
            n_best: n_best.iter().map(|place| candidate(context, place)).collect(),
        })
    }
}

fn candidate(context: &str, place: &Place) -> Candidate {
    let Place { start, end, score, .. } = *place;
    Candidate { text: cut(context, (start, end)), start, end, score }
}

/// The best places, each once.
fn distinct(mut places: Vec<Place>, count: usize) -> Vec<Place> {
    places.sort_by_key(Place::rank);
    let mut seen = BTreeSet::new();
    places.into_iter().filter(|place| seen.insert((place.start, place.end))).take(count).collect()
}

/// One end of a span at one token.
#[derive(Clone, Copy)]
struct End {
    logit: f32,
    odds: f32,
}

/// The tokens of one window that may be part of an answer, with both ends' scores.
struct Window<'a> {
    tokens: Vec<(&'a Token, End, End)>,
    cls: Option<(End, End)>,
}

impl<'a> Window<'a> {
    fn new(
        window: &'a Encoding,
        starts: Vec<f32>,
        ends: Vec<f32>,
        cls: Option<u32>,
    ) -> Result<Window<'a>, Failure> {
        let count = window.tokens.len();
        if starts.len() < count || ends.len() < count {
            let text =
                format!("there are {} start and {} end scores for {count} tokens", starts.len(), ends.len());
            return Err(Failure::input(text));
        }
        let first = |at: usize, token: &Token| at == 0 && token.sequence.is_none() && Some(token.id) == cls;
        let open: Vec<(bool, &Token, f32, f32)> = window
            .tokens
            .iter()
            .enumerate()
            .zip(starts.into_iter().zip(ends))
            .map(|((at, token), (start, end))| (first(at, token), token, start, end))
            .filter(|(first, token, ..)| *first || token.sequence == Some(1))
            .collect();
        let start_odds = softmax(&open.iter().map(|(_, _, start, _)| *start).collect::<Vec<_>>());
        let end_odds = softmax(&open.iter().map(|(_, _, _, end)| *end).collect::<Vec<_>>());
        let mut read = Window { tokens: Vec::with_capacity(open.len()), cls: None };
        for ((first, token, start, end), (start_odds, end_odds)) in
            open.into_iter().zip(start_odds.into_iter().zip(end_odds))
        {
            let ends = (End { logit: start, odds: start_odds }, End { logit: end, odds: end_odds });
            match first {
                true => read.cls = Some(ends),
                false => read.tokens.push((token, ends.0, ends.1)),
            }
        }
        Ok(read)
    }

    /// The best places of at most `longest` tokens.
    fn best(&self, longest: usize, count: usize) -> Vec<Place> {
        let words = self.words();
        let mut places = Vec::new();
        for (at, ((_, first, _), (start, _))) in self.tokens.iter().zip(&words).enumerate() {
            let reachable = self.tokens.iter().zip(&words).skip(at).take(longest);
            places.extend(reachable.map(|((_, _, last), (_, end))| Place {
                start: *start,
                end: *end,
                score: first.odds * last.odds,
                logit: first.logit + last.logit,
            }));
        }
        distinct(places, count)
    }

    /// For every token, the letters that the tokens of its word cover in this window.
    fn words(&self) -> Vec<(usize, usize)> {
        let same =
            |a: &(&Token, End, End), b: &(&Token, End, End)| a.0.word.is_some() && a.0.word == b.0.word;
        self.tokens
            .chunk_by(same)
            .flat_map(|word| {
                let start = word.first().map_or(0, |(token, ..)| token.start);
                let end = word.last().map_or(0, |(token, ..)| token.end);
                std::iter::repeat_n((start, end), word.len())
            })
            .collect()
    }

    /// No answer: both ends at `[CLS]`.
    fn none(&self) -> Option<Place> {
        let (start, end) = self.cls?;
        Some(Place { start: 0, end: 0, score: start.odds * end.odds, logit: start.logit + end.logit })
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = if self.n_best.is_empty() { std::slice::from_ref(&self.answer) } else { &self.n_best };
        for (index, answer) in shown.iter().enumerate() {
            let text = if answer.text.is_empty() { "(no answer)" } else { &answer.text };
            write!(f, "{}{text} {:.4}", if index > 0 { "\n" } else { "" }, answer.score)?;
        }
        Ok(())
    }
}
