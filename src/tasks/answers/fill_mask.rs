//! `fill_mask(logits)`: words for the masked places.

use super::{
    Reader,
    outputs::Outputs,
    scores::{Scored, best, softmax},
};
use crate::{
    failure::Failure,
    tasks::{Example, tokenizer::Token},
};
use serde::Serialize;
use std::fmt;

/// How many words are shown where the user does not say.
const SHOWN: usize = 5;

/// Words for the masked places of a record.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FillMask {
    /// The text, and where there is one the pair, with the likeliest word at every place.
    pub text: String,
    /// The places, in order.
    pub masks: Vec<Filled>,
}

/// Words for one masked place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Filled {
    /// The likeliest tokens, as the vocabulary spells them, with their probabilities.
    pub tokens: Vec<Scored>,
}

/// The places of the masks in an example's first sequence.
pub(super) fn masks<'a>(
    reader: &Reader<'_>,
    example: &'a Example,
) -> impl Iterator<Item = (usize, &'a Token)> {
    let mask = reader.tokenizer.special().mask;
    let tokens = example.sequences.first().map_or(&[][..], |sequence| &sequence.tokens);
    tokens.iter().enumerate().filter(move |(_, token)| Some(token.id) == mask && token.sequence.is_some())
}

impl FillMask {
    /// Reads logits `[seq, vocab_size]` at every mask.
    pub(super) fn read(
        reader: &Reader<'_>,
        name: &str,
        example: &Example,
        outputs: &Outputs,
    ) -> Result<FillMask, Failure> {
        let mut texts =
            [example.record.text.joined().into_owned(), example.record.pair.clone().unwrap_or_default()];
        let mut filled = Vec::new();
        for (position, mask) in masks(reader, example) {
            let odds = softmax(&outputs.at(name, position)?);
            let chosen = best(&odds, reader.options.top_k.unwrap_or(SHOWN));
            let tokens = chosen.into_iter().filter_map(|id| {
                let spelled = reader.tokenizer.token(u32::try_from(id).ok()?);
                Some(Scored { label: spelled.unwrap_or_else(|| format!("#{id}")), score: *odds.get(id)? })
            });
            filled.push((mask, Filled { tokens: tokens.collect() }));
        }
        // From the last place to the first, so that the places before stay where they are.
        for (mask, filled) in filled.iter().rev() {
            let word = filled.tokens.first().map_or("", |token| token.label.as_str());
            if let Some(text) = mask.sequence.and_then(|sequence| texts.get_mut(sequence)) {
                *text = replaced(text, mask, word);
            }
        }
        let text = texts.join(" ").trim_end().to_owned();
        Ok(FillMask { text, masks: filled.into_iter().map(|(_, filled)| filled).collect() })
    }
}

/// The text with a token in place of a mask; a piece that continues a word (`##s`) joins the word before it.
fn replaced(text: &str, mask: &Token, word: &str) -> String {
    let before: String = text.chars().take(mask.start).collect();
    let after: String = text.chars().skip(mask.end).collect();
    match word.strip_prefix("##") {
        Some(piece) => format!("{}{piece}{after}", before.trim_end()),
        None => format!("{before}{word}{after}"),
    }
}

impl fmt::Display for FillMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        for mask in &self.masks {
            let parts: Vec<_> = mask.tokens.iter().map(Scored::to_string).collect();
            write!(f, "\n  {}", parts.join("  "))?;
        }
        Ok(())
    }
}
