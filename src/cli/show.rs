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
    checkpoint::Checkpoint,
    compile::{self, Options, Program, Stage},
    failure::Failure,
    graph::{Graph, print},
    names::nearest,
    report,
    session::{Engine, Integers, Session},
    types::DType,
};
use candle_core::Device;
use std::process::ExitCode;

/// The stage before there is a graph.
const SYNTAX: &str = "syntax";

/// What engines make of the last stage, with a checkpoint's ranges.
const PLAN: &str = "plan";

/// Prints a stage, or the sites.
pub fn show(arguments: &args::Show, screen: Screen) -> Result<ExitCode, Stop> {
    let (config, checkpoint) = settings::given(&arguments.settings, screen)?;
    let spec = spec::read(&arguments.spec)?;
    let program = spec::load(&spec, arguments.settings.recipe.as_deref())?;
    if arguments.stage.as_deref() == Some(PLAN) {
        let checkpoint = checkpoint.map(|mut checkpoint| {
            checkpoint.config = config;
            checkpoint
        });
        return plan(arguments, program, checkpoint);
    }
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

/// Prints what runs in integers, and what does not.
fn plan(arguments: &args::Show, program: Program, checkpoint: Option<Checkpoint>) -> Result<ExitCode, Stop> {
    let Some(checkpoint) = checkpoint else {
        return Err(Failure::usage("the stage `plan` follows from the ranges of a checkpoint")
            .help("give a calibrated one with `-c`")
            .into());
    };
    let plain = arguments.form == Form::Text && !arguments.sites && arguments.outputs.is_empty();
    if !plain || arguments.float {
        return Err(Failure::usage("the stage `plan` is text, of the usual call with quantizers")
            .help("leave out `--as`, `--sites`, `--output` and `--float`")
            .into());
    }
    let engine =
        Engine { device: Device::Cpu, dtype: DType::F32, quantize: true, integers: Integers::WherePossible };
    let sources = program.sources.clone();
    let plan = Session::new(program, checkpoint, engine).plan().map_err(Stop::within(&sources))?;
    output::print(&plan)?;
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
    let known = || std::iter::once(SYNTAX).chain(stages.iter().map(|stage| stage.name)).chain([PLAN]);
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
