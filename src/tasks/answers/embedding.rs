//! `embedding(vector)`: a vector for a record.

use serde::Serialize;
use std::fmt;

/// A vector for a record.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Embedding(
    /// Its numbers, `[hidden_size]`.
    pub Vec<f32>,
);

impl fmt::Display for Embedding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, value) in self.0.iter().enumerate() {
            write!(f, "{}{value}", if index > 0 { " " } else { "" })?;
        }
        Ok(())
    }
}
