//! An operator in ONNX terms: a few nodes, as plain data.
//!
//! The result of an operator keeps its name, `bert.pooler.dense.matmul`; what only
//! its form needs is called after it, `bert.embeddings.slice/starts`. Names in specs
//! hold no `/`.

mod node;
pub(super) mod pair;
mod sizes;

pub use node::{Constant, Element, Node, NodeAttribute, Numbers, Value};
pub use sizes::{Sizes, Source};

use super::{Mismatch, operands::axis};
use crate::types::{DType, Dim, TensorType};
use candle_core::{Device, Tensor};
use std::collections::BTreeSet;

/// What a form may use, and how it writes quantizers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// The version of ONNX's own operators.
    pub opset: i64,
    /// Weights are stored as codes, not as numbers that a `QuantizeLinear` rounds.
    pub folded: bool,
    /// Signed 8-bit codes of activations are stored 128 higher, as uint8 with zero
    /// point 128: the same codes of the same numbers.
    pub shifted: bool,
}

/// An operand of the operator whose form is made.
#[derive(Clone, Debug)]
pub struct Operand {
    /// Its value.
    pub value: Value,
    /// Its type.
    pub ty: TensorType,
    /// Its numbers, where they are part of the model.
    pub constant: Option<Tensor>,
}

/// The form of one operator, being made.
pub struct Form<'a> {
    /// What it may use.
    pub dialect: &'a Dialect,
    name: &'a str,
    operands: &'a [Operand],
    result: &'a TensorType,
    sizes: &'a mut Sizes,
    taken: BTreeSet<String>,
    nodes: Vec<Node>,
    constants: Vec<Constant>,
}

impl<'a> Form<'a> {
    /// The form of the operator called `name` in the graph, with nothing in it.
    pub fn new(
        name: &'a str,
        operands: &'a [Operand],
        result: &'a TensorType,
        dialect: &'a Dialect,
        sizes: &'a mut Sizes,
    ) -> Form<'a> {
        let (taken, nodes, constants) = Default::default();
        Form { dialect, name, operands, result, sizes, taken, nodes, constants }
    }

    /// What it is made of, its result under the operator's name, and that result:
    /// an operand's value where the operator changes nothing.
    pub fn finish(mut self, result: Value) -> (Vec<Node>, Vec<Constant>, Value) {
        let own = |name: &str| if name == result.0 { self.name.to_owned() } else { name.to_owned() };
        if !self.nodes.iter().any(|node| node.output == result.0) {
            return (self.nodes, self.constants, result);
        }
        for node in &mut self.nodes {
            node.output = own(&node.output);
            node.inputs.iter_mut().for_each(|input| *input = own(input));
        }
        (self.nodes, self.constants, Value(self.name.to_owned()))
    }

    /// The type of the result.
    pub fn result(&self) -> &TensorType {
        self.result
    }

    /// The operand at this position.
    pub fn operand(&self, at: usize) -> Result<Operand, Mismatch> {
        let count = self.operands.len();
        let missing = || Mismatch::new(format!("operand {at} is needed, but {count} are given"));
        self.operands.get(at).cloned().ok_or_else(missing)
    }

    /// The value of the operand at this position.
    pub fn value(&self, at: usize) -> Result<Value, Mismatch> {
        Ok(self.operand(at)?.value)
    }

    /// The axis of the operand at this position, counted from the front.
    pub fn axis(&self, at: usize, along: i64) -> Result<i64, Mismatch> {
        // An axis is below the rank, which fits.
        Ok(axis("x", &self.operand(at)?.ty, along)? as i64)
    }

    /// The one node that takes all operands as they are.
    pub fn same(&mut self, op_type: &'static str) -> Result<Value, Mismatch> {
        self.with(op_type, [])
    }

    /// The same with attributes.
    pub fn with<const N: usize>(
        &mut self,
        op_type: &'static str,
        attributes: [(&'static str, NodeAttribute); N],
    ) -> Result<Value, Mismatch> {
        let inputs: Vec<Value> = self.operands.iter().map(|operand| operand.value.clone()).collect();
        Ok(self.node(op_type, &inputs.iter().collect::<Vec<_>>(), attributes))
    }

    /// A node without attributes.
    pub fn plain(&mut self, op_type: &'static str, inputs: &[&Value]) -> Value {
        self.node(op_type, inputs, [])
    }

    /// A node.
    pub fn node<const N: usize>(
        &mut self,
        op_type: &'static str,
        inputs: &[&Value],
        attributes: [(&'static str, NodeAttribute); N],
    ) -> Value {
        self.labelled(op_type, inputs, attributes, op_type)
    }

    /// A node whose value is called `label` after the operator.
    pub fn labelled(
        &mut self,
        op_type: &'static str,
        inputs: &[&Value],
        attributes: impl IntoIterator<Item = (&'static str, NodeAttribute)>,
        label: &str,
    ) -> Value {
        let output = self.unique(label);
        let inputs = inputs.iter().map(|value| value.0.clone()).collect();
        let attributes = attributes.into_iter().collect();
        self.nodes.push(Node { op_type, inputs, output: output.clone(), attributes });
        Value(output)
    }

    fn unique(&mut self, label: &str) -> String {
        let mut count = 1;
        let mut name = format!("{}/{label}", self.name);
        while !self.taken.insert(name.clone()) {
            count += 1;
            name = format!("{}/{label}.{count}", self.name);
        }
        name
    }

    /// A constant.
    pub fn constant(&mut self, label: &str, element: Element, numbers: Numbers) -> Value {
        let name = self.unique(label);
        self.constants.push(Constant { name: name.clone(), element, numbers });
        Value(name)
    }

    /// Numbers of any type, of this shape.
    pub fn numbers(
        &mut self,
        label: &str,
        values: &[f64],
        shape: &[usize],
        element: Element,
    ) -> Result<Value, Mismatch> {
        let tensor = Tensor::from_slice(values, shape, &Device::Cpu).map_err(unfit)?;
        Ok(self.constant(label, element, Numbers::Tensor(tensor)))
    }

    /// One number.
    pub fn number(&mut self, value: f64, dtype: DType) -> Result<Value, Mismatch> {
        self.numbers("number", &[value], &[], Element::Of(dtype))
    }

    /// Whole numbers along one axis, as shapes and axes are given.
    pub fn integers(&mut self, label: &str, values: &[i64]) -> Result<Value, Mismatch> {
        let tensor = Tensor::new(values, &Device::Cpu).map_err(unfit)?;
        Ok(self.constant(label, Element::Of(DType::I64), Numbers::Tensor(tensor)))
    }

    /// A size, as `i64[1]`.
    pub fn size(&mut self, dim: &Dim) -> Result<Value, Mismatch> {
        match dim.as_known() {
            Some(known) => self.integers("size", &[known]),
            None => sizes::symbolic(self, dim),
        }
    }

    /// A size, as `i64[]`.
    pub fn scalar_size(&mut self, dim: &Dim) -> Result<Value, Mismatch> {
        if let Some(known) = dim.as_known() {
            let tensor = Tensor::new(known, &Device::Cpu).map_err(unfit)?;
            return Ok(self.constant("size", Element::Of(DType::I64), Numbers::Tensor(tensor)));
        }
        let (size, axes) = (self.size(dim)?, self.integers("axes", &[0])?);
        Ok(self.plain("Squeeze", &[&size, &axes]))
    }

    /// The value in another element type.
    pub fn cast(&mut self, value: &Value, to: DType) -> Value {
        self.node("Cast", &[value], [("to", NodeAttribute::Element(Element::Of(to)))])
    }

    /// The mean along an axis, or of all numbers. `ReduceMean` takes its axes as an
    /// input from opset 18.
    pub fn mean(&mut self, x: &Value, along: Option<i64>, keep: bool) -> Result<Value, Mismatch> {
        let keep = ("keepdims", NodeAttribute::Integer(keep.into()));
        Ok(match along {
            None => self.node("ReduceMean", &[x], [keep]),
            Some(along) if self.dialect.opset >= 18 => {
                let axes = self.integers("axes", &[along])?;
                self.node("ReduceMean", &[x, &axes], [keep])
            }
            Some(along) => {
                self.node("ReduceMean", &[x], [("axes", NodeAttribute::Integers(vec![along])), keep])
            }
        })
    }

    /// A shape, as `i64[rank]`.
    pub fn shape(&mut self, shape: &[Dim]) -> Result<Value, Mismatch> {
        if let Some(known) = shape.iter().map(Dim::as_known).collect::<Option<Vec<_>>>() {
            return self.integers("shape", &known);
        }
        let sizes = shape.iter().map(|dim| self.size(dim)).collect::<Result<Vec<_>, _>>()?;
        Ok(self.node("Concat", &sizes.iter().collect::<Vec<_>>(), [("axis", NodeAttribute::Integer(0))]))
    }
}

/// What candle says of numbers that it cannot hold.
pub(super) fn unfit(error: candle_core::Error) -> Mismatch {
    Mismatch::new(error.to_string())
}
