//! Physical lines of a file, one at a time.

use super::Problem;
use crate::failure::Failure;
use std::io::{self, BufRead, BufReader, Read};

/// Longest line and longest CSV record, in bytes: what keeps memory bounded.
pub(super) const LONGEST: usize = 16 << 20;

/// The lines of a file with their numbers, from 1, without their ends (`\n` or `\r\n`) and without a byte
/// order mark. Blank ones are included.
pub(super) struct Lines {
    reader: BufReader<Box<dyn Read>>,
    number: u64,
    peeked: Option<Item>,
    failed: bool,
}

/// A line's number and text.
pub(super) type Item = Result<(u64, String), Problem>;

impl Lines {
    pub(super) fn new(reader: Box<dyn Read>) -> Lines {
        Lines { reader: BufReader::with_capacity(1 << 16, reader), number: 0, peeked: None, failed: false }
    }

    /// Skips blank lines and shows the next one without taking it.
    pub(super) fn peek(&mut self) -> Option<&Item> {
        if self.peeked.is_none() {
            self.peeked = self.next_filled();
        }
        self.peeked.as_ref()
    }

    /// The next line that is not blank.
    pub(super) fn next_filled(&mut self) -> Option<Item> {
        self.find(|line| !matches!(line, Ok((_, text)) if text.trim().is_empty()))
    }

    fn read(&mut self) -> Option<Item> {
        let mut bytes = Vec::new();
        match self.reader.by_ref().take(LONGEST as u64).read_until(b'\n', &mut bytes) {
            Err(error) => return Some(Err(self.broken(&error))),
            Ok(0) => return None,
            Ok(_) => self.number += 1,
        }
        if bytes.len() == LONGEST && bytes.last() != Some(&b'\n') {
            return Some(Err(match self.skip_rest() {
                Err(error) => self.broken(&error),
                Ok(()) => self.problem(format!("the line is longer than {} MiB", LONGEST >> 20)),
            }));
        }
        Some(self.text(bytes))
    }

    fn text(&self, bytes: Vec<u8>) -> Item {
        if self.number == 1 && (bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff])) {
            let failure = Failure::input("the file is UTF-16 text").help("save it as UTF-8");
            return Err(Problem::new(self.number, failure));
        }
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            let text = format!("the line is not UTF-8 text: byte {} is part of no letter", at + 1);
            Problem::new(self.number, Failure::input(text).help("save the file as UTF-8"))
        })?;
        let line = text.strip_suffix('\n').unwrap_or(&text);
        let line = line.strip_suffix('\r').unwrap_or(line);
        let line = if self.number == 1 { line.strip_prefix('\u{feff}').unwrap_or(line) } else { line };
        Ok((self.number, line.to_owned()))
    }

    fn skip_rest(&mut self) -> io::Result<()> {
        loop {
            let buffer = match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                other => other?,
            };
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let used = end.map_or(buffer.len(), |end| end + 1);
            self.reader.consume(used);
            if end.is_some() || used == 0 {
                return Ok(());
            }
        }
    }

    fn problem(&self, text: String) -> Problem {
        Problem::new(self.number, Failure::input(text))
    }

    fn broken(&mut self, error: &io::Error) -> Problem {
        self.failed = true;
        Problem::new(self.number + 1, Failure::outside(format!("reading stopped: {error}")))
    }
}

impl Iterator for Lines {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        match self.peeked.take() {
            Some(item) => Some(item),
            None if self.failed => None,
            None => self.read(),
        }
    }
}
