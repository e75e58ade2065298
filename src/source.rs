//! Source files: their names and text, and where `use` finds them.

use crate::span::{FileId, Span};

/// One source file.
#[derive(Clone, Debug)]
pub struct Source {
    /// The name shown in diagnostics: a path, or a bundled spec's name.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Every file of one compilation, by [`FileId`].
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<Source>,
}

impl Sources {
    /// Adds a file.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> FileId {
        let id = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        self.files.push(Source { name: name.into(), text: text.into() });
        id
    }

    /// The file.
    pub fn get(&self, file: FileId) -> Option<&Source> {
        self.files.get(file.0 as usize)
    }

    /// Files in the order added.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &Source)> {
        self.files.iter().enumerate().map(|(index, source)| (FileId(index as u32), source))
    }

    /// The text that a span covers; empty where it covers none.
    pub fn slice(&self, span: Span) -> &str {
        self.get(span.file).and_then(|s| s.text.get(span.start as usize..span.end as usize)).unwrap_or("")
    }

    /// Where a span starts: file name, line and column, both from 1.
    pub fn position(&self, span: Span) -> Option<(&str, usize, usize)> {
        let source = self.get(span.file)?;
        let before = source.text.get(..span.start as usize)?;
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        Some((&source.name, line, column))
    }
}

/// Where the text of a used file comes from. Only the command line reads disks;
/// tests and the bundled specs answer from memory.
pub trait Library {
    /// The file that `use "path"` in the file called `from` means: its name and
    /// text. `Err` says why there is none, as one phrase.
    fn read(&self, from: &str, path: &str) -> Result<(String, String), String>;
}
