//! Specs in memory, with the bundled ones behind them.

use qdqc::{
    source::Library,
    specs::{BundledLibrary, beside},
};
use std::collections::BTreeMap;

/// Texts by name; `use` finds them before the bundled specs.
#[derive(Clone, Debug, Default)]
pub struct Texts(pub BTreeMap<String, String>);

impl Library for Texts {
    fn read(&self, from: &str, path: &str) -> Result<(String, String), String> {
        let name = beside(from, path);
        match self.0.get(&name) {
            Some(text) => Ok((name, text.clone())),
            None => BundledLibrary.read(from, path),
        }
    }
}
