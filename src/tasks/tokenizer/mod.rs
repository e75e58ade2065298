//! Text to token ids and back.

mod files;
#[cfg(test)]
mod tests;

use super::records::Text;
use crate::{checkpoint::Folder, config::Config, failure::Failure};
use serde_json::Value;
use tokenizers::{PostProcessor, TruncationDirection};

/// The tokenizer of a checkpoint.
#[derive(Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    special: Special,
    longest: usize,
}

/// The ids of tokens that are no words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Special {
    /// Fills a batch's shorter sequences up.
    pub pad: u32,
    /// Begins a sequence.
    pub cls: Option<u32>,
    /// Ends a sequence.
    pub sep: Option<u32>,
    /// Stands for a word to find.
    pub mask: Option<u32>,
    /// How `mask` is written in a text.
    pub mask_text: String,
}

/// One sequence of tokens, as a model reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoding {
    /// The tokens, special ones included.
    pub tokens: Vec<Token>,
    /// Tokens were cut off to fit the model.
    pub truncated: bool,
}

impl Encoding {
    /// Takes off the special tokens at the end, so that the text may go on.
    pub fn open_end(&mut self) {
        while self.tokens.len() > 1 && self.tokens.last().is_some_and(|token| token.sequence.is_none()) {
            self.tokens.pop();
        }
    }
}

/// One token and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The token's row in the word embeddings.
    pub id: u32,
    /// The segment: 0 for the first text, 1 for the second.
    pub type_id: u32,
    /// First letter in its text, counted in letters (`char`s).
    pub start: usize,
    /// One past the last letter in its text.
    pub end: usize,
    /// Which word of its text it is a piece of.
    pub word: Option<u32>,
    /// Which text it is from: 0 or 1, `None` for those that the tokenizer puts around texts.
    pub sequence: Option<usize>,
}

impl Tokenizer {
    /// The files that a tokenizer is read from, the needed one first: `tokenizer.json`, or `vocab.txt`
    /// where there is none.
    pub const FILES: [&str; 4] =
        ["tokenizer.json", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json"];

    /// The tokenizer in a checkpoint folder: `tokenizer.json`, or `vocab.txt` read as BERT's word pieces
    /// with `do_lower_case`, `strip_accents` and `tokenize_chinese_chars` of `tokenizer_config.json`.
    /// Padding and truncation stored in `tokenizer.json` are ignored. `Err` where the files are missing or
    /// broken, or have more tokens than the config's `vocab_size`.
    pub fn load(folder: impl Into<Folder>, config: &Config) -> Result<Tokenizer, Failure> {
        let files::Loaded { tokenizer: inner, special, longest } = files::load(&folder.into(), config)?;
        let size = inner.get_vocab_size(true) as u64;
        if let Some(rows) = config.get("vocab_size").and_then(Value::as_u64).filter(|rows| *rows < size) {
            let text = format!(
                "the tokenizer has {size} tokens, but the model has embeddings for {rows} (`vocab_size` in {})",
                config.origin
            );
            return Err(Failure::input(text).help("use the tokenizer files that belong to this checkpoint"));
        }
        let positions = config.get("max_position_embeddings").and_then(Value::as_u64);
        let positions = positions.and_then(|rows| usize::try_from(rows).ok());
        let longest = [positions, longest].into_iter().flatten().min().unwrap_or(512);
        Ok(Tokenizer { inner, special, longest })
    }

    /// The ids of tokens that are no words.
    pub fn special(&self) -> &Special {
        &self.special
    }

    /// The longest sequence in tokens: the smaller of `max_position_embeddings` and `model_max_length`,
    /// or 512 where neither is given.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// How many tokens there are: ids are below it.
    pub fn vocabulary_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The tokens of a text, or of two, with special tokens around them; at most `limit`, where the longer
    /// text is cut first.
    pub fn encode(&self, text: &Text, pair: Option<&str>, limit: usize) -> Result<Encoding, Failure> {
        let room = self.room(limit, pair.is_some())?;
        let mut first = self.sequence(text)?;
        let mut second = match pair {
            Some(pair) => Some(self.raw(pair)?),
            None => None,
        };
        let (keep_first, keep_second) =
            longest_first(first.len(), second.as_ref().map_or(0, tokenizers::Encoding::len), room);
        let truncated =
            keep_first < first.len() || second.as_ref().is_some_and(|second| keep_second < second.len());
        cut(&mut first, keep_first);
        if let Some(second) = &mut second {
            cut(second, keep_second);
        }
        self.surround(first, second, truncated)
    }

    /// The tokens of a question with a context, in as many windows as the context needs. Neighbouring
    /// windows share `stride` tokens of context, or half of what fits where that is less.
    pub fn windows(
        &self,
        question: &Text,
        context: &str,
        limit: usize,
        stride: usize,
    ) -> Result<Vec<Encoding>, Failure> {
        let question = self.sequence(question)?;
        let room = self.room(limit, true)?;
        let room = room.checked_sub(question.len()).filter(|room| *room > 0).ok_or_else(|| {
            let text =
                format!("the question takes all of the {limit} tokens and leaves none for the context");
            Failure::input(text).help("shorten the question")
        })?;
        let mut context = self.raw(context)?;
        context.truncate(room, stride.min(room / 2), TruncationDirection::Right);
        let rest = context.take_overflowing();
        std::iter::once(context)
            .chain(rest)
            .map(|window| self.surround(question.clone(), Some(window), false))
            .collect()
    }

    /// The tokens of a text in as many sequences as it needs, one after the other, each with special tokens
    /// around it.
    pub fn pieces(&self, text: &Text, limit: usize) -> Result<Vec<Encoding>, Failure> {
        let room = self.room(limit, false)?;
        let mut first = self.sequence(text)?;
        first.truncate(room, 0, TruncationDirection::Right);
        let rest = first.take_overflowing();
        std::iter::once(first).chain(rest).map(|piece| self.surround(piece, None, false)).collect()
    }

    /// The ids of a text, without special tokens.
    pub fn ids(&self, text: &str) -> Result<Vec<u32>, Failure> {
        Ok(self.raw(text)?.get_ids().to_vec())
    }

    /// The tokens of a text to be continued: special tokens before it and none after it; at most `limit`,
    /// where its beginning is cut.
    pub fn prompt(&self, text: &Text, limit: usize) -> Result<Encoding, Failure> {
        let mut encoding = self.surround(self.sequence(text)?, None, false)?;
        encoding.open_end();
        let tokens = &mut encoding.tokens;
        let first = tokens.iter().position(|token| token.sequence.is_some()).unwrap_or(0);
        let end = tokens.len().min(first + tokens.len().saturating_sub(limit));
        tokens.drain(first..end);
        encoding.truncated = end > first;
        Ok(encoding)
    }

    /// The text of these tokens, without special ones.
    pub fn decode(&self, ids: &[u32]) -> Result<String, Failure> {
        self.inner.decode(ids, true).map_err(|error| failed(&error))
    }

    /// A token as the vocabulary spells it.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// How many tokens of text fit beside the special ones.
    fn room(&self, limit: usize, pair: bool) -> Result<usize, Failure> {
        let added = self.inner.get_post_processor().map_or(0, |processor| processor.added_tokens(pair));
        limit.checked_sub(added).filter(|room| *room > 0).ok_or_else(|| {
            Failure::usage(format!("{limit} tokens leave no room for text beside {added} special tokens"))
                .help("raise the maximum length")
        })
    }

    fn raw(&self, text: &str) -> Result<tokenizers::Encoding, Failure> {
        self.inner.encode_char_offsets(text, false).map_err(|error| failed(&error))
    }

    /// The tokens of a text alone, with offsets into the joined text.
    fn sequence(&self, text: &Text) -> Result<tokenizers::Encoding, Failure> {
        let words = match text {
            Text::Plain(text) => return self.raw(text),
            Text::Words(words) => words,
        };
        let mut encoding =
            self.inner.encode_char_offsets(words.as_slice(), false).map_err(|error| failed(&error))?;
        let starts: Vec<usize> = words
            .iter()
            .scan(0, |start, word| Some(std::mem::replace(start, *start + word.chars().count() + 1)))
            .collect();
        let words: Vec<Option<u32>> = encoding.get_word_ids().to_vec();
        for (offsets, word) in encoding.get_offsets_mut().iter_mut().zip(words) {
            let shift = word.and_then(|word| starts.get(word as usize)).copied().unwrap_or(0);
            *offsets = (offsets.0 + shift, offsets.1 + shift);
        }
        Ok(encoding)
    }

    /// Puts the special tokens around one text or two.
    fn surround(
        &self,
        first: tokenizers::Encoding,
        second: Option<tokenizers::Encoding>,
        truncated: bool,
    ) -> Result<Encoding, Failure> {
        let length = first.len();
        let whole = self.inner.post_process(first, second, true).map_err(|error| failed(&error))?;
        let added = whole.get_special_tokens_mask();
        let places = whole.get_offsets().iter().zip(whole.get_word_ids());
        let mut seen = 0;
        let tokens: Vec<Token> = whole
            .get_ids()
            .iter()
            .zip(whole.get_type_ids())
            .zip(added)
            .zip(places)
            .map(|(((id, type_id), added), (&(start, end), word))| {
                // The ranges that the crate keeps are lost by truncation, so texts are told apart by length.
                let sequence = (*added == 0).then_some(usize::from(seen >= length));
                seen += usize::from(*added == 0);
                Token { id: *id, type_id: *type_id, start, end, word: *word, sequence }
            })
            .collect();
        if tokens.is_empty() {
            return Err(Failure::input("the text has no tokens"));
        }
        Ok(Encoding { tokens, truncated })
    }
}

/// How much of two sequences to keep so that both fit: the longer is cut to the length of the shorter before
/// that is cut, as in HuggingFace's `longest_first`.
fn longest_first(first: usize, second: usize, room: usize) -> (usize, usize) {
    let shorter = first.min(second).min(room / 2);
    let longer = first.max(second).min(room - shorter);
    if first <= second { (shorter, longer) } else { (longer, shorter) }
}

/// Keeps the first tokens and lets go of the others.
fn cut(encoding: &mut tokenizers::Encoding, keep: usize) {
    encoding.truncate(keep, 0, TruncationDirection::Right);
    encoding.take_overflowing();
}

fn failed(error: &dyn std::fmt::Display) -> Failure {
    Failure::input(format!("the text cannot be cut into tokens: {error}"))
}
