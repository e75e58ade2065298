//! The bytes of an ONNX file as its messages.
//!
//! Weights that lie in other files are not asked for. What the bytes say of themselves is
//! checked before anything is made of it: a file that is cut off, or that would take far more
//! memory than its size, is refused.

use super::proto::{
    AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, SparseTensorProto,
    StringStringEntryProto, TensorAnnotation, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
    tensor_shape_proto::Dimension, type_proto,
};
use crate::failure::Failure;
use prost::{
    Message,
    encoding::{WireType, decode_key, decode_varint},
};
use std::mem::size_of;

/// The model in a file's bytes; `name` is the file's, for messages.
pub(crate) fn read(bytes: &[u8], name: &str) -> Result<ModelProto, Failure> {
    if bytes.is_empty() {
        return Err(Failure::input(format!("{name} is empty")).help(ANOTHER_FILE));
    }
    if is_text(bytes) {
        return Err(Failure::input(format!("{name} is text, not an ONNX model")).help(
            "name the .onnx file; one that Git LFS keeps is such a text until `git lfs pull` fetches it",
        ));
    }
    Walk { memory: 0 }.message(bytes, Kind::Model, 0).map_err(|fault| refused(&fault, name))?;
    let model = ModelProto::decode(bytes).map_err(|error| {
        Failure::input(format!("{name} is not an ONNX model, or damaged: {error}")).help(ANOTHER_FILE)
    })?;
    match model.graph {
        Some(_) => Ok(model),
        None => {
            Err(Failure::input(format!("{name} is not an ONNX model: it has no graph")).help(ANOTHER_FILE))
        }
    }
}

const ANOTHER_FILE: &str = "name an .onnx file, as `qdqc export` and `torch.onnx.export` write it";

/// Bytes looked at to tell text.
const BEGINNING: usize = 512;

/// No message of ONNX begins with only what can be printed: `ir_version`, the first field, has a
/// control character for its key, and every other begins with a length.
fn is_text(bytes: &[u8]) -> bool {
    let beginning = bytes.get(..BEGINNING).unwrap_or(bytes);
    beginning.iter().all(|byte| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80..))
}

/// Why bytes are not read.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    /// They are laid out as no message is.
    Foreign,
    /// A field says that it is longer than what is there.
    Cut { says: u64, is: usize },
    /// It would take more memory than [`MOST_MEMORY`] beside its numbers.
    Large,
    /// Messages are nested deeper than [`DEEPEST`].
    Deep,
}

fn refused(fault: &Fault, name: &str) -> Failure {
    let text = match fault {
        Fault::Foreign => format!("{name} is not an ONNX model"),
        Fault::Cut { says, is } => {
            return Failure::input(format!(
                "{name} is cut off or damaged: a part of {says} bytes has only {is} left"
            ))
            .help("copy or export the file again");
        }
        Fault::Large => format!("{name} has more nodes and attributes than any model needs"),
        Fault::Deep => format!("{name} has graphs nested deeper than {DEEPEST} messages"),
    };
    Failure::input(text).help(ANOTHER_FILE)
}

/// Bytes that the messages of a file may take, beside its numbers and names.
const MOST_MEMORY: usize = 1 << 30;

/// Messages that may lie one in another; decoding stops at as many.
const DEEPEST: usize = 100;

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Model,
    Graph,
    Node,
    Attribute,
    Tensor,
    Sparse,
    Value,
    Type,
    TensorType,
    Shape,
    Function,
    Annotation,
    /// A message of names alone, of at most this many bytes.
    Leaf(usize),
    /// A name, or numbers.
    Bytes,
}

impl Kind {
    /// What a field of this message holds, by its number (`onnx.proto`).
    fn field(self, number: u32) -> Kind {
        let entry = Kind::Leaf(size_of::<StringStringEntryProto>());
        let opset = Kind::Leaf(size_of::<OperatorSetIdProto>());
        match (self, number) {
            (Kind::Model, 7) | (Kind::Attribute, 6 | 11) => Kind::Graph,
            (Kind::Model, 25) => Kind::Function,
            (Kind::Model, 8) | (Kind::Function, 9) => opset,
            (Kind::Graph, 1) | (Kind::Function, 7) => Kind::Node,
            (Kind::Graph, 5) | (Kind::Attribute, 5 | 10) | (Kind::Sparse, 1 | 2) => Kind::Tensor,
            (Kind::Graph, 11..=13) | (Kind::Function, 12) => Kind::Value,
            (Kind::Graph, 14) => Kind::Annotation,
            (Kind::Graph, 15) | (Kind::Attribute, 22 | 23) => Kind::Sparse,
            (Kind::Node, 5) | (Kind::Function, 11) => Kind::Attribute,
            (Kind::Attribute, 14 | 15) | (Kind::Value, 2) => Kind::Type,
            (Kind::Type, 1 | 4 | 5 | 7 | 8 | 9) => Kind::TensorType,
            // Sequences and maps hold a type where tensors hold a shape: both are looked into.
            (Kind::TensorType, 1) => Kind::Type,
            (Kind::TensorType, 2) => Kind::Shape,
            (Kind::Shape, 1) => Kind::Leaf(size_of::<Dimension>()),
            (Kind::Model | Kind::Function, 14)
            | (Kind::Graph | Kind::Tensor, 16)
            | (Kind::Node, 9)
            | (Kind::Value, 4)
            | (Kind::Tensor, 13)
            | (Kind::Annotation, 2) => entry,
            _ => Kind::Bytes,
        }
    }

    /// What one of it takes in memory.
    fn size(self) -> usize {
        match self {
            Kind::Model => size_of::<ModelProto>(),
            Kind::Graph => size_of::<GraphProto>(),
            Kind::Node => size_of::<NodeProto>(),
            Kind::Attribute => size_of::<AttributeProto>(),
            Kind::Tensor => size_of::<TensorProto>(),
            Kind::Sparse => size_of::<SparseTensorProto>(),
            Kind::Value => size_of::<ValueInfoProto>(),
            Kind::Type => size_of::<TypeProto>(),
            Kind::TensorType => size_of::<type_proto::Tensor>(),
            Kind::Shape => size_of::<TensorShapeProto>(),
            Kind::Function => size_of::<FunctionProto>(),
            Kind::Annotation => size_of::<TensorAnnotation>(),
            Kind::Leaf(size) => size,
            Kind::Bytes => size_of::<String>(),
        }
    }
}

/// Goes through the messages of a file without making them.
struct Walk {
    memory: usize,
}

impl Walk {
    fn message(&mut self, mut rest: &[u8], kind: Kind, depth: usize) -> Result<(), Fault> {
        if depth > DEEPEST {
            return Err(Fault::Deep);
        }
        while !rest.is_empty() {
            let (number, wire) = decode_key(&mut rest).map_err(|_| Fault::Foreign)?;
            let length = match wire {
                WireType::Varint => {
                    decode_varint(&mut rest).map_err(|_| Fault::Foreign)?;
                    continue;
                }
                WireType::ThirtyTwoBit => 4,
                WireType::SixtyFourBit => 8,
                WireType::LengthDelimited => decode_varint(&mut rest).map_err(|_| Fault::Foreign)?,
                WireType::StartGroup | WireType::EndGroup => return Err(Fault::Foreign),
            };
            let cut = Fault::Cut { says: length, is: rest.len() };
            let split = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
            let Some((field, after)) = split else {
                return Err(if depth == 0 && number > 25 { Fault::Foreign } else { cut });
            };
            rest = after;
            if wire == WireType::LengthDelimited {
                let held = kind.field(number);
                self.memory = self.memory.saturating_add(held.size());
                if self.memory > MOST_MEMORY {
                    return Err(Fault::Large);
                }
                if !matches!(held, Kind::Bytes | Kind::Leaf(_)) {
                    self.message(field, held, depth + 1)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> Vec<u8> {
        let node =
            NodeProto { op_type: Some("Relu".into()), input: vec!["x".into()], ..NodeProto::default() };
        let graph = GraphProto { name: Some("graph".into()), node: vec![node; 3], ..GraphProto::default() };
        ModelProto { ir_version: Some(8), graph: Some(graph), ..ModelProto::default() }.encode_to_vec()
    }

    fn said(bytes: &[u8]) -> String {
        read(bytes, "m.onnx").unwrap_err().to_string()
    }

    #[test]
    fn a_model_is_read() {
        assert_eq!(read(&model(), "m.onnx").unwrap().graph.unwrap().node.len(), 3);
    }

    #[test]
    fn what_is_no_model_is_told_apart() {
        assert_eq!(said(b""), "m.onnx is empty");
        assert_eq!(
            said(b"version https://git-lfs.github.com/spec/v1\n"),
            "m.onnx is text, not an ONNX model"
        );
        assert_eq!(said(b"{\"a\": 1}"), "m.onnx is text, not an ONNX model");
        assert_eq!(said(b"PK\x03\x04\x14\x00\x00\x00"), "m.onnx is not an ONNX model");
        assert_eq!(said(b"\x08\x08"), "m.onnx is not an ONNX model: it has no graph");
    }

    /// Every beginning of a model is refused, or is a model with less in it.
    #[test]
    fn a_file_that_is_cut_off_says_so() {
        let whole = model();
        for end in 3..whole.len() {
            let message = said(&whole[..end]);
            assert!(message.contains("cut off") || message.contains("not an ONNX model"), "{end}: {message}");
        }
        assert!(said(&whole[..whole.len() - 5]).contains("cut off"), "{}", said(&whole[..whole.len() - 5]));
    }

    #[test]
    fn lengths_that_lie_are_not_believed() {
        // ir_version, then a graph of 2^62 bytes.
        let huge = [0x08, 0x08, 0x3a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40, 0x00];
        assert_eq!(
            said(&huge),
            "m.onnx is cut off or damaged: a part of 4611686018427387904 bytes has only 1 left"
        );
    }

    #[test]
    fn few_bytes_do_not_become_much_memory() {
        let attributes = [0x2a, 0x00].repeat(MOST_MEMORY / size_of::<AttributeProto>() + 1);
        let wrap = |key: u8, inside: &[u8]| {
            let mut bytes = vec![key];
            prost::encoding::encode_varint(inside.len() as u64, &mut bytes);
            bytes.extend(inside);
            bytes
        };
        let node = wrap(0x0a, &attributes);
        let bytes = [vec![0x08, 0x08], wrap(0x3a, &node)].concat();
        assert_eq!(said(&bytes), "m.onnx has more nodes and attributes than any model needs");
    }

    #[test]
    fn nesting_has_an_end() {
        let mut graph = Vec::new();
        for _ in 0..60 {
            for key in [0x32, 0x2a, 0x0a] {
                let mut outer = vec![key];
                prost::encoding::encode_varint(graph.len() as u64, &mut outer);
                outer.extend(&graph);
                graph = outer;
            }
        }
        let mut bytes = vec![0x08, 0x08, 0x3a];
        prost::encoding::encode_varint(graph.len() as u64, &mut bytes);
        bytes.extend(graph);
        assert!(said(&bytes).contains("nested deeper"), "{}", said(&bytes));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_are_too_much(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = read(&bytes, "m.onnx");
        }

        #[test]
        fn no_damage_is_too_much(at in 0usize..1000, byte: u8) {
            let mut bytes = model();
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = read(&bytes, "m.onnx");
        }
    }
}
