//! An ONNX model in an installed ONNX Runtime, which is found when it is needed.
//!
//! qdqc is not linked with it: a Python interpreter that has the package runs a small script, and the two
//! talk through pipes. What they say is in the script.

use super::tensors;
use crate::failure::Failure;
use candle_core::Tensor;
use safetensors::SafeTensors;
use std::{
    collections::{BTreeMap, HashMap},
    env,
    ffi::{OsStr, OsString},
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

const SCRIPT: &str = include_str!("onnxruntime.py");

/// What to install where something is missing.
const INSTALL: &str = "install it with `python3 -m pip install onnxruntime numpy`, or name an interpreter that has it \
    with `--python` or QDQC_PYTHON";

/// Lines of the script's own messages that are repeated.
const LAST_LINES: usize = 8;

/// How to run a model.
#[derive(Clone, Debug)]
pub struct Setup<'a> {
    /// The interpreter; one is looked for where there is none.
    pub python: Option<&'a Path>,
    /// The folder that the model's external data lies in.
    pub folder: &'a Path,
    /// With ONNX Runtime's own optimization.
    pub optimize: bool,
    /// Processor threads; as many as there are cores where it is `None`.
    pub threads: Option<usize>,
}

/// A model, loaded. Its process ends with it.
#[derive(Debug)]
pub struct Runtime {
    /// The interpreter.
    python: OsString,
    child: Child,
    requests: Option<ChildStdin>,
    replies: ChildStdout,
    /// What the process says on standard error.
    log: File,
    /// Its name and version.
    pub name: String,
}

/// Metadata and tensors.
type Reply = (HashMap<String, String>, BTreeMap<String, Tensor>);

impl Runtime {
    /// Starts the interpreter and hands it the bytes of a model.
    ///
    /// # Errors
    /// There is no interpreter, it lacks a package, or the model cannot be loaded.
    pub fn start(model: &[u8], setup: &Setup<'_>) -> Result<Runtime, Failure> {
        let python = python(setup.python);
        let unready = |error: io::Error| Failure::outside(format!("ONNX Runtime cannot be started: {error}"));
        let log = tempfile::tempfile().map_err(unready)?;
        let mut child = Command::new(&python)
            .args([OsStr::new("-c"), OsStr::new(SCRIPT), setup.folder.as_os_str()])
            .args([u8::from(setup.optimize).to_string(), setup.threads.unwrap_or(0).to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log.try_clone().map_err(unready)?)
            .spawn()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => {
                    Failure::outside(format!("there is no Python interpreter `{}`", python.display()))
                        .help(INSTALL)
                }
                _ => Failure::outside(format!("`{}` cannot be started: {error}", python.display())),
            })?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (requests, replies) = pipes.ok_or_else(|| unready(io::ErrorKind::BrokenPipe.into()))?;
        let mut runtime =
            Runtime { python, child, requests: Some(requests), replies, log, name: String::new() };
        let (greeting, _) = runtime.ask(model)?;
        runtime.name = greeting.get("runtime").cloned().unwrap_or_default();
        Ok(runtime)
    }

    /// The outputs for named inputs.
    ///
    /// # Errors
    /// What ONNX Runtime says.
    pub fn call(&mut self, inputs: &BTreeMap<String, Tensor>) -> Result<BTreeMap<String, Tensor>, Failure> {
        let message = safetensors::serialize(inputs, None)
            .map_err(|error| Failure::outside(format!("the inputs cannot be handed over: {error}")))?;
        Ok(self.ask(&message)?.1)
    }

    /// What it says to a message: metadata and tensors.
    fn ask(&mut self, message: &[u8]) -> Result<Reply, Failure> {
        // One that ends before it has read everything says why in its reply.
        let _ = self.requests.as_mut().map(|pipe| send(pipe, message));
        let reply = receive(&mut self.replies).map_err(|_| self.ended())?;
        let metadata =
            SafeTensors::read_metadata(&reply).ok().and_then(|(_, header)| header.metadata().clone());
        let metadata = metadata.unwrap_or_default();
        if let Some(package) = metadata.get("missing") {
            let message = format!("`{}` has no package `{package}`", self.python.display());
            return Err(Failure::outside(message).help(INSTALL));
        }
        if let Some(reason) = metadata.get("failed") {
            return Err(Failure::input(format!("ONNX Runtime cannot run the model: {}", reason.trim())));
        }
        Ok((metadata, tensors::decode("the reply of ONNX Runtime", &reply)?))
    }

    /// Why there is no reply.
    fn ended(&mut self) -> Failure {
        let mut text = Vec::new();
        let read = self.log.seek(SeekFrom::Start(0)).and_then(|_| self.log.read_to_end(&mut text));
        let text = read.map_or_else(|_| String::new(), |_| String::from_utf8_lossy(&text).into_owned());
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or_default().join("\n");
        let python = self.python.display();
        match last.as_str() {
            "" => Failure::outside(format!("`{python}` ended without a word"))
                .help("is it a Python interpreter? name another with `--python` or QDQC_PYTHON"),
            last => Failure::outside(format!("`{python}` ended: {last}")),
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // It ends when there is nothing more to read; whether it did is no concern of the result.
        self.requests = None;
        let _ = self.child.wait();
    }
}

/// The interpreter: the one named, that of QDQC_PYTHON, or `python3`.
fn python(named: Option<&Path>) -> OsString {
    let from_environment = || env::var_os("QDQC_PYTHON").filter(|value| !value.is_empty());
    named
        .map(|path| path.as_os_str().to_owned())
        .or_else(from_environment)
        .unwrap_or_else(|| "python3".into())
}

fn send(pipe: &mut ChildStdin, message: &[u8]) -> io::Result<()> {
    pipe.write_all(&(message.len() as u64).to_le_bytes())?;
    pipe.write_all(message)?;
    pipe.flush()
}

fn receive(pipe: &mut ChildStdout) -> io::Result<Vec<u8>> {
    let mut length = [0; 8];
    pipe.read_exact(&mut length)?;
    let length = u64::from_le_bytes(length);
    let mut message = Vec::new();
    match pipe.take(length).read_to_end(&mut message)? as u64 {
        read if read == length => Ok(message),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}
