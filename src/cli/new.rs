//! `qdqc new`: a bundled spec as a file of one's own.

use super::{
    Stop, args,
    output::{self, Existing},
    screen::Screen,
};
use crate::{failure::Failure, specs};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Writes a copy of the bundled spec.
pub fn new(arguments: &args::New, screen: Screen) -> Result<ExitCode, Stop> {
    let name = arguments.name.strip_suffix(".qdq").unwrap_or(&arguments.name);
    let spec = specs::find(name).ok_or_else(|| unknown(name))?;
    let path = arguments.output.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.qdq")));
    if path == Path::new("-") {
        output::print(spec.text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let existing = if arguments.force { Existing::Replace } else { Existing::Refuse };
    output::write_file(&path, spec.text.as_bytes(), existing)?;
    screen.note(&format!("`{}` is yours to edit; `qdqc check {0}` finds mistakes in it", path.display()));
    Ok(ExitCode::SUCCESS)
}

fn unknown(name: &str) -> Failure {
    let text = format!("there is no bundled spec `{name}`");
    let text = match specs::suggest(name) {
        Some(near) => format!("{text}; did you mean `{near}`?"),
        None => text,
    };
    Failure::input(text).help("`qdqc list --all` lists them")
}
