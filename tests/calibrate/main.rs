//! `qdqc calibrate` from outside: what it writes, how it goes on, what it refuses.

#![cfg(test)]

#[path = "../support/command_line.rs"]
mod command_line;
mod observed;
mod ranges;
mod refused;
mod resumed;
mod written;

use candle_core::{DType, Device, Tensor, safetensors};
use command_line::{Done, Qdqc, command};
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tiny");

/// A folder with texts to calibrate on, in which commands are run.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let words = ["paris", "the king", "a good book", "london is great", "war and peace", "dog"];
        let texts: String = (0..14)
            .map(|at| format!("{} {} {}\n", words[at % 6], words[at * 5 % 6], words[at / 6]))
            .collect();
        fs::write(folder.path().join("texts.txt"), texts).unwrap();
        Place { folder }
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

    /// `qdqc calibrate` of the tiny encoder with these arguments.
    fn calibrate(&self, arguments: &str) -> Done {
        self.run(&format!("calibrate sentence-embedding -c {TINY} --batch 2 {arguments}"))
    }

    fn run(&self, line: &str) -> Done {
        command(&line.split_whitespace().collect::<Vec<_>>()).within(self.folder.path()).done()
    }

    /// What a calibration writes, whole.
    fn calibrated(&self, folder: &str) -> [Vec<u8>; 3] {
        ["statistics.safetensors", "model.safetensors", "calibration.ron"]
            .map(|name| self.bytes(&format!("{folder}/{name}")))
    }

    fn tensors(&self, name: &str) -> HashMap<String, Tensor> {
        safetensors::load(self.path(name), &Device::Cpu).unwrap()
    }

    fn amax(&self, folder: &str, quantizer: &str) -> Vec<f32> {
        let tensors = self.tensors(&format!("{folder}/model.safetensors"));
        let tensor = &tensors[&format!("bert.{quantizer}._amax")];
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    /// The tiny checkpoint with some tensors changed, as a folder.
    fn checkpoint(&self, name: &str, change: impl FnOnce(&mut HashMap<String, Tensor>)) {
        let folder = self.path(name);
        fs::create_dir(&folder).unwrap();
        for file in ["config.json", "tokenizer_config.json", "vocab.txt"] {
            fs::copy(Path::new(TINY).join(file), folder.join(file)).unwrap();
        }
        let weights = Path::new(TINY).join("model.safetensors");
        let mut tensors = safetensors::load(weights, &Device::Cpu).unwrap();
        change(&mut tensors);
        safetensors::save(&tensors, folder.join("model.safetensors")).unwrap();
    }
}

/// The spec of the tiny encoder with other quantizers.
fn recipe(rules: &str) -> String {
    format!("quantize mine {{\n{rules}\n}}\n")
}

/// Started, what it says kept for its end.
#[cfg(unix)]
fn start(mut qdqc: Qdqc) -> std::process::Child {
    use std::process::Stdio;
    qdqc.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

const QUERY: &str = "encoder.layer.0.attention.self.query._input_quantizer";
const GELU: &str = "encoder.layer.0.output.dense._input_quantizer";
