//! The binary from outside: what it writes where, and how it exits.

#[path = "support/snapshot.rs"]
mod snapshot;

use snapshot::check;
use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

/// The binary, run in the package's folder with this input.
struct Qdqc {
    command: Command,
}

/// What it did.
struct Done {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn qdqc(arguments: &[&str]) -> Qdqc {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qdqc"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    command.env_remove("CLICOLOR_FORCE").env_remove("COLUMNS").env("HF_HUB_OFFLINE", "1");
    Qdqc { command }
}

impl Qdqc {
    fn within(mut self, folder: &Path) -> Qdqc {
        self.command.current_dir(folder);
        self
    }

    fn given(self, text: &str) -> Done {
        let mut file = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        let mut command = self.command;
        command.stdin(file);
        Qdqc { command }.done()
    }

    fn done(mut self) -> Done {
        let Output { status, stdout, stderr } = self.command.output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Done { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }
}

impl Done {
    /// It succeeded; its standard output.
    fn succeeded(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self.stdout
    }

    /// It failed with this code and no results; its standard error.
    fn failed(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        assert_eq!(self.stdout, "");
        self.stderr
    }
}

#[test]
fn help_is_as_reviewed() {
    check("cli", "help", &qdqc(&["--help"]).done().succeeded());
    for (command, case) in [
        ("list", "help-list"),
        ("new", "help-new"),
        ("check", "help-check"),
        ("fmt", "help-fmt"),
        ("show", "help-show"),
        ("explain", "help-explain"),
        ("run", "help-run"),
    ] {
        check("cli", case, &qdqc(&[command, "--help"]).done().succeeded());
    }
}

#[test]
fn wrong_usage_exits_with_2() {
    for arguments in [
        &["frobnicate"] as &[&str],
        &["list", "--nonsense"],
        &["run", "masked-lm"],
        &["run", "masked-lm", "-c", "tests/tiny"],
        &["run", "masked-lm", "-c", "tests/tiny", "--text", "a", "--input", "b"],
        &["run", "masked-lm", "-c", "tests/tiny", "--tensors", "a.safetensors"],
        &["run", "masked-lm", "-c", "tests/tiny", "--text", "a", "--batch", "0"],
        &["show", "masked-lm", "--json"],
    ] {
        let message = qdqc(arguments).done().failed(2);
        assert!(message.contains("try '--help'"), "{arguments:?}: {message}");
    }
}

#[test]
fn list_names_every_model_and_what_it_is() {
    let listed = qdqc(&["list"]).done().succeeded();
    let names: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();
    let models: Vec<&str> =
        qdqc::specs::ALL.iter().filter(|spec| spec.is_model()).map(|spec| spec.name).collect();
    assert_eq!(names, models);

    let document: serde_json::Value =
        serde_json::from_str(&qdqc(&["list", "--all", "--json"]).done().succeeded()).unwrap();
    assert_eq!(document.as_array().unwrap().len(), qdqc::specs::ALL.len());
    assert_eq!(document[0]["name"], qdqc::specs::ALL[0].name);
}

#[test]
fn new_hands_out_a_copy_and_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let new = |arguments: &[&str]| qdqc(arguments).within(folder.path()).done();
    let text = qdqc::specs::find("masked-lm").unwrap().text;

    new(&["new", "masked-lm"]).succeeded();
    let path = folder.path().join("masked-lm.qdq");
    assert_eq!(fs::read_to_string(&path).unwrap(), text);

    fs::write(&path, "# mine").unwrap();
    let message = new(&["new", "masked-lm"]).failed(2);
    assert!(message.contains("--force"), "{message}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "# mine");
    new(&["new", "masked-lm", "--force"]).succeeded();
    assert_eq!(fs::read_to_string(&path).unwrap(), text);

    assert_eq!(new(&["new", "masked-lm", "-o", "-"]).succeeded(), text);
    assert!(new(&["new", "masked-lm", "-o", "no/where.qdq"]).failed(2).contains("`no`"));
    assert!(new(&["new", "maskd-lm"]).failed(1).contains("did you mean `masked-lm`?"));
}

#[test]
fn a_spec_that_is_not_there_is_named() {
    for (argument, message) in [
        ("maskd-lm", "error: there is no file or bundled spec `maskd-lm`; did you mean `masked-lm`?\n"),
        ("nowhere/x.qdq", "error: there is no file `nowhere/x.qdq`\n"),
        ("specs", "error: `specs` is a folder, not a spec\n"),
        ("masked-lm.qdq", "error: there is no file `masked-lm.qdq`\n"),
    ] {
        for command in ["check", "show", "fmt"] {
            let said = qdqc(&[command, argument]).done();
            assert!(said.stderr.starts_with(message), "{command}: {}", said.stderr);
            assert_eq!(said.code, Some(1));
        }
    }
}

#[test]
fn color_is_for_those_who_want_it() {
    let colored = |arguments: &[&str]| qdqc(arguments).done().failed(1).contains('\u{1b}');
    assert!(!colored(&["new", "nothing"]));
    assert!(colored(&["new", "nothing", "--color", "always"]));
    assert!(!colored(&["new", "nothing", "--color", "never"]));
}

/// The reader of standard output goes away before anything is written.
#[test]
fn a_closed_pipe_is_no_failure() {
    let mut command = qdqc(&["list", "--all", "--json"]).command;
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert_eq!(output.status.code(), Some(0));
}
