//! Tokens on their way to the layout, with the comments of the source between them.
//!
//! The printer names every token of the tree in order. In step with it, the
//! source is read token by token, and each comment met there is written where
//! it stood. So no comment can be lost, wherever it is.

use super::layout::{Group, Piece, set};
use crate::syntax::scan::{Token, TokenKind, Tokens, tokens};
use std::iter::Peekable;

/// Tokens and layout, being written.
pub(super) struct Weave<'t> {
    text: &'t str,
    source: Peekable<Tokens<'t>>,
    /// The source's token before the next one.
    previous: Option<Token<'t>>,
    /// Tokens of the source that the layout has already written or leaves out.
    owed: Vec<&'static str>,
    pieces: Vec<Piece>,
}

impl<'t> Weave<'t> {
    /// Nothing written; comments come from `text`.
    pub fn new(text: &'t str) -> Weave<'t> {
        let source = tokens(text).peekable();
        Weave { text, source, previous: None, owed: Vec::new(), pieces: Vec::new() }
    }

    /// The pages, with the comments that end the source.
    pub fn finish(mut self) -> String {
        self.closing_comments();
        set(self.pieces)
    }

    /// Writes a token, behind the comments that stand before it.
    pub fn token(&mut self, text: impl Into<String>) {
        self.comments();
        let text = text.into();
        let count = tokens(&text).count();
        self.pieces.push(Piece::Text(text));
        for _ in 0..count {
            self.step();
        }
        self.trailing_comment();
    }

    /// Writes a word and the space behind it.
    pub fn word(&mut self, text: &str) {
        self.token(text);
        self.space();
    }

    /// Writes a mark between spaces.
    pub fn infix(&mut self, text: &str) {
        self.space();
        self.word(text);
    }

    pub fn space(&mut self) {
        self.pieces.push(Piece::Space);
    }

    /// A line break, with a blank line where the source has one.
    pub fn hard(&mut self) {
        let blank = self.blank_ahead();
        self.pieces.push(Piece::Hard { blank });
    }

    /// A line break without a blank line, or always with one.
    pub fn hard_with(&mut self, blank: bool) {
        self.pieces.push(Piece::Hard { blank });
    }

    /// A line break if the group is broken, else this text.
    pub fn soft(&mut self, flat: &'static str) {
        let blank = self.blank_ahead();
        self.pieces.push(Piece::Soft { flat, blank });
    }

    /// Breaks the group.
    pub fn force(&mut self) {
        self.push_before_trailing(Piece::Break);
    }

    /// All on one line, or broken.
    pub fn group(&mut self, inside: impl FnOnce(&mut Self)) {
        self.group_of(Group::LOOSE, inside);
    }

    /// All on one line, or broken. A comment at its edge is not a part of it.
    pub fn group_of(&mut self, group: Group, inside: impl FnOnce(&mut Self)) {
        self.comments();
        self.pieces.push(Piece::Open(group));
        inside(self);
        self.push_before_trailing(Piece::Close);
    }

    /// Lines that begin inside are indented.
    pub fn indented(&mut self, inside: impl FnOnce(&mut Self)) {
        self.pieces.push(Piece::Indent);
        inside(self);
        self.push_before_trailing(Piece::Dedent);
    }

    /// Writes a comma, before the comment that trails what it follows.
    pub fn comma(&mut self) {
        self.add_comma(Piece::Text(",".to_string()));
    }

    /// Writes a comma only where the group is broken.
    pub fn comma_if_broken(&mut self) {
        self.add_comma(Piece::IfBroken(","));
    }

    /// Writes a comma only where the group is not broken.
    pub fn comma_if_flat(&mut self) {
        self.add_comma(Piece::IfFlat(","));
    }

    fn add_comma(&mut self, comma: Piece) {
        self.push_before_trailing(comma);
        self.skip(&[","]);
    }

    fn push_before_trailing(&mut self, piece: Piece) {
        let trailing = usize::from(matches!(self.pieces.last(), Some(Piece::Trailing(_))));
        self.pieces.insert(self.pieces.len() - trailing, piece);
    }

    /// Leaves out these tokens of the source if they come next.
    pub fn skip(&mut self, texts: &[&'static str]) {
        if self.is_next(texts) {
            self.owed.extend(texts);
            if self.settle() {
                self.trailing_comment();
            }
        }
    }

    /// The source's next tokens, comments aside, are these.
    pub fn is_next(&self, texts: &[&str]) -> bool {
        let mut next = self.source.clone().filter(|token| token.kind != TokenKind::Comment);
        texts.iter().all(|text| next.next().is_some_and(|token| token.text == *text))
    }

    /// The source's next token or comment stands on another line.
    pub fn breaks_ahead(&mut self) -> bool {
        self.gap().contains('\n')
    }

    /// Writes the comments that stand before a closing bracket, on lines of
    /// their own. Says whether a line has been begun.
    pub fn closing_comments(&mut self) -> bool {
        self.settle();
        if self.source.peek().is_some_and(|token| token.kind == TokenKind::Comment) {
            self.hard();
            self.comments();
        }
        matches!(self.last(), Some(Piece::Hard { .. } | Piece::Trailing(_)))
    }

    /// Writes the comments that stand before the next token.
    fn comments(&mut self) {
        self.settle();
        while let Some(comment) = self.source.next_if(|token| token.kind == TokenKind::Comment) {
            let within = match self.last() {
                None | Some(Piece::Hard { .. } | Piece::Soft { .. }) => false,
                Some(Piece::Continue) => true,
                Some(_) => {
                    self.pieces.push(Piece::Continue);
                    true
                }
            };
            self.pieces.push(Piece::Text(comment.text.trim_end().to_string()));
            self.previous = Some(comment);
            self.settle();
            if within {
                self.pieces.push(Piece::Continue);
            } else {
                self.hard();
            }
        }
    }

    /// Writes the comment that stands behind the last token on its line.
    fn trailing_comment(&mut self) {
        let ended = matches!(self.pieces.last(), Some(Piece::Trailing(_)));
        if ended || self.breaks_ahead() {
            return;
        }
        if let Some(comment) = self.source.next_if(|token| token.kind == TokenKind::Comment) {
            self.pieces.push(Piece::Trailing(comment.text.trim_end().to_string()));
            self.previous = Some(comment);
        }
    }

    /// The last piece that shows.
    fn last(&self) -> Option<&Piece> {
        let hidden = |piece: &&Piece| {
            matches!(piece, Piece::Open(_) | Piece::Close | Piece::Indent | Piece::Dedent | Piece::Break)
        };
        self.pieces.iter().rev().find(|piece| !hidden(piece))
    }

    /// Passes over the owed tokens that come next. Says whether there were any.
    fn settle(&mut self) -> bool {
        let before = self.owed.len();
        while let Some(owed) = self.owed.first()
            && let Some(token) = self.source.next_if(|token| token.text == *owed)
        {
            self.previous = Some(token);
            self.owed.remove(0);
        }
        self.owed.len() < before
    }

    /// Passes over the next token.
    fn step(&mut self) {
        self.previous = self.source.next().or(self.previous);
    }

    /// The space before the source's next token or comment.
    fn gap(&mut self) -> &'t str {
        let start = self.previous.map_or(0, |token| token.end());
        let end = self.source.peek().map_or(start, |token| token.start);
        self.text.get(start..end).unwrap_or("")
    }

    /// The source has a blank line next, and not at the edge of a bracket.
    fn blank_ahead(&mut self) -> bool {
        let opens = self.previous.is_none_or(|token| matches!(token.text, "(" | "[" | "{"));
        let closes = self.source.peek().is_none_or(|token| matches!(token.text, ")" | "]" | "}"));
        !opens && !closes && self.gap().matches('\n').count() > 1
    }
}
