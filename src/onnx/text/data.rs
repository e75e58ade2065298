//! The values of a tensor.

use super::words::{Quoted, list, pair};
use crate::onnx::proto::{
    TensorProto,
    tensor_proto::{DataLocation, DataType},
};
use std::{
    borrow::Cow,
    fmt::{self, Display},
};

/// The most values that are written where a tensor may be shortened.
const FEW: usize = 16;

/// The values of a tensor in braces, or where they are outside of the file.
///
/// The syntax has integers for the bits of 16-bit and 8-bit floats, and for each byte in
/// which several values of 4 or 2 bits are packed.
pub(super) struct Data<'a> {
    pub(super) tensor: &'a TensorProto,
    pub(super) whole: bool,
}

impl Display for Data<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let tensor = self.tensor;
        if tensor.data_location() == DataLocation::External {
            return write!(f, "[{}]", list(tensor.external_data.iter().map(pair)));
        }
        let kind = tensor.data_type.and_then(|code| DataType::try_from(code).ok());
        if kind == Some(DataType::String) {
            return self.strings(f);
        }
        let Some((kind, width)) = kind.and_then(|kind| Some((kind, width(kind)?))) else {
            return f.write_str("...");
        };
        match bytes(tensor, kind, width) {
            Some(bytes) if self.whole || bytes.len() / width <= FEW => numbers(f, kind, &bytes),
            Some(bytes) => shortened(f, crc32fast::hash(&bytes)),
            None => f.write_str("..."),
        }
    }
}

impl Data<'_> {
    fn strings(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let strings = &self.tensor.string_data;
        if self.whole || strings.len() <= FEW {
            return write!(f, "{{{}}}", list(strings.iter().map(|text| Quoted(text))));
        }
        let mut hasher = crc32fast::Hasher::new();
        strings.iter().for_each(|text| hasher.update(text));
        shortened(f, hasher.finalize())
    }
}

fn shortened(f: &mut fmt::Formatter, checksum: u32) -> fmt::Result {
    write!(f, "{{... crc32 {checksum:08x}}}")
}

/// How many bytes the smallest whole number of values takes, and no answer for strings and
/// for types that the syntax lacks.
fn width(kind: DataType) -> Option<usize> {
    use DataType::*;
    match kind {
        Undefined | String | Float6e2m3 | Float6e3m2 => None,
        Bool | Uint8 | Int8 | Uint4 | Int4 | Uint2 | Int2 | Float4e2m1 => Some(1),
        Float8e4m3fn | Float8e4m3fnuz | Float8e5m2 | Float8e5m2fnuz | Float8e8m0 => Some(1),
        Uint16 | Int16 | Float16 | Bfloat16 => Some(2),
        // A complex number is written as two real ones.
        Float | Uint32 | Int32 | Complex64 => Some(4),
        Double | Uint64 | Int64 | Complex128 => Some(8),
    }
}

/// The values as `raw_data` holds them, wherever the tensor does, and none where
/// `raw_data` ends within a value.
fn bytes(tensor: &TensorProto, kind: DataType, width: usize) -> Option<Cow<'_, [u8]>> {
    let raw = tensor.raw_data();
    if !raw.is_empty() {
        return raw.len().is_multiple_of(width).then_some(Cow::Borrowed(raw));
    }
    let bytes = match kind {
        DataType::Float | DataType::Complex64 => {
            tensor.float_data.iter().flat_map(|x| x.to_le_bytes()).collect()
        }
        DataType::Double | DataType::Complex128 => {
            tensor.double_data.iter().flat_map(|x| x.to_le_bytes()).collect()
        }
        DataType::Int64 => tensor.int64_data.iter().flat_map(|x| x.to_le_bytes()).collect(),
        DataType::Uint32 | DataType::Uint64 => {
            tensor.uint64_data.iter().flat_map(|x| x.to_le_bytes().into_iter().take(width)).collect()
        }
        _ => tensor.int32_data.iter().flat_map(|x| x.to_le_bytes().into_iter().take(width)).collect(),
    };
    Some(Cow::Owned(bytes))
}

/// Every value in the shortest form that reads back to the same bits.
fn numbers(f: &mut fmt::Formatter, kind: DataType, bytes: &[u8]) -> fmt::Result {
    match kind {
        DataType::Float | DataType::Complex64 => {
            each(f, bytes, |x| fmt::from_fn(move |f| write!(f, "{:?}", f32::from_le_bytes(x))))
        }
        DataType::Double | DataType::Complex128 => {
            each(f, bytes, |x| fmt::from_fn(move |f| write!(f, "{:?}", f64::from_le_bytes(x))))
        }
        DataType::Int8 => each(f, bytes, i8::from_le_bytes),
        DataType::Int16 => each(f, bytes, i16::from_le_bytes),
        DataType::Int32 => each(f, bytes, i32::from_le_bytes),
        DataType::Int64 => each(f, bytes, i64::from_le_bytes),
        DataType::Uint16 | DataType::Float16 | DataType::Bfloat16 => each(f, bytes, u16::from_le_bytes),
        DataType::Uint32 => each(f, bytes, u32::from_le_bytes),
        DataType::Uint64 => each(f, bytes, u64::from_le_bytes),
        _ => each(f, bytes, u8::from_le_bytes),
    }
}

fn each<const N: usize, T: Display>(
    f: &mut fmt::Formatter,
    bytes: &[u8],
    read: impl Fn([u8; N]) -> T + Copy,
) -> fmt::Result {
    write!(f, "{{{}}}", list(bytes.as_chunks().0.iter().map(move |value| read(*value))))
}
