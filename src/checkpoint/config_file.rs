//! `config.json` on disk.

use super::mapped::{file_name, reading};
use crate::{config::Config, failure::Failure};
use std::{fs::File, io::Read, path::Path};

/// Settings and indices are kilobytes. What is larger than this is another file,
/// and would take many times its size as JSON in memory.
const LARGEST: u64 = 8 << 20;

impl Config {
    /// Reads a `config.json`. Errors name the file, and line and column where the
    /// JSON breaks.
    pub fn load(path: &Path) -> Result<Config, Failure> {
        let text = text(path)?;
        Config::parse(&text, path.display().to_string()).map_err(Failure::input)
    }
}

/// A small text file.
pub(super) fn text(path: &Path) -> Result<String, Failure> {
    let file = File::open(path).map_err(|error| reading(path, &error))?;
    let mut text = String::new();
    file.take(LARGEST + 1).read_to_string(&mut text).map_err(|error| reading(path, &error))?;
    if text.len() as u64 > LARGEST {
        return Err(Failure::input(format!(
            "{} is larger than 8 MB, so it is not the JSON that its name says",
            file_name(path)
        )));
    }
    Ok(text)
}
