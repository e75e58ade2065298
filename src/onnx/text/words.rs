//! Names, quoted text, lists and types.

use crate::onnx::proto::{
    StringStringEntryProto, TensorShapeProto, TypeProto,
    tensor_proto::DataType,
    tensor_shape_proto::{Dimension, dimension},
    type_proto,
};
use std::fmt::{self, Display, Write};

/// Words with which types begin, besides those of elements.
const TYPES: [&str; 5] = ["seq", "map", "optional", "sparse_tensor", "opaque"];

/// A name: as it is where it is an identifier that cannot be taken for a type, else quoted.
pub(super) struct Name<'a>(pub(super) &'a str);

impl Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if is_type(self.0) { Quoted(self.0.as_bytes()).fmt(f) } else { Word(self.0).fmt(f) }
    }
}

/// A name where no type can stand: as it is where it is an identifier, else quoted.
pub(super) struct Word<'a>(pub(super) &'a str);

impl Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        if is_identifier(self.0) { f.write_str(self.0) } else { Quoted(self.0.as_bytes()).fmt(f) }
    }
}

/// Text in quotes. Line ends stand in it as they are: the syntax has no escape for them.
pub(super) struct Quoted<'a>(pub(super) &'a [u8]);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_char('"')?;
        for c in String::from_utf8_lossy(self.0).chars() {
            if matches!(c, '"' | '\\') {
                f.write_char('\\')?;
            }
            f.write_char(c)?;
        }
        f.write_char('"')
    }
}

/// `"key": "value"`.
pub(super) fn pair(entry: &StringStringEntryProto) -> String {
    format!("{}: {}", Quoted(entry.key().as_bytes()), Quoted(entry.value().as_bytes()))
}

/// Items with commas between them.
pub(super) fn list(items: impl Iterator<Item = impl Display> + Clone) -> impl Display {
    fmt::from_fn(move |f| {
        for (position, item) in items.clone().enumerate() {
            f.write_str(if position == 0 { "" } else { ", " })?;
            item.fmt(f)?;
        }
        Ok(())
    })
}

fn is_identifier(text: &str) -> bool {
    let mut letters = text.chars();
    letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Whether a type could begin with this word.
fn is_type(word: &str) -> bool {
    let capital = |c: char| c.is_ascii_uppercase();
    TYPES.contains(&word)
        || (!word.contains(capital) && DataType::from_str_name(&word.to_ascii_uppercase()).is_some())
}

/// `float[2, 3]`, or `float` of a scalar.
pub(super) fn sizes(data_type: Option<i32>, dims: &[i64]) -> String {
    let kind = element(data_type);
    if dims.is_empty() { kind } else { format!("{kind}[{}]", list(dims.iter())) }
}

/// The syntax's word for an element type, and `undefined`, which parsers refuse, for others.
fn element(data_type: Option<i32>) -> String {
    let kind = data_type.and_then(|code| DataType::try_from(code).ok()).unwrap_or(DataType::Undefined);
    kind.as_str_name().to_ascii_lowercase()
}

/// A type, and `undefined` for none.
pub(super) struct Type<'a>(pub(super) Option<&'a TypeProto>);

impl Display for Type<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        use type_proto::Value;
        match self.0.and_then(|kind| kind.value.as_ref()) {
            Some(Value::TensorType(tensor)) => array(f, tensor.elem_type, tensor.shape.as_ref()),
            Some(Value::SequenceType(sequence)) => write!(f, "seq({})", Type(sequence.elem_type.as_deref())),
            Some(Value::MapType(map)) => {
                write!(f, "map({}, {})", element(map.key_type), Type(map.value_type.as_deref()))
            }
            Some(Value::OptionalType(optional)) => {
                write!(f, "optional({})", Type(optional.elem_type.as_deref()))
            }
            Some(Value::SparseTensorType(sparse)) => {
                f.write_str("sparse_tensor(")?;
                array(f, sparse.elem_type, sparse.shape.as_ref())?;
                f.write_char(')')
            }
            Some(Value::OpaqueType(opaque)) => {
                let parts = [opaque.domain(), opaque.name()].into_iter().filter(|part| !part.is_empty());
                write!(f, "opaque({})", list(parts))
            }
            None => f.write_str("undefined"),
        }
    }
}

/// `float[batch, 8]`; `float` of a scalar, `float[]` where the rank is unknown.
fn array(f: &mut fmt::Formatter, data_type: Option<i32>, shape: Option<&TensorShapeProto>) -> fmt::Result {
    let kind = element(data_type);
    match shape {
        None => write!(f, "{kind}[]"),
        Some(shape) if shape.dim.is_empty() => f.write_str(&kind),
        Some(shape) => write!(f, "{kind}[{}]", list(shape.dim.iter().map(size))),
    }
}

fn size(size: &Dimension) -> String {
    match &size.value {
        Some(dimension::Value::DimValue(size)) => size.to_string(),
        Some(dimension::Value::DimParam(name)) => Word(name).to_string(),
        None => "?".to_owned(),
    }
}
