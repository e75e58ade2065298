//! What the user named: a bundled checkpoint, a folder, a file of weights, or a model on the hub.

use super::bundled::Bundled;
use crate::failure::{Failure, Message};
use std::path::{Path, PathBuf};

/// What a location names.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Location {
    /// A checkpoint that the binary carries.
    Bundled(&'static Bundled),
    /// A folder in HuggingFace's layout.
    Folder(PathBuf),
    /// A file of weights, or the index of its shards, beside its `config.json`.
    File(PathBuf),
    /// A model on the hub.
    Hub(HubId),
}

/// A model on the hub: `org/name` or `name`, and a branch, tag or commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HubId {
    pub(super) name: String,
    pub(super) revision: String,
}

impl Location {
    /// The bundled checkpoint with this name, or what is there under this path, or
    /// else the hub id it can be read as. `./NAME` is never a bundled one.
    pub(super) fn parse(text: &str) -> Result<Location, Failure> {
        if let Some(bundled) = Bundled::find(text) {
            return Ok(Location::Bundled(bundled));
        }
        let path = Path::new(text);
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Ok(Location::Folder(path.to_owned())),
            Ok(_) => Ok(Location::File(path.to_owned())),
            Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
                Err(Failure::outside(format!("{text} cannot be read: {error}")))
            }
            Err(_) => HubId::parse(text).map(Location::Hub).ok_or_else(|| {
                Failure::input(format!("there is no file or folder {text}")).help(
                    "give a HuggingFace folder, a file of weights beside its config.json, or a hub id \
                     `org/name[@revision]`",
                )
            }),
        }
    }
}

impl HubId {
    /// `None` where the hub could not have such a model.
    fn parse(text: &str) -> Option<HubId> {
        let (name, revision) = text.split_once('@').unwrap_or((text, "main"));
        let parts: Vec<&str> = name.split('/').collect();
        let fits = parts.len() <= 2 && parts.iter().all(|part| part.len() <= 96 && is_segment(part));
        let revision_fits = revision.len() <= 255 && revision.split('/').all(is_segment);
        (fits && revision_fits && !is_file_name(name))
            .then(|| HubId { name: name.to_owned(), revision: revision.to_owned() })
    }
}

/// One part of an id or revision: letters, digits, `-`, `_` and single dots
/// (`huggingface_hub`, `validate_repo_id`).
fn is_segment(part: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !part.is_empty()
        && part.chars().all(plain)
        && !part.starts_with(['-', '.'])
        && !part.ends_with(['-', '.'])
        && !part.contains("..")
}

fn is_file_name(name: &str) -> bool {
    let endings = [".safetensors", ".bin", ".pt", ".pth", ".json", ".onnx", ".qdq"];
    endings.iter().any(|ending| name.ends_with(ending))
}

impl std::fmt::Display for HubId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.revision.as_str() {
            "main" => f.write_str(&self.name),
            revision => write!(f, "{}@{revision}", self.name),
        }
    }
}

/// The same failure, with what was found on the disk said first.
pub(super) fn as_hub_id(location: &str, failure: Failure) -> Failure {
    let both = |message: Message| Message {
        text: format!("there is no folder {location}; as a hub id: {}", message.text),
        ..message
    };
    match failure {
        Failure::Input(message) => Failure::Input(both(message)),
        Failure::Usage(message) => Failure::Usage(both(message)),
        Failure::Outside(message) => Failure::Outside(both(message)),
        Failure::Diagnostics(list) => Failure::Diagnostics(list),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_what_the_hub_accepts() {
        for (text, name, revision) in [
            ("bert-base-uncased", "bert-base-uncased", "main"),
            ("org/name", "org/name", "main"),
            ("org/name@v1.0", "org/name", "v1.0"),
            ("org/name@refs/pr/3", "org/name", "refs/pr/3"),
        ] {
            let id = HubId::parse(text).unwrap();
            assert_eq!((id.name.as_str(), id.revision.as_str()), (name, revision));
        }
        for text in [
            "",
            "/tmp/x",
            "./x",
            "../x",
            "a/b/c",
            "a/",
            "a//b",
            "~/x",
            "a b",
            "a/b@",
            "a/b@../c",
            "a/b@c d",
            "org/..",
            "model.safetensors",
            "x/y.bin",
            "C:\\x",
            "name?",
        ] {
            assert_eq!(HubId::parse(text), None, "{text}");
        }
    }
}
