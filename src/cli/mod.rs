//! The command line: one file a command, and what they share.
//!
//! Results go to standard output, everything else to standard error. A command
//! gives its exit code, or a [`Stop`] that says why it did not get there.

pub mod args;
mod bench;
mod calibrate;
mod calibrated;
mod check;
mod checksum;
mod compare;
mod comparing;
mod eval;
mod explain;
mod export;
mod flow;
mod fmt;
pub mod interrupt;
mod lint;
mod list;
pub mod model;
mod model_files;
mod new;
mod other;
pub mod output;
mod pack;
mod parted;
pub mod progress;
mod question;
mod ranges;
pub mod records;
mod report;
mod run;
mod runtime;
pub mod screen;
mod sensitivity;
mod settings;
mod show;
mod sites;
pub mod spec;
mod table;
mod tensors;
mod train;
mod tree;

use crate::{backends::candle::keep_freed_memory, failure::Failure, source::Sources};
use args::{Arguments, Command};
use clap::Parser;
use screen::Screen;
use std::process::ExitCode;

/// Why a command ended early.
#[derive(Debug)]
pub enum Stop {
    /// Whoever read standard output has gone, as `head` does: no failure.
    Closed,
    /// It failed; the sources are those that its diagnostics point into.
    Failed(Failure, Box<Sources>),
}

impl Stop {
    /// A failure with diagnostics that point into these sources.
    pub fn within(sources: &Sources) -> impl Fn(Failure) -> Stop {
        |failure| Stop::Failed(failure, Box::new(sources.clone()))
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failed(failure, Box::default())
    }
}

/// Does what the command line asks for.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(message) => {
            // Help goes to standard output, mistakes to standard error; where
            // neither can be written there is nobody to tell.
            let _ = message.print();
            return ExitCode::from(u8::try_from(message.exit_code()).unwrap_or(2));
        }
    };
    keep_freed_memory();
    let screen = Screen::new(arguments.color);
    match dispatch(&arguments.command, screen) {
        Ok(code) => code,
        Err(Stop::Closed) => ExitCode::SUCCESS,
        Err(Stop::Failed(failure, sources)) => ExitCode::from(screen.failure(&failure, &sources)),
    }
}

fn dispatch(command: &Command, screen: Screen) -> Result<ExitCode, Stop> {
    match command {
        Command::List(arguments) => list::list(arguments),
        Command::New(arguments) => new::new(arguments, screen),
        Command::Check(arguments) => check::check(arguments, screen),
        Command::Fmt(arguments) => fmt::fmt(arguments, screen),
        Command::Show(arguments) => show::show(arguments, screen),
        Command::Explain(arguments) => explain::explain(arguments, screen),
        Command::Report(arguments) => report::report(arguments, screen),
        Command::Run(arguments) => run::run(arguments, screen),
        Command::Train(arguments) => train::train(arguments, screen),
        Command::Calibrate(arguments) => calibrate::calibrate(arguments, screen),
        Command::Sensitivity(arguments) => sensitivity::sensitivity(arguments, screen),
        Command::Export(arguments) => export::export(arguments, screen),
        Command::Eval(arguments) => eval::eval(arguments, screen),
        Command::Bench(arguments) => bench::bench(arguments, screen),
        Command::Pack(arguments) => pack::pack(arguments, screen),
        Command::Compare(arguments) => compare::compare(arguments, screen),
        Command::Lint(arguments) => lint::lint(arguments),
    }
}
