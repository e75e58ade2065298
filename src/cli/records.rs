//! The records that a command reads from a file.

use super::args;
use crate::{
    failure::Failure,
    tasks::{Columns, Format, Records},
};
use std::path::Path;

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
