//! What an expression is worth while compiling.

use crate::{
    graph::{NodeId, ScopeId},
    span::Span,
    syntax::ast,
    types::Dim,
};
use std::{collections::HashMap, rc::Rc};

/// A value while compiling. Only tensors are left when the model runs.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Int(i64),
    Float(f64),
    Bool(bool),
    Str(Rc<str>),
    /// An absent optional value.
    None,
    /// A size that is bound when the model runs.
    Dim(Dim),
    List(Rc<Vec<Value<'a>>>),
    Record(Rc<Vec<(String, Value<'a>)>>),
    Tensor(NodeId),
    Instance(Rc<Instance<'a>>),
    Instances(Rc<Vec<Rc<Instance<'a>>>>),
    /// Stands for something already reported: whatever uses it says nothing.
    Poison,
}

/// A module placed at a state-dict path.
#[derive(Debug)]
pub(super) struct Instance<'a> {
    pub module: &'a ast::Module,
    pub path: String,
    /// The submodule's name, without the index of a repetition.
    pub name: String,
    /// Where it is placed.
    pub placed: Span,
    /// The instance's own scope; its parent is where it is placed.
    pub scope: ScopeId,
    pub settings: HashMap<String, Value<'a>>,
    /// Parameters that are other values.
    pub tied: HashMap<String, (NodeId, ast::Name)>,
}

impl Value<'_> {
    /// A size as a value: known ones are integers.
    pub fn size(dim: Dim) -> Self {
        dim.as_known().map_or(Value::Dim(dim), Value::Int)
    }

    /// The value as a size.
    pub fn as_dim(&self) -> Option<Dim> {
        match self {
            Value::Int(size) => Some(Dim::known(*size)),
            Value::Dim(dim) => Some(dim.clone()),
            _ => None,
        }
    }

    /// The value as a number known when compiling.
    pub fn as_number(&self) -> Option<f64> {
        match self {
            Value::Int(number) => Some(*number as f64),
            Value::Float(number) => Some(*number),
            _ => None,
        }
    }

    /// What kind of value it is, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Int(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::Bool(_) => "true or false",
            Value::Str(_) => "a string",
            Value::None => "none",
            Value::Dim(_) => "a size",
            Value::List(_) => "a list",
            Value::Record(_) => "a record",
            Value::Tensor(_) => "a tensor",
            Value::Instance(_) => "a submodule",
            Value::Instances(_) => "a row of submodules",
            Value::Poison => "a value with an error",
        }
    }

    /// The value as text, for `require` messages.
    pub fn text(&self) -> String {
        match self {
            Value::Int(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Bool(truth) => truth.to_string(),
            Value::Str(text) => text.to_string(),
            Value::None => "none".into(),
            Value::Dim(dim) => dim.to_string(),
            other => other.kind().into(),
        }
    }

    /// Poison itself, or a list with poison in it.
    pub fn has_poison(&self) -> bool {
        match self {
            Value::List(items) => items.iter().any(Value::has_poison),
            other => other.is_poison(),
        }
    }

    pub fn is_poison(&self) -> bool {
        matches!(self, Value::Poison)
    }
}
