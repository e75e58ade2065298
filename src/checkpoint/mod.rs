//! Checkpoints: a model's settings, tokenizer files and weights, from a
//! HuggingFace folder, a file of weights beside its config, the hub, or the binary.
//!
//! A location is resolved to a folder (`location`, `hub`, `bundled`); its weights are one
//! file or shards (`weights`); a file of either format gives a directory of names
//! and places without its data being read (`tensor_file`, `safetensors`, `torch`,
//! `pickle`); and the tensors that a spec wants are found by name, checked, and
//! converted one after the other (`load`), or drawn where training starts with new
//! ones (`fresh`). Everything a file says is bounded by
//! the file's own size, and nothing in it is executed.

mod bundled;
mod config_file;
mod decode;
mod fingerprint;
mod folder;
mod fresh;
mod hub;
mod load;
mod location;
mod mapped;
mod names;
mod packed;
mod pattern;
mod pickle;
mod problems;
mod progress;
mod safetensors;
mod save;
mod surplus;
mod table;
mod tensor_file;
mod torch;
mod trained;
mod weights;
mod write;

pub use bundled::Bundled;
pub use folder::Folder;
pub use fresh::Fresh;
pub use hub::HubOptions;
pub use load::{Loaded, Note, Wanted};
pub use names::is_range;
pub(crate) use packed::Matrices;
pub use pattern::{Pattern, chosen};
pub use progress::Progress;
pub use save::Range;
pub(crate) use table::{Table, Tables};
pub use tensor_file::{Stored, TensorFile};
pub use weights::Weights;
pub use write::write_tensors;

use crate::{config::Config, failure::Failure};
use hub::HubModel;
use location::Location;
use std::path::{Path, PathBuf};

/// Files that a tokenizer is made of, where a model has them. `vocab.txt` is
/// needed only without a `tokenizer.json`.
const TOKENIZER: [&str; 4] =
    ["tokenizer.json", "vocab.txt", "tokenizer_config.json", "special_tokens_map.json"];

/// A model's settings, tokenizer files and weights.
pub struct Checkpoint {
    /// The settings; lay overrides over them here.
    pub config: Config,
    /// What the user called it.
    location: String,
    folder: Folder,
    /// The file of weights that was named; `None` to look for one.
    file: Option<PathBuf>,
    /// Where files come from that are not in the folder yet.
    hub: Option<HubModel>,
    /// Files whose ranges are laid over, in the order given.
    overlays: Vec<TensorFile>,
}

impl Checkpoint {
    /// Opens a bundled checkpoint, a local HuggingFace folder, a file of weights (or
    /// the index of its shards) beside its `config.json`, or a hub id
    /// `org/name[@revision]`. From the hub it fetches `config.json` and the tokenizer's
    /// files, what is not in the cache; weights are fetched when they are loaded.
    ///
    /// # Errors
    /// There is no such folder, file or model, or its `config.json` is absent or
    /// cannot be read.
    pub fn open(location: &str, hub: &HubOptions) -> Result<Checkpoint, Failure> {
        let place = Location::parse(location)?;
        let (folder, file, model) = match place {
            Location::Bundled(bundled) => return Checkpoint::bundled(bundled),
            Location::Folder(folder) => (folder, None, None),
            Location::File(file) => (folder_of(&file), Some(file), None),
            Location::Hub(id) => {
                let model =
                    HubModel::open(id, hub).map_err(|failure| location::as_hub_id(location, failure))?;
                fetch_tokenizer(&model)?;
                (model.snapshot().to_owned(), None, Some(model))
            }
        };
        let config = folder.join("config.json");
        if !config.exists() {
            let needed = match &file {
                Some(file) => format!("beside {}", file.display()),
                None => format!("in {}", folder.display()),
            };
            return Err(Failure::input(format!("there is no config.json {needed}"))
                .help("a checkpoint is a folder with config.json and the model's weights, as `save_pretrained` writes it"));
        }
        let config = Config::load(&config)?;
        let (location, folder) = (location.to_owned(), Folder::OnDisk(folder));
        Ok(Checkpoint { config, location, folder, file, hub: model, overlays: Vec::new() })
    }

    /// Opens a checkpoint that the binary carries.
    ///
    /// # Errors
    /// It has no `config.json`, or one that cannot be read.
    pub fn bundled(bundled: &'static Bundled) -> Result<Checkpoint, Failure> {
        let folder = Folder::Bundled(bundled);
        let place = folder.place_of("config.json");
        let text = bundled.file("config.json").map(str::from_utf8);
        let text = text.and_then(Result::ok).ok_or_else(|| Failure::input(format!("{place} is no text")))?;
        let config = Config::parse(text, place).map_err(Failure::input)?;
        let location = bundled.name.to_owned();
        Ok(Checkpoint { config, location, folder, file: None, hub: None, overlays: Vec::new() })
    }

    /// The folder that holds its files: for a model of the hub, of the cache.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// A file of the checkpoint on the disk, such as `tokenizer.json`; `None` where it
    /// has none there.
    pub fn file(&self, name: &str) -> Option<PathBuf> {
        Some(self.folder.path()?.join(name)).filter(|path| path.is_file())
    }

    /// Lays the ranges (`_amax`) of a file over the checkpoint's. A later file's
    /// are laid over an earlier's.
    ///
    /// # Errors
    /// The file cannot be read, or holds no range.
    pub fn overlay(&mut self, path: &Path) -> Result<(), Failure> {
        let file = TensorFile::open(path)?;
        if !file.names().any(|(name, ..)| is_range(name)) {
            return Err(Failure::input(format!(
                "{} has no tensor whose name ends in `_amax`",
                path.display()
            ))
            .help("give a file that `qdqc calibrate` wrote, or a calibrated checkpoint's weights"));
        }
        self.overlays.push(file);
        Ok(())
    }

    /// Its weights are on the disk or in the binary, so that reading them fetches nothing.
    pub fn has_weights(&self) -> bool {
        matches!(self.folder, Folder::Bundled(_))
            || self.file.is_some()
            || weights::NAMES.iter().any(|name| self.file(name).is_some())
    }

    /// Opens the weights: names and shapes are read, data is not. From the hub
    /// they are fetched first.
    ///
    /// # Errors
    /// There are none, or a file is damaged.
    pub fn weights(&self) -> Result<Weights, Failure> {
        let path = match (&self.folder, &self.file) {
            (Folder::Bundled(bundled), _) => return Weights::bundled(bundled),
            (Folder::OnDisk(_), Some(file)) => file.clone(),
            (Folder::OnDisk(_), None) => self.find_weights()?,
        };
        Weights::open(&path, |shard| self.find(shard))
    }

    fn find(&self, name: &str) -> Result<Option<PathBuf>, Failure> {
        match (self.file(name), &self.hub) {
            (Some(path), _) => Ok(Some(path)),
            (None, Some(hub)) => hub.fetch(name),
            (None, None) => Ok(None),
        }
    }

    /// What is already on the disk comes before what would have to be fetched.
    fn find_weights(&self) -> Result<PathBuf, Failure> {
        if let Some(path) = weights::NAMES.iter().find_map(|name| self.file(name)) {
            return Ok(path);
        }
        for name in weights::NAMES {
            if let Some(path) = self.find(name)? {
                return Ok(path);
            }
        }
        Err(self.no_weights())
    }

    fn no_weights(&self) -> Failure {
        let names = weights::NAMES.join(", ");
        let failure = Failure::input(format!("{} has no weights: there is none of {names}", self.location));
        let Some(folder) = self.folder.path() else { return failure };
        match other_weights(folder) {
            Some(other)
                if other.ends_with(".safetensors") || other.ends_with(".bin") || other.ends_with(".pt") =>
            {
                failure
                    .help(format!("to load {other}, name the file itself: {}", folder.join(&other).display()))
            }
            Some(other) => failure.help(format!(
                "{other} holds weights of another framework: load it in HuggingFace and `save_pretrained` it"
            )),
            None => failure,
        }
    }
}

/// The tokenizer's files, as far as the model has them.
fn fetch_tokenizer(model: &HubModel) -> Result<(), Failure> {
    for name in TOKENIZER {
        if name != "vocab.txt" || model.cached("tokenizer.json").is_none() {
            model.fetch(name)?;
        }
    }
    Ok(())
}

/// The folder that a file is in.
fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// A file in the folder that may hold weights, though not under a name that is
/// looked for.
fn other_weights(folder: &Path) -> Option<String> {
    let endings = [".safetensors", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".ckpt.index"];
    let names =
        std::fs::read_dir(folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> =
        names.filter(|name| endings.iter().any(|ending| name.ends_with(ending))).collect();
    names.sort();
    names.into_iter().next()
}
