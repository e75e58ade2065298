//! Records as training batches: tokens, and what is right as a spec's loss takes it.
//!
//! Which label inputs a model has follows from its `answer`s alone, and their names are HuggingFace's:
//!
//! | answer | examples of a record | label inputs |
//! |---|---|---|
//! | `labels` | one sequence | `labels`: `i64[batch]`; several labels or numbers: `f32[batch, n]`; one number: `f32[batch]` |
//! | `entities` | one sequence | `labels`: `i64[batch, seq]`, the tag at the first token of each word |
//! | `span` | as many windows as the context needs | `start_positions`, `end_positions`: `i64[batch]`, 0 (`[CLS]`) where the answer is not in the window |
//! | `choice` | one, of a sequence for each choice | `labels`: `i64[batch]` |
//! | `fill_mask` | as many pieces as the text needs | `labels`: `i64[batch, seq]`, the words that were hidden |
//! | `next_sentence` | one sequence of two texts | `labels`: `i64[batch]`, 0 where the second text follows |
//! | `fill_mask` and `next_sentence` | one sequence of two texts | `labels` of the first, `next_sentence_label` of the second |
//! | `continuation` | as many pieces as the text needs | `labels`: `i64[batch, seq]`, the tokens themselves |
//! | `embedding` | one sequence for each text | none: what is learned must come from a teacher |
//!
//! Labels by token are -100 where nothing is asked for, which every bundled loss ignores. A text longer than
//! the model takes is cut (see [`Dataset::truncated`]), except where there are windows or pieces. Pieces are
//! not packed: every line of a text begins an example, and goes on in the next where it is too long, so that
//! each example belongs to one record whatever the tokenizer. Since examples of like length are run together,
//! little is lost to padding.

mod dataset;
mod example;
mod head;
mod labels;
mod maker;
mod masking;
mod order;
mod pairs;
mod span;
#[cfg(test)]
mod tests;

pub use dataset::{Batch, Dataset};
pub use labels::{Labels, labels};
