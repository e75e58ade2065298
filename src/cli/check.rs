//! `qdqc check`: every problem in specs.

use super::{Stop, args, output, screen::Screen, settings, spec};
use crate::{
    compile::{self, Options},
    diagnostic::Diagnostics,
    report,
    source::Sources,
};
use serde_json::json;
use std::{path::Path, process::ExitCode};

/// Reports the problems of every spec; the exit code is 1 where one is an error.
pub fn check(arguments: &args::Check, screen: Screen) -> Result<ExitCode, Stop> {
    let options = Options { config: settings::config(&arguments.settings, screen)?, ..Options::default() };
    let mut code = 0;
    let mut documents = Vec::new();
    for argument in &arguments.specs {
        match problems(argument, &options, arguments.settings.recipe.as_deref()) {
            Ok((problems, sources)) => {
                code = code.max(u8::from(problems.has_errors()));
                if arguments.json {
                    documents
                        .push(json!({ "spec": argument, "problems": report::to_json(&problems, &sources) }));
                } else {
                    screen.write(&report::render(&problems, &sources, screen.color));
                    if problems.is_empty() {
                        screen.note(&format!("{argument}: no problems"));
                    }
                }
            }
            Err(Stop::Failed(failure, sources)) => code = code.max(screen.failure(&failure, &sources)),
            Err(Stop::Closed) => return Err(Stop::Closed),
        }
    }
    if arguments.json {
        output::print_json(&documents)?;
    }
    Ok(ExitCode::from(code))
}

/// Everything that the compiler finds in a spec.
fn problems(
    argument: &str,
    options: &Options,
    recipe: Option<&Path>,
) -> Result<(Diagnostics, Sources), Stop> {
    let spec = spec::read(argument)?;
    let (mut program, mut problems) = compile::load(&spec.name, &spec.text, &spec::DiskLibrary);
    if let Some(recipe) = recipe.filter(|_| !problems.has_errors()) {
        spec::lay_over(&mut program, recipe)?;
    }
    if !problems.has_errors() {
        problems.extend(compile::check(&program, options));
    }
    Ok((problems, program.sources))
}
