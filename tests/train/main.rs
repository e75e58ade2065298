//! `qdqc train` from outside: what it writes, how it goes on, what it refuses.

#![cfg(test)]

#[path = "../support/command_line.rs"]
mod command_line;
mod heads;
mod ranges;
mod refused;
mod resumed;
mod teacher;
mod written;

use candle_core::{Device, Tensor, safetensors};
use command_line::{Done, Qdqc, command};
use serde_json::Value;
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tiny");

/// A folder with records to learn from, in which commands are run.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let place = Place { folder: tempfile::tempdir().unwrap() };
        place.write("train.tsv", &films(40));
        place.write("dev.tsv", &films(10));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn command(&self, line: &str) -> Qdqc {
        command(&line.split_whitespace().collect::<Vec<_>>()).within(self.folder.path())
    }

    fn run(&self, line: &str) -> Done {
        self.command(line).done()
    }

    /// `qdqc train` of the tiny classifier with these arguments.
    fn train(&self, arguments: &str) -> Done {
        self.run(&format!("train {FILMS} {arguments}"))
    }

    /// The same, and its JSON document.
    fn json(&self, line: &str) -> Value {
        serde_json::from_str(&self.run(&format!("train {line} --json")).succeeded()).unwrap()
    }

    /// The lines of the log.
    fn log(&self, folder: &str) -> Vec<Value> {
        let text = fs::read_to_string(self.path(&format!("{folder}/metrics.jsonl"))).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn tensors(&self, folder: &str) -> HashMap<String, Tensor> {
        safetensors::load(self.path(&format!("{folder}/model.safetensors")), &Device::Cpu).unwrap()
    }

    /// The tiny checkpoint with some tensors changed, as a folder.
    fn checkpoint(&self, name: &str, change: impl FnOnce(&mut HashMap<String, Tensor>)) {
        let folder = self.path(name);
        fs::create_dir(&folder).unwrap();
        for file in ["config.json", "tokenizer_config.json", "vocab.txt"] {
            fs::copy(Path::new(TINY).join(file), folder.join(file)).unwrap();
        }
        let mut tensors = safetensors::load(Path::new(TINY).join("model.safetensors"), &Device::Cpu).unwrap();
        change(&mut tensors);
        safetensors::save(&tensors, folder.join("model.safetensors")).unwrap();
    }

    /// What is in a folder, but for hidden files.
    fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

trait Saying {
    /// It succeeded; its standard error.
    fn said(self) -> String;
}

impl Saying for Done {
    fn said(self) -> String {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self.stderr
    }
}

/// Texts whose label is told by one word.
fn films(count: usize) -> String {
    let words = [["good", "great", "love"], ["bad", "war", "dark"], ["book", "king", "city"]];
    let labels = ["positive", "negative", "neutral"];
    let line =
        |at: usize| format!("the {} of the year {at}\t{}\n", words[at % 3][at / 3 % 3], labels[at % 3]);
    "sentence\tlabel\n".to_owned() + &(0..count).map(line).collect::<String>()
}

/// The tiny classifier and the records for it.
const FILMS: &str =
    concat!("sequence-classification -c ", env!("CARGO_MANIFEST_DIR"), "/tests/tiny --input train.tsv");
