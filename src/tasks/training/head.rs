//! What is learned, by the answers of a spec.

use crate::{
    answer::{Answer, AnswerKind},
    failure::Failure,
    names::list_of,
};

/// What is learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    Labels,
    Entities,
    Span,
    Choice,
    FillMask,
    NextSentence,
    /// Both of them, as BERT was pre-trained.
    FillMaskAndNextSentence,
    Continuation,
    Embedding,
}

impl Head {
    /// What these answers say is learned.
    ///
    /// # Errors
    /// There is none, or several that no loss is known to take together.
    pub(super) fn of(answers: &[Answer]) -> Result<Head, Failure> {
        let mut kinds: Vec<AnswerKind> = Vec::new();
        for answer in answers {
            if !kinds.contains(&answer.kind) {
                kinds.push(answer.kind);
            }
        }
        Ok(match kinds.as_slice() {
            [AnswerKind::Labels] => Head::Labels,
            [AnswerKind::Entities] => Head::Entities,
            [AnswerKind::Span] => Head::Span,
            [AnswerKind::Choice] => Head::Choice,
            [AnswerKind::FillMask] => Head::FillMask,
            [AnswerKind::NextSentence] => Head::NextSentence,
            [AnswerKind::FillMask, AnswerKind::NextSentence]
            | [AnswerKind::NextSentence, AnswerKind::FillMask] => Head::FillMaskAndNextSentence,
            [AnswerKind::Continuation] => Head::Continuation,
            [AnswerKind::Embedding] => Head::Embedding,
            [] => {
                let text = "the spec does not say how its outputs are read, so records have no labels for it";
                return Err(Failure::usage(text).help("add for example `answer labels(logits)` to the model"));
            }
            several => {
                let names = list_of(several.iter().map(|kind| kind.name()));
                let text = format!("the spec's answers {names} are not learned together");
                return Err(Failure::input(text).help(
                    "leave one `answer`; only `fill_mask` and `next_sentence` have labels side by side",
                ));
            }
        })
    }

    /// The answers that a record says what is right for.
    pub(super) fn labelled(self) -> Option<AnswerKind> {
        match self {
            Head::Labels => Some(AnswerKind::Labels),
            Head::Entities => Some(AnswerKind::Entities),
            Head::Choice => Some(AnswerKind::Choice),
            Head::NextSentence | Head::FillMaskAndNextSentence => Some(AnswerKind::NextSentence),
            Head::Span | Head::FillMask | Head::Continuation | Head::Embedding => None,
        }
    }

    /// Words are hidden anew in every epoch.
    pub(super) fn hides_words(self) -> bool {
        matches!(self, Head::FillMask | Head::FillMaskAndNextSentence)
    }

    /// Whether one text follows another is learned.
    pub(super) fn joins_texts(self) -> bool {
        matches!(self, Head::NextSentence | Head::FillMaskAndNextSentence)
    }

    /// The names of the label inputs.
    pub(super) fn inputs(self) -> &'static [&'static str] {
        match self {
            Head::Span => &["start_positions", "end_positions"],
            Head::FillMaskAndNextSentence => &["labels", "next_sentence_label"],
            Head::Embedding => &[],
            _ => &["labels"],
        }
    }
}
