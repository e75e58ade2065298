//! ONNX nodes and constants as plain data.

use crate::types::DType;
use candle_core::Tensor;

/// A value of an ONNX graph, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value(pub(super) String);

impl Value {
    /// The value of this name.
    pub fn named(name: &str) -> Value {
        Value(name.to_owned())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// One ONNX node with one output.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// `MatMul`.
    pub op_type: &'static str,
    /// Names of values.
    pub inputs: Vec<String>,
    /// The name of its value, and its own.
    pub output: String,
    /// By ONNX's names.
    pub attributes: Vec<(&'static str, NodeAttribute)>,
}

/// The value of an attribute of an ONNX node.
#[derive(Clone, Debug, PartialEq)]
pub enum NodeAttribute {
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Float(f32),
    /// Whole numbers.
    Integers(Vec<i64>),
    /// Text.
    Text(&'static str),
    /// An element type.
    Element(Element),
    /// One number as a tensor of one element.
    Number(f64, Element),
}

/// The element type of an ONNX tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// One of those that values of a graph have.
    Of(DType),
    /// Codes of 8 bits.
    I8,
    /// Codes of 16 bits, with a sign.
    I16,
    /// Codes of 16 bits, without one.
    U16,
    /// 8-bit floats: `FLOAT8E4M3FN`.
    E4M3,
}

/// A tensor that is part of the model.
#[derive(Clone, Debug)]
pub struct Constant {
    /// The name of the value.
    pub name: String,
    /// How its numbers are stored.
    pub element: Element,
    /// What they are.
    pub numbers: Numbers,
}

/// The numbers of a constant.
#[derive(Clone, Debug)]
pub enum Numbers {
    /// These.
    Tensor(Tensor),
    /// The codes of these: what [`fake_quantize`](crate::ops::FakeQuantize) leaves of
    /// each, divided by its scale.
    Codes {
        /// Any shape, f32.
        values: Tensor,
        /// Of rank 0, or of the values' rank with 1 for each axis that shares a range.
        amax: Tensor,
        /// What a code is multiplied with, of the same shape.
        scale: Tensor,
        /// Which operator makes them codes.
        quantizer: crate::ops::FakeQuantize,
    },
}

impl Numbers {
    /// Sizes, outermost first.
    pub fn dims(&self) -> &[usize] {
        match self {
            Numbers::Tensor(tensor) | Numbers::Codes { values: tensor, .. } => tensor.dims(),
        }
    }
}
