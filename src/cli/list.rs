//! `qdqc list`: the specs that come with the binary.

use super::{Stop, args, output};
use crate::specs::{self, Bundled};
use serde_json::json;
use std::process::ExitCode;

/// Prints a line for each spec: its name and what it is.
pub fn list(arguments: &args::List) -> Result<ExitCode, Stop> {
    let listed: Vec<&Bundled> = specs::ALL.iter().filter(|spec| arguments.all || spec.is_model()).collect();
    if arguments.json {
        let rows: Vec<_> =
            listed.iter().map(|spec| json!({ "name": spec.name, "title": spec.title() })).collect();
        output::print_json(&rows)?;
    } else {
        let width = listed.iter().map(|spec| spec.name.len()).max().unwrap_or(0);
        let rows: String =
            listed.iter().map(|spec| format!("{:width$}  {}\n", spec.name, spec.title())).collect();
        output::print(&rows)?;
    }
    Ok(ExitCode::SUCCESS)
}
