//! Specs in memory or in a folder, with the bundled ones behind them.

use qdqc::{
    source::Library,
    specs::{BundledLibrary, beside},
};
use std::{collections::BTreeMap, fs, path::Path};

/// Texts by name; `use` finds them before the bundled specs.
#[derive(Clone, Debug, Default)]
pub struct Texts(pub BTreeMap<String, String>);

impl Texts {
    /// Every spec of a folder, by its file name.
    pub fn of(folder: &Path) -> Texts {
        let named = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().unwrap();
            name.ends_with(".qdq").then(|| (name, fs::read_to_string(entry.path()).unwrap()))
        };
        Texts(fs::read_dir(folder).unwrap().filter_map(|entry| named(entry.unwrap())).collect())
    }
}

impl Library for Texts {
    fn read(&self, from: &str, path: &str) -> Result<(String, String), String> {
        let name = beside(from, path);
        match self.0.get(&name) {
            Some(text) => Ok((name, text.clone())),
            None => BundledLibrary.read(from, path),
        }
    }
}
