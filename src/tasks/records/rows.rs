//! The rows of each file format, as named fields.

use super::{
    Format, Problem,
    columns::Columns,
    conll::Sentences,
    lines::{Item, LONGEST, Lines},
};
use crate::failure::{Failure, Message};
use serde_json::{Map, Value};

/// A row's line number and its fields.
pub(super) type Row = Result<(u64, Map<String, Value>), Problem>;

/// The rows of a file in this format. `Err` where the header of a table is unusable.
pub(super) fn rows(
    lines: Lines,
    format: Format,
    columns: &Columns,
    name: &str,
) -> Result<Box<dyn Iterator<Item = Row>>, Failure> {
    Ok(match format {
        Format::Conll => Box::new(Sentences(lines)),
        Format::Squad => return Err(Failure::input(format!("`{name}` is one JSON document"))),
        Format::Txt => Box::new(Filled(lines).map(|line| line.map(plain))),
        Format::Jsonl => Box::new(Filled(lines).map(|line| line.and_then(object))),
        Format::Csv => Box::new(Table::new(lines, commas, columns, name)?),
        Format::Tsv => Box::new(Table::new(lines, tabs, columns, name)?),
    })
}

/// Lines that are not blank.
struct Filled(Lines);

impl Iterator for Filled {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        self.0.next_filled()
    }
}

fn plain((number, text): (u64, String)) -> (u64, Map<String, Value>) {
    (number, Map::from_iter([("text".to_owned(), Value::String(text))]))
}

fn object((number, text): (u64, String)) -> Row {
    match serde_json::from_str(&text) {
        Ok(Value::Object(fields)) => Ok((number, fields)),
        Ok(_) => Err(Problem::new(
            number,
            Failure::input("the line is not a JSON object").help("write {\"text\": \"...\"} on every line"),
        )),
        Err(error) => {
            Err(Problem::new(number, Failure::input(format!("the line is not JSON: {}", why(&error)))))
        }
    }
}

/// serde's message without its line number, which counts within the line.
fn why(error: &serde_json::Error) -> String {
    format!("{} at column {}", unplaced(error), error.column())
}

/// serde's message without its place.
pub(super) fn unplaced(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or(text.as_str(), |(before, _)| before).to_owned()
}

/// Adds the cells of one line to a row; `open` says that the last cell so far is quoted and goes on.
/// Returns whether the row's last cell is still open.
type Split = fn(&str, &mut Vec<String>, bool) -> bool;

/// Tab-separated cells; quotes mean nothing.
fn tabs(line: &str, cells: &mut Vec<String>, _open: bool) -> bool {
    cells.extend(line.split('\t').map(str::to_owned));
    false
}

/// Comma-separated cells as in RFC 4180. The `csv` crate is not used because its line numbers are off after
/// `\r\n` and blank lines, and because a quote that is never closed would read a whole file into memory.
fn commas(line: &str, cells: &mut Vec<String>, open: bool) -> bool {
    let mut cell = if open { cells.pop().unwrap_or_default() + "\n" } else { String::new() };
    let (mut quoted, mut fresh) = (open, !open);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.next_if_eq(&'"').is_some() => cell.push('"'),
            '"' if quoted => quoted = false,
            '"' if fresh => quoted = true,
            ',' if !quoted => {
                cells.push(std::mem::take(&mut cell));
                fresh = true;
                continue;
            }
            other => cell.push(other),
        }
        fresh = false;
    }
    cells.push(cell);
    quoted
}

/// A table: a header, or numbered columns, and rows of as many cells.
struct Table {
    lines: Lines,
    split: Split,
    /// Empty where columns are numbered.
    header: Vec<String>,
}

impl Table {
    fn new(lines: Lines, split: Split, columns: &Columns, name: &str) -> Result<Table, Failure> {
        let mut table = Table { lines, split, header: Vec::new() };
        if columns.are_numbers() {
            return Ok(table);
        }
        match table.cells() {
            None => Ok(table),
            Some(Err(problem)) => Err(headless(name, problem)),
            Some(Ok((_, cells))) => {
                table.header = cells.into_iter().map(|cell| cell.trim().to_owned()).collect();
                columns.check(&table.header, name)?;
                Ok(table)
            }
        }
    }

    /// The cells of the next row, which is several lines where a quoted cell holds line ends.
    fn cells(&mut self) -> Option<Result<(u64, Vec<String>), Problem>> {
        let (number, text) = match self.lines.next_filled()? {
            Ok(line) => line,
            Err(problem) => return Some(Err(problem)),
        };
        let mut cells = Vec::new();
        let mut size = text.len();
        let mut open = (self.split)(&text, &mut cells, false);
        while open {
            match self.lines.next() {
                Some(Ok((_, text))) if size <= LONGEST => {
                    size += text.len() + 1;
                    open = (self.split)(&text, &mut cells, true);
                }
                Some(Err(problem)) => return Some(Err(problem)),
                _ => return Some(Err(Problem::new(number, unclosed()))),
            }
        }
        Some(Ok((number, cells)))
    }

    fn row(&self, number: u64, cells: Vec<String>) -> Row {
        if self.header.is_empty() {
            let named =
                cells.into_iter().enumerate().map(|(i, cell)| ((i + 1).to_string(), Value::String(cell)));
            return Ok((number, named.collect()));
        }
        if cells.len() != self.header.len() {
            let s = if cells.len() == 1 { "" } else { "s" };
            let text =
                format!("the line has {} column{s}, the header has {}", cells.len(), self.header.len());
            return Err(Problem::new(number, Failure::input(text)));
        }
        let named = self.header.iter().cloned().zip(cells.into_iter().map(Value::String));
        Ok((number, named.collect()))
    }
}

/// The header cannot be read.
fn headless(name: &str, problem: Problem) -> Failure {
    let line = problem.line;
    match problem.into_failure() {
        Failure::Input(message) => {
            Failure::Input(Message { text: format!("{name}, line {line}: {}", message.text), ..message })
        }
        other => other,
    }
}

fn unclosed() -> Failure {
    Failure::input("a quoted cell begins here and does not end")
        .help("close the quote, or save the file as tsv, where quotes mean nothing")
}

impl Iterator for Table {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        Some(self.cells()?.and_then(|(number, cells)| self.row(number, cells)))
    }
}
