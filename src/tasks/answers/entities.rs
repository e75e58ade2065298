//! `entities(logits)`: a tag for every word, and the entities that the tags spell.

use super::{
    Reader,
    outputs::Outputs,
    scores::{highest, softmax},
};
use crate::{
    failure::Failure,
    tasks::{Example, records::Text},
};
use serde::Serialize;
use std::{collections::BTreeMap, fmt, ops::Range};

/// The tag of a word that no piece of reached the model.
const OUTSIDE: &str = "O";

/// A tag for every word, and the entities that the tags spell.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entities {
    /// The entities, in the order of the text.
    pub entities: Vec<Entity>,
    /// The words: those of the record, or for a plain text those that the tokenizer cuts it into.
    pub words: Vec<Word>,
}

/// One entity.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entity {
    /// What it is: `PER` of `B-PER` and `I-PER`.
    pub label: String,
    /// Its text.
    pub text: String,
    /// First letter in the text (words are joined by single spaces).
    pub start: usize,
    /// One past the last letter.
    pub end: usize,
    /// The mean of its words' scores.
    pub score: f32,
}

/// One word.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Word {
    /// The word.
    pub word: String,
    /// The likeliest label of its first piece.
    pub tag: String,
    /// That label's probability; `None` for a word cut off or without pieces, whose tag is `O`.
    pub score: Option<f32>,
    /// Its letters in the text, `start..end`.
    #[serde(skip)]
    place: (usize, usize),
}

impl Entities {
    /// Reads logits `[seq, labels]` at the first piece of every word of the first text.
    pub(super) fn read(
        reader: &Reader<'_>,
        name: &str,
        example: &Example,
        outputs: &Outputs,
    ) -> Result<Entities, Failure> {
        let text = example.record.text.joined();
        let pieces = pieces(example);
        let places: Vec<(u32, (usize, usize))> = match &example.record.text {
            Text::Plain(_) => pieces.iter().map(|(word, piece)| (*word, piece.place)).collect(),
            Text::Words(words) => (0..).zip(word_places(words)).collect(),
        };
        let mut words = Vec::with_capacity(places.len());
        for (index, place) in places {
            let (tag, score) = match pieces.get(&index) {
                None => (OUTSIDE.to_owned(), None),
                Some(piece) => {
                    let (label, score) = highest(name, &softmax(&outputs.at(name, piece.first)?))?;
                    (reader.labels.name(label), Some(score))
                }
            };
            words.push(Word { word: cut(&text, place), tag, score, place });
        }
        Ok(Entities { entities: entities(&words, &text), words })
    }
}

/// The first token of a word and the letters that its tokens cover.
struct Piece {
    first: usize,
    place: (usize, usize),
}

/// The first token of every word of the first text that reached the model.
pub(in crate::tasks) fn word_tokens(example: &Example) -> impl Iterator<Item = usize> {
    pieces(example).into_values().map(|piece| piece.first)
}

/// The pieces of the first text by the word they belong to.
fn pieces(example: &Example) -> BTreeMap<u32, Piece> {
    let tokens = example.sequences.first().map_or(&[][..], |sequence| &sequence.tokens);
    let mut pieces: BTreeMap<u32, Piece> = BTreeMap::new();
    for (first, token) in tokens.iter().enumerate().filter(|(_, token)| token.sequence == Some(0)) {
        if let Some(word) = token.word {
            let piece = pieces.entry(word).or_insert(Piece { first, place: (token.start, token.end) });
            piece.place.1 = token.end;
        }
    }
    pieces
}

fn word_places(words: &[String]) -> impl Iterator<Item = (usize, usize)> {
    words.iter().scan(0, |next, word| {
        let start = *next;
        let end = start + word.chars().count();
        *next = end + 1;
        Some((start, end))
    })
}

/// The entities that the tags of the words spell.
fn entities(words: &[Word], text: &str) -> Vec<Entity> {
    let tags: Vec<&str> = words.iter().map(|word| word.tag.as_str()).collect();
    let entity = |(label, members): (&str, Range<usize>)| {
        let members = words.get(members)?;
        let place = (members.first()?.place.0, members.last()?.place.1);
        let score = members.iter().filter_map(|word| word.score).sum::<f32>() / members.len() as f32;
        Some(Entity { label: label.to_owned(), text: cut(text, place), start: place.0, end: place.1, score })
    };
    stretches(&tags).into_iter().filter_map(entity).collect()
}

/// The label and the words of every entity that the tags of a sentence spell: BIO, BIOES, BILOU, IO, or
/// labels without a prefix. `I` and `E` after another label begin an entity of their own, as in conlleval.
pub(in crate::tasks) fn stretches<'a>(tags: &[&'a str]) -> Vec<(&'a str, Range<usize>)> {
    let mut stretches: Vec<(&str, Range<usize>)> = Vec::new();
    let mut open = false;
    for (at, tag) in tags.iter().enumerate() {
        let Some((prefix, label)) = part(tag) else {
            open = false;
            continue;
        };
        match stretches.last_mut() {
            Some((same, words)) if open && *same == label && !matches!(prefix, "B" | "S" | "U") => {
                words.end = at + 1;
            }
            _ => stretches.push((label, at..at + 1)),
        }
        open = !matches!(prefix, "E" | "L" | "S" | "U");
    }
    stretches
}

/// A tag's prefix and label: `("B", "PER")`, `("", "PER")` where it has none; nothing for `O`.
fn part(tag: &str) -> Option<(&str, &str)> {
    match tag.split_once('-') {
        _ if tag == OUTSIDE => None,
        Some((prefix @ ("B" | "I" | "E" | "L" | "S" | "U"), label)) => Some((prefix, label)),
        _ => Some(("", tag)),
    }
}

/// The letters `start..end` of a text.
pub(super) fn cut(text: &str, (start, end): (usize, usize)) -> String {
    text.chars().skip(start).take(end.saturating_sub(start)).collect()
}

/// CoNLL: a word and its tag a line, and an empty line where the text ends.
impl fmt::Display for Entities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.words.iter().try_for_each(|word| writeln!(f, "{} {}", word.word, word.tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(tags: &[&str]) -> String {
        let words: Vec<Word> = (0..)
            .zip(tags)
            .map(|(at, tag)| Word {
                word: "x".into(),
                tag: (*tag).into(),
                score: Some(1.0),
                place: (2 * at, 2 * at + 1),
            })
            .collect();
        let text = vec!["x"; tags.len()].join(" ");
        let shown = entities(&words, &text).into_iter().map(|e| format!("{}{}-{}", e.label, e.start, e.end));
        shown.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_tagging_scheme_is_merged() {
        assert_eq!(merged(&["B-P", "I-P", "O", "B-P", "B-P"]), "P0-3 P6-7 P8-9");
        assert_eq!(merged(&["I-P", "I-P", "I-L", "O", "I-L"]), "P0-3 L4-5 L8-9");
        assert_eq!(merged(&["S-P", "S-P", "B-L", "I-L", "E-L", "I-L"]), "P0-1 P2-3 L4-9 L10-11");
        assert_eq!(merged(&["U-P", "B-P", "L-P"]), "P0-1 P2-5");
        assert_eq!(merged(&["P", "P", "O", "creative-work"]), "P0-3 creative-work6-7");
        assert_eq!(merged(&[]), "");
    }
}
