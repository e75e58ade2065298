//! `qdqc compare`: the same inputs through another runtime, and where the two part.

use super::{
    Stop, args,
    comparing::Comparing,
    model::{self, Named},
    other::Other,
    output,
    parted::Report,
    records,
    screen::Screen,
    tensors,
};
use crate::{
    failure::Failure,
    tasks::{Options, Records, run_records},
};
use std::process::ExitCode;

/// Runs both and says how far they are apart; exit code 1 if they do not agree.
pub fn compare(arguments: &args::Compare, screen: Screen) -> Result<ExitCode, Stop> {
    let mut session = model::open(Named::from(&arguments.model), &arguments.engine, screen)?;
    let sources = session.program().sources.clone();
    let within = Stop::within(&sources);
    let config = session.config().clone();
    let tokenizer = match &arguments.tensors {
        Some(_) => {
            session.prepare().map_err(&within)?;
            None
        }
        None => Some(model::prepare(&mut session, &config).map_err(&within)?),
    };
    model::show_notes(&mut session, screen);
    let mut comparing = Comparing::new(&mut session, Other::open(arguments)?, screen);
    match (&arguments.tensors, &tokenizer) {
        (Some(file), _) => _ = comparing.call(&tensors::read(file)?).map_err(&within)?,
        (None, Some((answers, tokenizer))) => {
            if answers.is_empty() {
                let message = format!("`{}` does not say how its outputs are read", arguments.model.spec);
                return Err(Failure::input(message)
                    .help("add an `answer` to its model, or compare on tensors with `--tensors`")
                    .into());
            }
            let records = records(arguments)?;
            let noun = records.noun();
            let records = records.take(arguments.max_samples.unwrap_or(usize::MAX));
            let mut sink =
                |result: Result<_, _>| result.map(|_| ()).map_err(|problem| records::placed(noun, problem));
            // Of a continuation, a step without earlier tokens and one with them.
            let usual = Options::default();
            let batch = arguments.engine.machine.batch.unwrap_or(usual.batch);
            let options = Options { batch, max_new_tokens: 2, ..usual };
            let done = run_records(records, tokenizer, &config, answers, &options, &mut comparing, &mut sink);
            done.map_err(|failure| within(comparing.reason(failure)))?;
        }
        (None, None) => {}
    }
    let report = Report::new(comparing.name(), &comparing.comparison, arguments.tolerance);
    if arguments.json {
        output::print_json(&report)?;
    } else {
        output::print(&report.text(arguments.all))?;
    }
    Ok(if report.agrees { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The texts of the command line, or the records of the file.
fn records(arguments: &args::Compare) -> Result<Records, Failure> {
    match &arguments.file {
        Some(file) => records::open(file, arguments.format, arguments.columns.as_deref()),
        None => Records::texts(arguments.text.clone(), arguments.text_pair.clone(), arguments.choice.clone()),
    }
}
