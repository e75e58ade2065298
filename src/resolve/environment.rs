//! The names and sizes that one body sees.

use super::value::Value;
use crate::{
    graph::ScopeId,
    types::{Dim, Symbol},
};
use std::collections::{BTreeMap, HashMap};

/// What a body that is being evaluated can see.
pub(super) struct Environment<'a> {
    pub values: HashMap<String, Value<'a>>,
    /// What the dims of the signature are in this call.
    pub dims: BTreeMap<Symbol, Dim>,
    /// The instance whose body it is; a function works in its caller's.
    pub scope: ScopeId,
    /// The module, function or model, for `in` of rules.
    pub written_in: String,
    /// The name that the value being computed will have.
    pub hint: Option<String>,
}

impl Environment<'_> {
    pub fn new(scope: ScopeId, written_in: &str) -> Self {
        Environment {
            values: HashMap::new(),
            dims: BTreeMap::new(),
            scope,
            written_in: written_in.to_owned(),
            hint: None,
        }
    }
}
