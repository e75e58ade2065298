//! What a command gives out on standard output.

use super::Stop;
use crate::failure::Failure;
use serde::Serialize;
use std::io::{self, Write};

pub use crate::files::{Existing, WholeFile, cannot_write, write_file};

/// Writes text to standard output.
pub fn print(text: &str) -> Result<(), Stop> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(stdout_failed)
}

/// Writes one JSON document to standard output, laid out for reading.
pub fn print_json(document: &impl Serialize) -> Result<(), Stop> {
    let mut stdout = io::stdout().lock();
    serde_json::to_writer_pretty(&mut stdout, document)
        .map_err(io::Error::from)
        .and_then(|()| writeln!(stdout))
        .map_err(stdout_failed)
}

/// Why standard output could not be written; a reader that has gone is no failure.
pub fn stdout_failed(error: io::Error) -> Stop {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Stop::Closed;
    }
    Failure::outside(format!("standard output cannot be written: {error}")).into()
}
