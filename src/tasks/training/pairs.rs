//! Two texts for each example, out of running text.

use super::order::{Purpose, random};
use crate::{
    failure::Failure,
    tasks::{Problem, Record, Text},
};
use rand::RngExt;
use serde_json::Value;
use std::ops::Range;

/// Running text as pairs of texts: one that follows the other, or a random one.
#[derive(Debug)]
pub(super) struct Pairs {
    lines: Vec<(u64, Text)>,
    pairs: Vec<Pair>,
}

/// Two lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pair {
    first: usize,
    second: usize,
    follows: bool,
}

impl Pairs {
    /// The pairs of a text, a record a line. Every line that another follows in its document is the first of
    /// one pair; the second is that other or, for half of them by `seed`, a line of another document. A blank
    /// line ends a document, and so does a title (`= Title =`), which is in no pair. Where there is one
    /// document alone, the random line is one of its own that does not follow.
    ///
    /// # Errors
    /// No line follows another, or there are too few for a random one.
    pub(super) fn new(records: Vec<Record>, seed: u64) -> Result<Pairs, Problem> {
        let line = records.first().map_or(1, |record| record.line);
        let mut lines: Vec<(u64, Text)> = Vec::with_capacity(records.len());
        let mut documents: Vec<Range<usize>> = Vec::new();
        // The number that a line of the same document has; blank lines are no records, and leave a gap.
        let mut next = None;
        for record in records {
            if is_title(&record.text.joined()) {
                next = None;
                continue;
            }
            match documents.last_mut() {
                Some(document) if next == Some(record.line) => document.end += 1,
                _ => documents.push(lines.len()..lines.len() + 1),
            }
            next = record.line.checked_add(1);
            lines.push((record.line, record.text));
        }
        let pairs = pairs(&documents, lines.len(), seed);
        match pairs {
            Some(pairs) if !pairs.is_empty() => Ok(Pairs { lines, pairs }),
            _ => Err(Problem::new(line, too_few(lines.len(), documents.len()))),
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.pairs.len()
    }

    /// A pair as a record.
    pub(super) fn record(&self, index: usize) -> Option<Record> {
        let pair = self.pairs.get(index)?;
        let (line, first) = self.lines.get(pair.first)?;
        let (_, second) = self.lines.get(pair.second)?;
        Some(Record {
            line: *line,
            text: first.clone(),
            pair: Some(second.joined().into_owned()),
            gold: Some(Value::from(u64::from(!pair.follows))),
            ..Record::default()
        })
    }
}

/// Pairs of line numbers; `None` where there is no random line to be had.
fn pairs(documents: &[Range<usize>], lines: usize, seed: u64) -> Option<Vec<Pair>> {
    let mut random = random(seed, 0, 0, Purpose::Pairs);
    let mut pairs = Vec::new();
    for document in documents {
        for first in document.start..document.end.saturating_sub(1) {
            let follows = random.random();
            let barred = if documents.len() > 1 { document.clone() } else { first..first + 2 };
            let others = lines.checked_sub(barred.len()).filter(|others| *others > 0)?;
            let drawn = random.random_range(0..others);
            let other = if drawn < barred.start { drawn } else { drawn + barred.len() };
            pairs.push(Pair { first, second: if follows { first + 1 } else { other }, follows });
        }
    }
    Some(pairs)
}

/// `= Title =`, `= = Section = =`.
fn is_title(line: &str) -> bool {
    let line = line.trim();
    line.len() > 2 && line.starts_with("= ") && line.ends_with(" =")
}

fn too_few(lines: usize, documents: usize) -> Failure {
    Failure::input(format!(
        "the {lines} lines of {documents} documents make no pairs of a text and the one that follows it"
    ))
    .help(
        "write a sentence or paragraph a line and a blank line between documents, at least two lines in one; \
         or give two texts and a label: --columns text=NAME,pair=NAME,label=NAME",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(line: u64, text: &str) -> Record {
        Record { line, text: Text::Plain(text.into()), ..Record::default() }
    }

    #[test]
    fn neighbours_are_of_one_document() {
        let mut records = Vec::new();
        for document in 0..40_u64 {
            let at = document * 10;
            records.extend((0..4).map(|line| record(at + line, &format!("{document} {line}"))));
            records.push(record(at + 4, " = Title = "));
            records.push(record(at + 5, &format!("{document} after")));
        }
        let pairs = Pairs::new(records.clone(), 3).unwrap();
        assert_eq!(pairs.len(), 40 * 3);
        let mut follow = 0;
        for index in 0..pairs.len() {
            let made = pairs.record(index).unwrap();
            let text = made.text.joined().into_owned();
            let (first, second) = (text.split_once(' ').unwrap(), made.pair.as_deref().unwrap());
            let second = second.split_once(' ').unwrap();
            if made.gold == Some(Value::from(0)) {
                follow += 1;
                assert_eq!(first.0, second.0);
                assert_eq!(first.1.parse::<u32>().unwrap() + 1, second.1.parse::<u32>().unwrap());
            } else {
                assert!(first.0 != second.0 || second.1 == "after", "{made:?}");
            }
        }
        // Of 120 draws, standard deviation 5.5.
        assert!((38..82).contains(&follow), "{follow}");
        assert_eq!(pairs.pairs, Pairs::new(records.clone(), 3).unwrap().pairs);
        assert_ne!(pairs.pairs, Pairs::new(records, 4).unwrap().pairs);
    }

    #[test]
    fn one_document_gives_lines_that_do_not_follow() {
        let records: Vec<Record> = (1..=30).map(|line| record(line, &line.to_string())).collect();
        let pairs = Pairs::new(records, 0).unwrap();
        assert_eq!(pairs.len(), 29);
        assert!(pairs.pairs.iter().any(|pair| !pair.follows));
        for pair in &pairs.pairs {
            assert_eq!(pair.follows, pair.second == pair.first + 1);
            assert_ne!(pair.first, pair.second);
        }
    }

    #[test]
    fn lines_that_do_not_follow_one_another_are_refused() {
        let apart = vec![record(3, "a"), record(5, "b"), record(7, "c")];
        let problem = Pairs::new(apart, 0).unwrap_err();
        assert_eq!(
            problem.to_string(),
            "line 3: the 3 lines of 3 documents make no pairs of a text and the one that follows it"
        );
        assert!(Pairs::new(vec![record(1, "a"), record(2, "b")], 0).is_err());
        assert!(Pairs::new(vec![record(1, "= T =")], 0).is_err());
    }
}
