//! Gradients of parameters.

use crate::ops::kernels;
use candle_core::{Result, Tensor};
use std::collections::{BTreeMap, BTreeSet};

/// Gradients by state-dict path; every one is f32 on the device of its parameter.
#[derive(Debug, Default)]
pub struct Gradients {
    held: BTreeMap<String, Tensor>,
    frozen: BTreeSet<String>,
}

impl Gradients {
    /// That of a parameter.
    pub fn get(&self, path: &str) -> Option<&Tensor> {
        self.held.get(path)
    }

    /// All, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.held.iter().map(|(path, gradient)| (path.as_str(), gradient))
    }

    /// Puts one in, in place of another.
    pub fn insert(&mut self, path: String, gradient: Tensor) {
        self.held.insert(path, gradient);
    }

    /// Takes all out. What is frozen stays so.
    pub fn clear(&mut self) {
        self.held.clear();
    }

    /// Of these parameters no gradient is computed, from now on.
    pub fn freeze(&mut self, paths: BTreeSet<String>) {
        self.frozen = paths;
    }

    /// No gradient of the parameter is computed.
    pub(super) fn is_frozen(&self, path: &str) -> bool {
        self.frozen.contains(path)
    }

    /// Adds one to what there is of the same parameter.
    pub(super) fn add(&mut self, path: &str, gradient: Tensor) -> Result<()> {
        let gradient = match self.held.get(path) {
            Some(held) => kernels::add(held, &gradient)?,
            None => gradient,
        };
        self.held.insert(path.to_owned(), gradient);
        Ok(())
    }
}
