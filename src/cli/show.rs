//! `qdqc show`: any stage of the pipeline, and the table of quantizer sites.

use super::{
    Stop,
    args::{self, Form},
    output,
    ranges::Known,
    screen::Screen,
    settings, sites, spec, tree,
};
use crate::{
    compile::{self, Options, Stage},
    failure::Failure,
    graph::{Graph, print},
    names::nearest,
    report,
};
use std::process::ExitCode;

/// The stage before there is a graph.
const SYNTAX: &str = "syntax";

/// Prints a stage, or the sites.
pub fn show(arguments: &args::Show, screen: Screen) -> Result<ExitCode, Stop> {
    let (config, checkpoint) = settings::given(&arguments.settings, screen)?;
    let spec = spec::read(&arguments.spec)?;
    let program = spec::load(&spec, arguments.settings.recipe.as_deref())?;
    let within = Stop::within(&program.sources);
    if arguments.stage.as_deref() == Some(SYNTAX) {
        // The spec's own file is the first; what it uses follows.
        if let Some((tree, (_, source))) = program.files.iter().zip(program.sources.iter()).next() {
            output::print(&tree::written(tree, &source.text, arguments.form)?)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let options =
        Options { config, outputs: arguments.outputs.iter().cloned().collect(), ..Options::default() };
    let (stages, problems) = compile::stages(&program, &options, !arguments.float);
    if problems.has_errors() {
        return Err(within(Failure::Diagnostics(problems)));
    }
    screen.write(&report::render(&problems, &program.sources, screen.color));
    let stage = choose(stages, arguments.stage.as_deref(), arguments.float)?;
    if !arguments.sites {
        output::print(&written(&stage.graph, arguments.form)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = sites::rows(&stage.graph, &program.sources);
    if let Some(checkpoint) = &checkpoint {
        sites::add_ranges(&mut rows, &Known::read(checkpoint, &stage.graph).map_err(&within)?);
    }
    match arguments.json {
        true => output::print_json(&rows)?,
        false => output::print(&sites::table(&rows))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The stage with this name, or the last.
fn choose(mut stages: Vec<Stage>, name: Option<&str>, float: bool) -> Result<Stage, Failure> {
    let found = match name {
        None => stages.pop(),
        Some(name) => {
            stages.iter().position(|stage| stage.name == name).map(|index| stages.swap_remove(index))
        }
    };
    found.ok_or_else(|| unknown(name.unwrap_or_default(), &stages, float))
}

fn unknown(name: &str, stages: &[Stage], float: bool) -> Failure {
    let text = format!("there is no stage `{name}`{}", if float { " with `--float`" } else { "" });
    let known = || std::iter::once(SYNTAX).chain(stages.iter().map(|stage| stage.name));
    let text = match nearest(name, known()) {
        Some(near) => format!("{text}; did you mean `{near}`?"),
        None => text,
    };
    Failure::usage(text).help(format!("the stages are {}", crate::names::list_of(known())))
}

fn written(graph: &Graph, form: Form) -> Result<String, Failure> {
    match form {
        Form::Text => Ok(print::text(graph)),
        Form::Dot => Ok(print::dot(graph)),
        Form::Ron => match print::ron(graph) {
            Ok(text) => Ok(text + "\n"),
            Err(error) => Err(Failure::outside(format!("the graph cannot be written as RON: {error}"))),
        },
    }
}
