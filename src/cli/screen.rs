//! What a command says to the person at the terminal: standard error alone.

use super::args::ColorChoice;
use crate::{
    failure::{Failure, Message},
    report,
    source::Sources,
};
use clap::builder::styling::{AnsiColor, Style};
use std::{
    env,
    io::{self, IsTerminal, Write},
};

/// How standard error is written.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// With colors.
    pub color: bool,
    /// Someone is watching: progress may be redrawn in place.
    pub terminal: bool,
}

impl Screen {
    /// What the flag, the environment and the terminal ask for.
    pub fn new(choice: ColorChoice) -> Screen {
        let terminal = io::stderr().is_terminal();
        let color = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                let dumb = env::var_os("TERM").is_some_and(|value| value == "dumb");
                terminal && !unwanted && !dumb
            }
        };
        Screen { color, terminal }
    }

    /// Says why a command stopped: diagnostics as their report, anything else as
    /// `error: ...` and, where there is one, `help: ...`. Gives the exit code.
    pub fn failure(&self, failure: &Failure, sources: &Sources) -> u8 {
        match failure {
            Failure::Diagnostics(list) => self.write(&report::render(list, sources, self.color)),
            Failure::Input(message) | Failure::Usage(message) | Failure::Outside(message) => {
                self.message(message);
            }
        }
        failure.exit_code()
    }

    /// Something is wrong.
    pub fn error(&self, text: &str) {
        self.line("error", AnsiColor::Red, text);
    }

    /// Something worth knowing that stops nothing.
    pub fn note(&self, text: &str) {
        self.line("note", AnsiColor::Green, text);
    }

    /// Something that is probably not as meant.
    pub fn warning(&self, text: &str) {
        self.line("warning", AnsiColor::Yellow, text);
    }

    /// Text as it is.
    pub fn write(&self, text: &str) {
        // When standard error is gone, nobody can be told.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }

    fn message(&self, message: &Message) {
        self.error(&message.text);
        if let Some(help) = &message.help {
            self.line("help", AnsiColor::Cyan, help);
        }
    }

    fn line(&self, word: &str, color: AnsiColor, text: &str) {
        let style = if self.color { color.on_default().bold() } else { Style::new() };
        self.write(&format!("{style}{word}{style:#}: {text}\n"));
    }
}
