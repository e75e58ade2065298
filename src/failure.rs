//! Why a command did not do what was asked, and the exit code that says so.

use crate::diagnostic::Diagnostics;
use std::fmt;

/// Why a command stopped.
#[derive(Debug)]
pub enum Failure {
    /// The spec, checkpoint or data is at fault (exit code 1), as diagnostics.
    Diagnostics(Diagnostics),
    /// The input is at fault (exit code 1).
    Input(Message),
    /// The command was not called right (exit code 2).
    Usage(Message),
    /// Disk, network or device failed (exit code 3).
    Outside(Message),
}

/// What happened, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// One sentence, lower case, without a full stop.
    pub text: String,
    /// An instruction.
    pub help: Option<String>,
}

impl Failure {
    /// The input is at fault.
    pub fn input(text: impl Into<String>) -> Failure {
        Failure::Input(Message { text: text.into(), help: None })
    }

    /// The command was not called right.
    pub fn usage(text: impl Into<String>) -> Failure {
        Failure::Usage(Message { text: text.into(), help: None })
    }

    /// Disk, network or device failed.
    pub fn outside(text: impl Into<String>) -> Failure {
        Failure::Outside(Message { text: text.into(), help: None })
    }

    /// The same with an instruction; diagnostics have their own.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Failure {
        let with = |message: Message, help: String| Message { help: Some(help), ..message };
        match self {
            Failure::Diagnostics(list) => Failure::Diagnostics(list),
            Failure::Input(message) => Failure::Input(with(message, help.into())),
            Failure::Usage(message) => Failure::Usage(with(message, help.into())),
            Failure::Outside(message) => Failure::Outside(with(message, help.into())),
        }
    }

    /// 1 the input is at fault, 2 wrong usage, 3 something outside failed.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Diagnostics(_) | Failure::Input(_) => 1,
            Failure::Usage(_) => 2,
            Failure::Outside(_) => 3,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Diagnostics(list) => {
                let messages: Vec<_> = list.iter().map(|d| format!("{}: {}", d.code.0, d.message)).collect();
                f.write_str(&messages.join("\n"))
            }
            Failure::Input(message) | Failure::Usage(message) | Failure::Outside(message) => {
                f.write_str(&message.text)
            }
        }
    }
}

impl std::error::Error for Failure {}
