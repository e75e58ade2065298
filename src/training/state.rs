//! What a training run that was stopped goes on from.
//!
//! It lies beside the weights in the folder of the last checkpoint: `training.json` and
//! `training.safetensors`. The folder is [replaced whole](super::replace), and the state
//! holds checksums of the weights and of its own tensors, so that neither a kill nor a file
//! put there later makes weights and moments of different steps one run.

use crate::{
    checkpoint::{TensorFile, write_tensors},
    failure::Failure,
    files::{Existing, write_file},
};
use candle_core::{DType, Device, Tensor};
use crc32fast::Hasher;
use safetensors::Dtype;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read},
    path::Path,
};

/// The state of a run between two steps.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Steps done.
    pub step: u64,
    /// The epoch, from 0.
    pub epoch: u64,
    /// Batches of the epoch that were used.
    pub position: u64,
    /// The best score so far.
    pub best: Option<f64>,
    /// What chance starts from.
    pub seed: u64,
    /// All that decides what the run computes, by name: options, and checksums of data. A run
    /// goes on only where they are the same.
    pub options: BTreeMap<String, String>,
    /// Of the optimizer, as [`AdamW::state`](super::AdamW::state) gives it.
    pub optimizer: BTreeMap<String, Tensor>,
    /// Of what observes ranges.
    pub observer: BTreeMap<String, Tensor>,
}

const DESCRIPTION: &str = "training.json";
const TENSORS: &str = "training.safetensors";
const WEIGHTS: &str = "model.safetensors";

/// What the names of tensors begin with in the file.
const OWNERS: [&str; 2] = ["optimizer.", "observer."];

const VERSION: u32 = 1;

/// What an option's value begins with that is a checksum.
pub const CHECKSUM: &str = "crc32:";

/// A description longer than this is none.
const LONGEST: u64 = 1 << 24;

/// `training.json`
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    version: u32,
    step: u64,
    epoch: u64,
    position: u64,
    /// In words, which keep every bit.
    best: Option<String>,
    seed: u64,
    options: BTreeMap<String, String>,
    /// CRC-32 of files.
    weights: u32,
    tensors: u32,
}

impl State {
    /// Writes the state into a folder that has the weights already.
    ///
    /// # Errors
    /// There are no weights, or the disk or the device refuses.
    pub fn save(&self, folder: &Path) -> Result<(), Failure> {
        let mut tensors = BTreeMap::new();
        for (owner, own) in OWNERS.iter().zip([&self.optimizer, &self.observer]) {
            tensors.extend(own.iter().map(|(name, tensor)| (format!("{owner}{name}"), tensor.clone())));
        }
        write_tensors(&folder.join(TENSORS), &tensors)?;
        let description = Description {
            version: VERSION,
            step: self.step,
            epoch: self.epoch,
            position: self.position,
            best: self.best.map(|best| best.to_string()),
            seed: self.seed,
            options: self.options.clone(),
            weights: checksum(&folder.join(WEIGHTS))?,
            tensors: checksum(&folder.join(TENSORS))?,
        };
        let text = serde_json::to_string_pretty(&description)
            .map_err(|error| Failure::outside(format!("the state of training cannot be written: {error}")))?;
        write_file(&folder.join(DESCRIPTION), format!("{text}\n").as_bytes(), Existing::Replace)
    }

    /// Reads the state from the folder of a checkpoint.
    ///
    /// # Errors
    /// There is none, it is damaged or not of this version, or the weights beside it are not
    /// those that it was saved with.
    pub fn load(folder: &Path) -> Result<State, Failure> {
        let path = folder.join(DESCRIPTION);
        let damaged = |what: String| {
            Failure::input(format!("{} cannot be gone on from: {what}", folder.display()))
                .help("start anew in another folder: `-o DIR`")
        };
        let text = read(&path)?;
        let Version { version } = serde_json::from_str(&text)
            .map_err(|error| damaged(format!("{DESCRIPTION} is damaged: {error}")))?;
        if version != VERSION {
            return Err(damaged(format!(
                "{DESCRIPTION} has version {version}, and this qdqc reads version {VERSION}"
            )));
        }
        let description: Description = serde_json::from_str(&text)
            .map_err(|error| damaged(format!("{DESCRIPTION} is damaged: {error}")))?;
        for (name, expected) in [(WEIGHTS, description.weights), (TENSORS, description.tensors)] {
            if !folder.join(name).is_file() {
                return Err(damaged(format!("it has no {name}")));
            }
            if checksum(&folder.join(name))? != expected {
                return Err(damaged(format!("{name} is not the one that {DESCRIPTION} was written with")));
            }
        }
        let best = description.best.map(|best| {
            best.parse().map_err(|_| damaged(format!("{DESCRIPTION} is damaged: `{best}` is no number")))
        });
        let mut state = State {
            step: description.step,
            epoch: description.epoch,
            position: description.position,
            best: best.transpose()?,
            seed: description.seed,
            options: description.options,
            optimizer: BTreeMap::new(),
            observer: BTreeMap::new(),
        };
        for (name, tensor) in tensors(&TensorFile::open(&folder.join(TENSORS))?)? {
            let [optimizer, observer] = OWNERS.map(|owner| name.strip_prefix(owner));
            match (optimizer, observer) {
                (Some(name), _) => state.optimizer.insert(name.to_owned(), tensor),
                (_, Some(name)) => state.observer.insert(name.to_owned(), tensor),
                _ => return Err(damaged(format!("`{name}` in {TENSORS} belongs to nothing"))),
            };
        }
        Ok(state)
    }

    /// Refuses to go on with options or data that are not those of the run.
    ///
    /// # Errors
    /// They differ.
    pub fn expect(&self, options: &BTreeMap<String, String>) -> Result<(), Failure> {
        let told =
            |value: Option<&String>| value.map_or("not given".to_owned(), |value| format!("`{value}`"));
        let mut differences = Vec::new();
        for name in self.options.keys().chain(options.keys().filter(|name| !self.options.contains_key(*name)))
        {
            let (then, now) = (self.options.get(name), options.get(name));
            if then != now {
                // What changed in a checksum says nothing to anyone.
                let is_sum = |value: Option<&String>| value.is_some_and(|value| value.starts_with(CHECKSUM));
                differences.push(match is_sum(then) && is_sum(now) {
                    true => format!("{name} is not what it was"),
                    false => format!("{name} was {} and is {}", told(then), told(now)),
                });
            }
        }
        if differences.is_empty() {
            return Ok(());
        }
        Err(Failure::usage(format!("this is not the run that was stopped: {}", differences.join(", ")))
            .help("give the options and the data that it was started with, or start anew in another folder: `-o DIR`"))
    }
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

fn read(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST).read_to_string(&mut text));
    match read {
        Ok(_) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().unwrap_or(path).display();
            Err(Failure::input(format!("there is no run to go on with: {folder} has no {DESCRIPTION}"))
                .help("name the folder that it was written to with `-o`, or leave out `--resume`"))
        }
        Err(error) => Err(cannot_read(path, &error)),
    }
}

/// The tensors of a file, floats as f32 or f64 and counts as f64.
fn tensors(file: &TensorFile) -> Result<Vec<(String, Tensor)>, Failure> {
    let tensor = |(name, stored, _): (&str, Dtype, &[usize])| {
        let dtype = match stored {
            Dtype::F32 => DType::F32,
            Dtype::F64 | Dtype::I64 => DType::F64,
            other => {
                let file = file.name();
                return Err(Failure::input(format!("`{name}` in {file} has elements of type {other:?}")));
            }
        };
        Ok((name.to_owned(), file.read(name, &Device::Cpu, dtype)?))
    };
    file.names().map(tensor).collect()
}

/// CRC-32 of a file.
fn checksum(path: &Path) -> Result<u32, Failure> {
    let failed = |error: io::Error| cannot_read(path, &error);
    let mut file = File::open(path).map_err(failed)?;
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = file.read(&mut buffer).map_err(failed)?;
        match buffer.get(..count) {
            Some([]) | None => return Ok(hasher.finalize()),
            Some(bytes) => hasher.update(bytes),
        }
    }
}

fn cannot_read(path: &Path, error: &io::Error) -> Failure {
    Failure::outside(format!("`{}` cannot be read: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    fn state() -> State {
        let tensor = |numbers: &[f32]| Tensor::new(numbers, &Device::Cpu).unwrap();
        State {
            step: 7,
            epoch: 1,
            position: 3,
            best: Some(0.1 + 0.2),
            seed: u64::MAX,
            options: BTreeMap::from([("--batch".into(), "16".into()), ("data".into(), "1a2b".into())]),
            optimizer: BTreeMap::from([
                ("steps.a.b".into(), Tensor::new(7_i64, &Device::Cpu).unwrap()),
                ("first_moment.a.b".into(), tensor(&[0.1, -0.2])),
            ]),
            observer: BTreeMap::from([("a".into(), tensor(&[4.0]))]),
        }
    }

    fn saved() -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(WEIGHTS), "weights").unwrap();
        state().save(folder.path()).unwrap();
        folder
    }

    #[test]
    fn all_of_it_comes_back() {
        let (expected, state) = (state(), State::load(saved().path()).unwrap());
        assert_eq!((state.step, state.epoch, state.position), (7, 1, 3));
        assert_eq!((state.best, state.seed, &state.options), (expected.best, u64::MAX, &expected.options));
        assert_eq!(state.optimizer["steps.a.b"].to_scalar::<f64>().unwrap(), 7.0);
        assert_eq!(state.optimizer["first_moment.a.b"].to_vec1::<f32>().unwrap(), [0.1, -0.2]);
        assert_eq!(state.observer["a"].to_vec1::<f32>().unwrap(), [4.0]);
        assert_eq!((state.optimizer.len(), state.observer.len()), (2, 1));
    }

    #[test]
    fn what_differs_is_named() {
        let mut options = state().options;
        state().expect(&options).unwrap();
        options.insert("--batch".into(), "32".into());
        options.insert("--float".into(), "yes".into());
        options.remove("data");
        assert_eq!(
            state().expect(&options).unwrap_err().to_string(),
            "this is not the run that was stopped: --batch was `16` and is `32`, data was `1a2b` and is not given, \
             --float was not given and is `yes`"
        );
    }

    #[test]
    fn damage_is_refused() {
        let refused = |damage: &dyn Fn(&Path)| {
            let folder = saved();
            damage(folder.path());
            State::load(folder.path()).unwrap_err().to_string()
        };
        let edit = |from: &'static str, to: &'static str| {
            move |folder: &Path| {
                let text = fs::read_to_string(folder.join(DESCRIPTION)).unwrap();
                assert!(text.contains(from), "{text}");
                fs::write(folder.join(DESCRIPTION), text.replace(from, to)).unwrap();
            }
        };
        assert!(refused(&|folder| fs::write(folder.join(WEIGHTS), "others").unwrap()).contains(WEIGHTS));
        assert!(refused(&|folder| fs::write(folder.join(TENSORS), "").unwrap()).contains(TENSORS));
        assert!(refused(&|folder| fs::remove_file(folder.join(DESCRIPTION)).unwrap()).contains("no run"));
        assert!(refused(&edit("\"version\": 1", "\"version\": 2")).contains("version 2"));
        assert!(refused(&edit("\"step\": 7", "\"step\": -7")).contains("damaged"));
        assert!(refused(&edit("\"step\"", "\"stop\"")).contains("damaged"));
        assert!(refused(&edit("0.30000000000000004", "good")).contains("`good` is no number"));
        assert!(refused(&edit("{", "")).contains("damaged"));
    }
}
