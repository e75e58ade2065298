//! What an expression is worth while compiling.

use crate::{
    graph::{NodeId, ScopeId},
    span::Span,
    syntax::ast,
    types::Dim,
};
use std::{collections::HashMap, ops::Deref, rc::Rc};

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
    List(Rc<Nested<Value<'a>>>),
    Record(Rc<Nested<(String, Value<'a>)>>),
    Tensor(NodeId),
    Instance(Rc<Instance<'a>>),
    Instances(Rc<Vec<Rc<Instance<'a>>>>),
    /// Stands for something already reported: whatever uses it says nothing.
    Poison,
}

/// The values in a list or record.
///
/// A loop can put a list into a list, twice, again and again: what has no bound
/// of its own is bounded here, so that whoever looks at every value, one inside
/// another, may recurse.
#[derive(Debug)]
pub(super) struct Nested<T> {
    items: Vec<T>,
    /// Lists and records one inside another, this one included.
    depth: usize,
    /// Values in it, and in those, all counted.
    size: usize,
}

/// Lists and records one inside another, at most.
const DEEPEST_VALUE: usize = 16;
/// Values in a list or record, and in those in it, at most.
const LARGEST_VALUE: usize = 100_000;

impl<T> Deref for Nested<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items
    }
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
    /// The instance in whose body it is placed.
    pub placed_in: ScopeId,
    /// The module, function or model in whose body it is placed, for `in` of rules.
    pub written_in: String,
    /// The instance's own scope; its parent is where it is placed.
    pub scope: ScopeId,
    pub settings: HashMap<String, Value<'a>>,
    /// Parameters that are other values.
    pub tied: HashMap<String, (NodeId, ast::Name)>,
}

impl<'a> Value<'a> {
    /// A list, poison where one of its values is; `None` where it holds too much.
    pub fn list(items: Vec<Value<'a>>) -> Option<Value<'a>> {
        if items.iter().any(Value::is_poison) {
            return Some(Value::Poison);
        }
        let (depth, size) = extent(items.iter())?;
        Some(Value::List(Rc::new(Nested { items, depth, size })))
    }

    /// A record; `None` where it holds too much.
    pub fn record(fields: Vec<(String, Value<'a>)>) -> Option<Value<'a>> {
        let (depth, size) = extent(fields.iter().map(|(_, value)| value))?;
        Some(Value::Record(Rc::new(Nested { items: fields, depth, size })))
    }

    /// How deep lists and records are nested in it, and how many values it is.
    fn extent(&self) -> (usize, usize) {
        match self {
            Value::List(items) => (items.depth, items.size + 1),
            Value::Record(fields) => (fields.depth, fields.size + 1),
            _ => (0, 1),
        }
    }

    /// How many values it is, those in lists and records counted.
    pub fn count(&self) -> usize {
        self.extent().1
    }

    /// Whether it is the same setting of a module.
    pub fn is_same_setting(&self, other: &Value<'a>) -> bool {
        match (self, other) {
            (Value::Int(x), Value::Int(y)) => x == y,
            (Value::Float(x), Value::Float(y)) => x == y,
            (Value::Bool(x), Value::Bool(y)) => x == y,
            (Value::Str(x), Value::Str(y)) => x == y,
            (Value::Dim(x), Value::Dim(y)) => x == y,
            (Value::None, Value::None) => true,
            _ => false,
        }
    }

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

    pub fn is_poison(&self) -> bool {
        matches!(self, Value::Poison)
    }
}

/// How deep values are nested together, and how many they are; `None` where that is too much.
fn extent<'v, 'a: 'v>(values: impl Iterator<Item = &'v Value<'a>>) -> Option<(usize, usize)> {
    let (depth, size) = values
        .map(Value::extent)
        .fold((0, 0_usize), |(depth, size), (inner, count)| (depth.max(inner), size.saturating_add(count)));
    (depth < DEEPEST_VALUE && size <= LARGEST_VALUE).then_some((depth + 1, size))
}
