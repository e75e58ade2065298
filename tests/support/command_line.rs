//! The binary, run from outside.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

/// The binary with its arguments.
pub struct Qdqc {
    pub command: Command,
}

/// What it did.
pub struct Done {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// The binary, to be run in the package's folder without input.
pub fn command(arguments: &[&str]) -> Qdqc {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qdqc"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    command.env_remove("CLICOLOR_FORCE").env_remove("COLUMNS").env("HF_HUB_OFFLINE", "1");
    Qdqc { command }
}

impl Qdqc {
    /// In another folder.
    pub fn within(mut self, folder: &Path) -> Qdqc {
        self.command.current_dir(folder);
        self
    }

    /// Waits for its end.
    pub fn done(mut self) -> Done {
        let Output { status, stdout, stderr } = self.command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Done { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }
}

impl Done {
    /// It succeeded; its standard output.
    pub fn succeeded(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self.stdout
    }

    /// It failed with this code and no results; its standard error.
    pub fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        assert_eq!(self.stdout, "");
        self.stderr
    }
}
