//! How the outputs of a model are read for people: what `answer` in a spec says.

use serde::Serialize;

/// How outputs are read for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// The reading.
    pub kind: AnswerKind,
    /// The outputs it reads, in the order the reading wants.
    pub outputs: Vec<String>,
}

/// The readings that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum AnswerKind {
    /// One label a record (or a score, or several): `labels(logits)`.
    Labels,
    /// One label a word: `entities(logits)`.
    Entities,
    /// A stretch of the context: `span(start_logits, end_logits)`.
    Span,
    /// Words for the masked places: `fill_mask(logits)`.
    FillMask,
    /// Whether the second text follows the first: `next_sentence(logits)`.
    NextSentence,
    /// One of several endings: `choice(logits)`.
    Choice,
    /// More text: `continuation(logits)`, with the cache `present`.
    Continuation,
    /// A vector: `embedding(vector)`.
    Embedding,
}

impl AnswerKind {
    /// Every reading with its name in specs and how many outputs it reads.
    pub const ALL: [(AnswerKind, &'static str, usize); 8] = [
        (AnswerKind::Labels, "labels", 1),
        (AnswerKind::Entities, "entities", 1),
        (AnswerKind::Span, "span", 2),
        (AnswerKind::FillMask, "fill_mask", 1),
        (AnswerKind::NextSentence, "next_sentence", 1),
        (AnswerKind::Choice, "choice", 1),
        (AnswerKind::Continuation, "continuation", 1),
        (AnswerKind::Embedding, "embedding", 1),
    ];

    /// Its name in specs: `labels`, `fill_mask`, ...
    pub fn name(self) -> &'static str {
        AnswerKind::ALL.iter().find(|(kind, ..)| *kind == self).map_or("", |(_, name, _)| name)
    }
}
