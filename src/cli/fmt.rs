//! `qdqc fmt`: the one layout.

use super::{
    Stop, args,
    output::{self, Existing},
    screen::Screen,
    spec::{self, Spec},
};
use crate::{failure::Failure, source::Sources, syntax};
use std::{path::Path, process::ExitCode};

/// Lays out every file, or lists those that would change. A file with a mistake
/// is reported, and the others are done all the same.
pub fn fmt(arguments: &args::Fmt, screen: Screen) -> Result<ExitCode, Stop> {
    let mut code = 0;
    for argument in &arguments.specs {
        let done = if arguments.check { check(argument) } else { rewrite(argument) };
        code = code.max(match done {
            Ok(code) => code,
            Err(Stop::Failed(failure, sources)) => screen.failure(&failure, &sources),
            Err(Stop::Closed) => return Err(Stop::Closed),
        });
    }
    Ok(ExitCode::from(code))
}

/// Prints the name of a file that would change; the exit code says whether.
fn check(argument: &str) -> Result<u8, Stop> {
    let spec = spec::read(argument)?;
    if lay_out(&spec)? == spec.text {
        return Ok(0);
    }
    output::print(&format!("{}\n", spec.name))?;
    Ok(1)
}

fn rewrite(argument: &str) -> Result<u8, Stop> {
    let spec = spec::read(argument)?;
    if spec.is_bundled() {
        return Err(Failure::usage(format!("`{argument}` is a bundled spec, not a file to rewrite"))
            .help(format!("`qdqc new {argument}` makes a file of it; `./{argument}` is a file"))
            .into());
    }
    let laid_out = lay_out(&spec)?;
    if spec.is_stdin() {
        output::print(&laid_out)?;
    } else if laid_out != spec.text {
        output::write_file(Path::new(argument), laid_out.as_bytes(), Existing::Replace)?;
    }
    Ok(0)
}

fn lay_out(spec: &Spec) -> Result<String, Stop> {
    let mut sources = Sources::default();
    let file = sources.add(&spec.name, &spec.text);
    match syntax::parse(file, &spec.text) {
        Ok(tree) => Ok(syntax::print(&tree, &spec.text)),
        Err(problems) => Err(Stop::within(&sources)(Failure::Diagnostics(problems))),
    }
}
