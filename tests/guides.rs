//! The guides in `docs/tasks/` do what they say: there is one for every bundled model, and its files, commands
//! and scripts are run in order, on a BERT with random weights that was trained for nothing yet.
//!
//! Scripts run where `QDQC_PYTHON` names a Python with onnxruntime, tokenizers and numpy.

#![cfg(test)]

use candle_core::{Device, safetensors};
use qdqc::specs;
use serde_json::{Map, Value};
use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A fenced block: what follows the opening fence, and the lines in it.
type Block<'a> = (&'a str, Vec<&'a str>);

fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        match line.strip_prefix("```") {
            Some(info) => {
                inside = !inside;
                if inside {
                    blocks.push((info, Vec::new()));
                }
            }
            None if inside => blocks.last_mut().unwrap().1.push(line),
            None => {}
        }
    }
    assert!(!inside, "a block has no end");
    blocks
}

/// The guide to each model.
fn guides() -> Vec<PathBuf> {
    let names = specs::ALL.iter().filter(|spec| spec.is_model()).map(|spec| spec.name);
    names.map(|name| Path::new(ROOT).join(format!("docs/tasks/{name}.md"))).collect()
}

/// The tiny checkpoint without what it has of tasks: ranges, heads and labels.
fn checkpoint(folder: &Path) {
    let tiny = Path::new(ROOT).join("tests/tiny");
    fs::create_dir(folder).unwrap();
    for file in ["tokenizer_config.json", "vocab.txt"] {
        fs::copy(tiny.join(file), folder.join(file)).unwrap();
    }
    let config: Map<String, Value> =
        serde_json::from_slice(&fs::read(tiny.join("config.json")).unwrap()).unwrap();
    let config: Map<String, Value> =
        config.into_iter().filter(|(field, _)| !field.contains("label")).collect();
    fs::write(folder.join("config.json"), Value::Object(config).to_string()).unwrap();
    let mut tensors = safetensors::load(tiny.join("model.safetensors"), &Device::Cpu).unwrap();
    tensors.retain(|name, _| {
        !name.ends_with("_amax") && !name.starts_with("classifier") && !name.starts_with("qa_outputs")
    });
    safetensors::save(&tensors, folder.join("model.safetensors")).unwrap();
}

/// Runs a line of a guide, or a script: its standard output, where it succeeds without a warning.
fn run(program: &OsStr, arguments: &[String], folder: &Path) -> String {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).env("HF_HUB_OFFLINE", "1");
    let done = command.output().unwrap();
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(done.status.success() && !said.contains("warning"), "{arguments:?}:\n{said}");
    String::from_utf8(done.stdout).unwrap()
}

/// Does what a guide says. Gives the scripts that it left out.
fn follow(page: &Path) -> usize {
    let text = fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
    let name = page.file_stem().unwrap().to_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    checkpoint(&folder.path().join("my-bert"));
    checkpoint(&folder.path().join("teacher"));
    let python = std::env::var_os("QDQC_PYTHON");
    let (mut commands, mut left_out) = (0, 0);
    for (info, lines) in blocks(&text) {
        let (language, file) = info.split_once(' ').unwrap_or((info, ""));
        if !file.is_empty() {
            fs::write(folder.path().join(file), lines.join("\n") + "\n").unwrap();
        }
        match (language, &python) {
            ("sh", _) => {
                for line in lines {
                    let words = words(line);
                    let [first, _, spec, ..] = words.as_slice() else { panic!("{name}: `{line}`") };
                    assert_eq!((first.as_str(), spec.as_str()), ("qdqc", name), "{line}");
                    run(env!("CARGO_BIN_EXE_qdqc").as_ref(), &words[1..], folder.path());
                    commands += 1;
                }
            }
            ("python", Some(python)) => {
                let answer = run(python, &[file.to_owned()], folder.path());
                assert!(!answer.trim().is_empty(), "{name}: {file} says nothing");
            }
            ("python", None) => left_out += 1,
            ("tsv" | "txt" | "conll" | "json" | "jsonl", _) => {}
            _ => panic!("{name}: a block of `{language}` is neither run nor written"),
        }
    }
    assert!(commands >= 5, "{name} has {commands} commands");
    left_out
}

/// Splits as a shell does, as far as guides need: double quotes and no escapes.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('"').enumerate() {
        match index % 2 {
            1 => words.push(part.to_owned()),
            _ => words.extend(part.split_whitespace().map(str::to_owned)),
        }
    }
    words
}

#[test]
fn every_guide_can_be_followed() {
    let left_out: usize = guides().iter().map(|page| follow(page)).sum();
    if left_out > 0 {
        eprintln!(
            "SKIPPED: {left_out} scripts, as QDQC_PYTHON names no Python with onnxruntime and tokenizers"
        );
    }
}

/// Every guide has the parts that a reader looks for, in one order.
#[test]
fn guides_are_alike() {
    for page in guides() {
        let text = fs::read_to_string(&page).unwrap();
        let parts: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
        let expected = ["Data", "Train", "Calibrate", "Evaluate", "Export and deploy"];
        assert_eq!(parts, expected, "{}", page.display());
    }
}

#[test]
fn the_index_is_complete() {
    let text = fs::read_to_string(Path::new(ROOT).join("docs/tasks/README.md")).unwrap();
    for page in guides() {
        let file = page.file_name().unwrap().to_str().unwrap();
        assert!(text.contains(&format!("]({file})")), "docs/tasks/README.md does not name {file}");
    }
}
