//! Tree to text: the one layout.
//!
//! The order of tokens is the tree's. A list in brackets stands on one line if
//! it fits and does not end in a comma, else it has a line for each element; a
//! body has a line for each statement, unless its one statement was written on
//! the line of its `if` or `for`. Single blank lines stay where they are.

mod expressions;
mod items;
mod layout;
mod statements;
mod weave;

use super::ast::{Docs, SpecFile};
use layout::Group;
use weave::Weave;

/// The layout of `tree` with the comments of `text`, which it was parsed from.
///
/// Laying out the result again gives the same, and parsing it gives the same
/// tree at other places.
pub fn print(tree: &SpecFile, text: &str) -> String {
    let mut weave = Weave::new(text);
    let mut previous = None;
    for item in &tree.items {
        if let Some(previous) = previous {
            if items::is_block(previous) || items::is_block(&item.kind) {
                weave.hard_with(true);
            } else {
                weave.hard();
            }
        }
        weave.item(item);
        previous = Some(&item.kind);
    }
    weave.finish()
}

impl Weave<'_> {
    /// Doc lines above a declaration.
    fn docs(&mut self, docs: &Docs) {
        for doc in docs {
            self.token(format!("/// {}", doc.value).trim_end());
            self.hard_with(false);
        }
    }

    /// A string in quotes.
    fn string(&mut self, value: &str) {
        let mut text = String::with_capacity(value.len() + 2);
        text.push('"');
        for letter in value.chars() {
            match letter {
                '"' => text.push_str("\\\""),
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                '\t' => text.push_str("\\t"),
                _ => text.push(letter),
            }
        }
        text.push('"');
        self.token(text);
    }

    /// Elements between brackets. The last has a comma where each has its line;
    /// a comma written there keeps it so.
    fn list<T>(&mut self, brackets: [&str; 2], elements: &[T], element: impl FnMut(&mut Self, &T)) {
        self.list_of(Group::LOOSE, brackets, elements, element);
    }

    fn list_of<T>(
        &mut self,
        group: Group,
        [open, close]: [&str; 2],
        elements: &[T],
        mut element: impl FnMut(&mut Self, &T),
    ) {
        if elements.is_empty() {
            self.empty(open, close);
            return;
        }
        self.group_of(group, |weave| {
            weave.token(open);
            weave.indented(|weave| {
                weave.soft("");
                for (at, each) in elements.iter().enumerate() {
                    if at > 0 {
                        weave.comma();
                        weave.soft(" ");
                    }
                    element(weave, each);
                }
                if weave.is_next(&[","]) {
                    weave.force();
                }
                weave.comma_if_broken();
                weave.closing_comments();
            });
            weave.soft("");
            weave.token(close);
        });
    }

    /// Brackets with nothing but comments between them.
    fn empty(&mut self, open: &str, close: &str) {
        self.token(open);
        let mut lines = false;
        self.indented(|weave| lines = weave.closing_comments());
        if lines {
            self.hard_with(false);
        }
        self.token(close);
    }

    /// Phrases joined by a mark before each but the first.
    fn joined<T>(&mut self, group: Group, mark: &str, phrases: &[T], mut phrase: impl FnMut(&mut Self, &T)) {
        self.group_of(group, |weave| {
            weave.indented(|weave| {
                for (at, each) in phrases.iter().enumerate() {
                    if at > 0 {
                        weave.soft(" ");
                        weave.word(mark);
                    }
                    phrase(weave, each);
                }
            });
        });
    }

    /// Phrases joined by commas, without brackets.
    fn comma_separated<T>(&mut self, phrases: &[T], mut phrase: impl FnMut(&mut Self, &T)) {
        self.group(|weave| {
            for (at, each) in phrases.iter().enumerate() {
                if at > 0 {
                    weave.comma();
                    weave.soft(" ");
                }
                phrase(weave, each);
            }
        });
    }
}
