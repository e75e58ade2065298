//! The records that a command reads from a file.

use super::{args, interrupt};
use crate::{
    failure::{Failure, Message},
    tasks::{Columns, Format, Problem, Record, Records},
};
use std::path::Path;

/// Records, all read.
#[derive(Debug)]
pub struct Data {
    /// At least one, unless Ctrl-C came before it.
    pub records: Vec<Record>,
    /// Where they are from.
    pub file: RecordFile,
}

/// A file of records, as messages name it.
#[derive(Clone, Debug)]
pub struct RecordFile {
    name: String,
    /// What lines count: "line" or "question".
    pub noun: &'static str,
}

impl RecordFile {
    /// A problem as a failure that names its file and record, where it is about one.
    pub fn placed(&self, problem: Problem) -> Failure {
        match problem.line {
            0 => problem.into_failure(),
            line => self.at(line, problem.into_failure()),
        }
    }

    /// A failure that names its file and record; diagnostics name their own place.
    pub fn at(&self, line: u64, failure: Failure) -> Failure {
        before(&format!("{}, {} {line}: ", self.name, self.noun), failure)
    }
}

/// All records of a file, or the first so many. Ctrl-C ends the reading with those read so far.
///
/// # Errors
/// Those of [`open`], and the first record that cannot be read.
pub fn all(data: &args::Data) -> Result<Data, Failure> {
    let records = open(&data.input, data.format, data.columns.as_deref())?;
    let name = if data.input == "-" { "standard input".to_owned() } else { data.input.clone() };
    let file = RecordFile { name, noun: records.noun() };
    let wanted = records.take(data.max_samples.unwrap_or(usize::MAX));
    let read: Result<Vec<Record>, Problem> = wanted.take_while(|_| !interrupt::requested()).collect();
    let records = read.map_err(|problem| file.placed(problem))?;
    Ok(Data { records, file })
}

/// A problem as a failure that names its record, where it is about one.
pub fn placed(noun: &str, problem: Problem) -> Failure {
    match problem.line {
        0 => problem.into_failure(),
        line => at(noun, line, problem.into_failure()),
    }
}

/// A failure that names its record; diagnostics name their own place.
pub fn at(noun: &str, line: u64, failure: Failure) -> Failure {
    before(&format!("{noun} {line}: "), failure)
}

/// The failure with a text before its own.
fn before(prefix: &str, failure: Failure) -> Failure {
    let named = |message: Message| Message { text: format!("{prefix}{}", message.text), ..message };
    match failure {
        Failure::Diagnostics(list) => Failure::Diagnostics(list),
        Failure::Input(message) => Failure::Input(named(message)),
        Failure::Usage(message) => Failure::Usage(named(message)),
        Failure::Outside(message) => Failure::Outside(named(message)),
    }
}

/// The records of a file, `-` for standard input; `columns` as in `text=a,pair=b`.
///
/// # Errors
/// There is no such file, it cannot be read in this format, or it lacks a column.
pub fn open(file: &str, format: Option<args::Format>, columns: Option<&str>) -> Result<Records, Failure> {
    if file != "-" && !Path::new(file).exists() {
        return Err(Failure::input(format!("there is no file `{file}`")));
    }
    let columns = match columns {
        Some(columns) => columns.parse()?,
        None => Columns::default(),
    };
    let format = format.map(|format| match format {
        args::Format::Jsonl => Format::Jsonl,
        args::Format::Csv => Format::Csv,
        args::Format::Tsv => Format::Tsv,
        args::Format::Txt => Format::Txt,
        args::Format::Conll => Format::Conll,
        args::Format::Squad => Format::Squad,
    });
    Records::open(Path::new(file), format, columns)
}
