//! A graph as the rules look at it: who makes a value, who takes it, what is known of it.

use crate::onnx::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, TypeProto, tensor_proto::DataType,
    tensor_shape_proto::dimension, type_proto,
};
use std::collections::{HashMap, HashSet};

/// Sizes along the axes of a value; `None` where they are unknown or symbolic.
pub(super) type Shape = Vec<Option<i64>>;

/// Values gone back through, at most, before giving up: a file may hold a circle.
const LONGEST_TRACE: usize = 64;

/// Nodes looked at that take one value, at most: real graphs have a handful.
pub(super) const MOST_TAKERS: usize = 64;

/// The operators that only move numbers, or pass them on as they are.
const MOVES: &[&str] = &[
    "Transpose",
    "Reshape",
    "Squeeze",
    "Unsqueeze",
    "Flatten",
    "Identity",
    "Slice",
    "Split",
    "Expand",
    "MaxPool",
];

/// The main graph of a model with the graphs inside it (ONNX names values once across both).
pub(crate) struct Index<'m> {
    /// Every node, in the order of the file.
    pub(super) nodes: Vec<&'m NodeProto>,
    /// The version of the standard operators; 0 where the model names none.
    pub(super) opset: i64,
    /// Every size of every input is a number, so that all other sizes follow.
    pub(super) has_known_sizes: bool,
    producers: HashMap<&'m str, &'m NodeProto>,
    consumers: HashMap<&'m str, Vec<&'m NodeProto>>,
    initializers: HashMap<&'m str, &'m TensorProto>,
    declared: HashMap<&'m str, &'m type_proto::Tensor>,
    inputs: HashSet<&'m str>,
    outputs: HashSet<&'m str>,
    constants: HashSet<&'m str>,
}

impl<'m> Index<'m> {
    /// Looks over a model once.
    pub(super) fn new(model: &'m ModelProto) -> Index<'m> {
        let mut index = Index {
            nodes: Vec::new(),
            opset: opset(model),
            has_known_sizes: false,
            producers: HashMap::new(),
            consumers: HashMap::new(),
            initializers: HashMap::new(),
            declared: HashMap::new(),
            inputs: HashSet::new(),
            outputs: HashSet::new(),
            constants: HashSet::new(),
        };
        if let Some(graph) = &model.graph {
            index.add(graph);
        }
        let mut given = index.inputs.iter().filter(|name| !index.constants.contains(*name));
        index.has_known_sizes = given.all(|name| index.count(name).is_some());
        index
    }

    /// Decoding bounds how deep graphs are nested.
    fn add(&mut self, graph: &'m GraphProto) {
        for tensor in &graph.initializer {
            self.initializers.insert(tensor.name(), tensor);
            self.constants.insert(tensor.name());
        }
        let sparse = graph.sparse_initializer.iter().filter_map(|sparse| sparse.values.as_ref());
        self.constants.extend(sparse.map(TensorProto::name));
        self.inputs.extend(graph.input.iter().map(|value| value.name()));
        self.outputs.extend(graph.output.iter().map(|value| value.name()));
        for value in graph.input.iter().chain(&graph.output).chain(&graph.value_info) {
            if let Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), .. }) = &value.r#type
            {
                self.declared.insert(value.name(), tensor);
            }
        }
        for node in &graph.node {
            self.nodes.push(node);
            for input in node.input.iter().filter(|name| !name.is_empty()) {
                self.consumers.entry(input).or_default().push(node);
            }
            let inner: Vec<&GraphProto> = graphs(node).collect();
            let fixed = inner.is_empty()
                && !node.op_type().starts_with("Random")
                && node.input.iter().all(|name| name.is_empty() || self.constants.contains(name.as_str()));
            for output in node.output.iter().filter(|name| !name.is_empty()) {
                self.producers.insert(output, node);
                if fixed {
                    self.constants.insert(output);
                }
            }
            for graph in inner {
                self.add(graph);
            }
        }
    }

    /// The node that makes a value; `None` for inputs and initializers.
    pub(super) fn producer(&self, value: &str) -> Option<&'m NodeProto> {
        self.producers.get(value).copied()
    }

    /// The nodes that take a value, once for each time they do.
    pub(super) fn consumers(&self, value: &str) -> &[&'m NodeProto] {
        self.consumers.get(value).map_or(&[], Vec::as_slice)
    }

    /// The value is an input of a graph.
    pub(super) fn is_input(&self, value: &str) -> bool {
        self.inputs.contains(value)
    }

    /// The value is an output of a graph.
    pub(super) fn is_output(&self, value: &str) -> bool {
        self.outputs.contains(value)
    }

    /// Nothing in the model makes the value.
    pub(super) fn is_unknown(&self, value: &str) -> bool {
        !self.producers.contains_key(value)
            && !self.inputs.contains(value)
            && !self.initializers.contains_key(value)
            && !self.constants.contains(value)
    }

    /// The value follows from initializers and constants alone.
    pub(super) fn is_constant(&self, value: &str) -> bool {
        self.constants.contains(value)
    }

    /// Every initializer.
    pub(super) fn initializers(&self) -> impl Iterator<Item = (&'m str, &'m TensorProto)> + '_ {
        self.initializers.iter().map(|(name, tensor)| (*name, *tensor))
    }

    /// The types that graphs declare of their inputs, outputs and values.
    pub(super) fn declared(&self) -> impl Iterator<Item = (&'m str, DataType)> + '_ {
        self.declared.iter().filter_map(|(name, tensor)| Some((*name, data_type(tensor.elem_type())?)))
    }

    /// Every quantizer and dequantizer.
    pub(super) fn quantizers(&self) -> impl Iterator<Item = Quantizer<'m>> + '_ {
        self.nodes.iter().filter_map(|node| Quantizer::of(node))
    }

    /// The element type of a value, where it is known.
    pub(super) fn element(&self, value: &str) -> Option<DataType> {
        let mut value = value;
        for _ in 0..LONGEST_TRACE {
            let made = self.producer(value);
            if let Some(quantizer) = made.and_then(Quantizer::of) {
                if let Some(written) = quantizer.written(self) {
                    return Some(written);
                }
                if quantizer.quantizes {
                    return Some(DataType::Uint8);
                }
                value = quantizer.scale;
                continue;
            }
            if let Some(plain) = self.plain_type(value) {
                return Some(plain);
            }
            let node = made.filter(|node| is_move(node) || is(node, "Clip") || is(node, "Relu"))?;
            value = node.input.first()?;
        }
        None
    }

    /// The element type that is written at a value itself.
    fn plain_type(&self, value: &str) -> Option<DataType> {
        if let Some(tensor) = self.initializers.get(value) {
            return data_type(tensor.data_type());
        }
        match self.producer(value) {
            Some(node) if is(node, "Cast") => data_type(integer(node, "to")?.try_into().ok()?),
            Some(node) if is(node, "Constant") => constant_type(node),
            _ => data_type(self.declared.get(value)?.elem_type()),
        }
    }

    /// The sizes of a value, where its rank is known.
    pub(super) fn shape(&self, value: &str) -> Option<Shape> {
        let mut value = value;
        let mut orders: Vec<&'m [i64]> = Vec::new();
        for _ in 0..LONGEST_TRACE {
            if let Some(shape) = self.known_shape(value) {
                return orders.iter().rev().try_fold(shape, |shape, order| permuted(&shape, order));
            }
            let node = self.producer(value)?;
            if is(node, "Transpose") {
                orders.push(integers(node, "perm")?);
            } else if !(Quantizer::of(node).is_some()
                || ["Cast", "Identity", "Clip", "Relu"].iter().any(|kind| is(node, kind)))
            {
                return None;
            }
            value = node.input.first()?;
        }
        None
    }

    /// As it is written at the value itself.
    fn known_shape(&self, value: &str) -> Option<Shape> {
        if let Some(tensor) = self.stored(value) {
            return Some(tensor.dims.iter().map(|size| Some(*size)).collect());
        }
        if let Some(node) = self.producer(value).filter(|node| is(node, "Constant")) {
            return match attributes(node).next()? {
                one if ["value_float", "value_int"].contains(&one.name()) => Some(Vec::new()),
                list => Some(vec![i64::try_from(list.floats.len().max(list.ints.len())).ok()]),
            };
        }
        let shape = self.declared.get(value)?.shape.as_ref()?;
        let size = |size: &Option<dimension::Value>| match size {
            Some(dimension::Value::DimValue(size)) => Some(*size),
            _ => None,
        };
        Some(shape.dim.iter().map(|dim| size(&dim.value)).collect())
    }

    /// How many numbers a value has, where all its sizes are known.
    pub(super) fn count(&self, value: &str) -> Option<i64> {
        self.shape(value)?.iter().try_fold(1_i64, |count, size| count.checked_mul((*size)?))
    }

    /// The tensor of an initializer or of a `Constant`.
    fn stored(&self, value: &str) -> Option<&'m TensorProto> {
        if let Some(tensor) = self.initializers.get(value) {
            return Some(tensor);
        }
        let node = self.producer(value).filter(|node| is(node, "Constant"))?;
        attribute(node, "value")?.t.as_ref()
    }

    /// The numbers of a scale, however they are stored; `None` where they lie in
    /// another file, are computed, or are of a type that scales do not have.
    pub(super) fn numbers(&self, value: &str) -> Option<Vec<f64>> {
        let origin = self.origin(value)?;
        if let Some(tensor) = self.stored(origin) {
            return super::tensor::numbers(tensor);
        }
        let node = self.producer(origin).filter(|node| is(node, "Constant"))?;
        let written = attributes(node).next()?;
        match written.name() {
            "value_float" => Some(vec![written.f().into()]),
            "value_floats" => Some(written.floats.iter().map(|number| f64::from(*number)).collect()),
            _ => None,
        }
    }

    /// Whether a stored value is zero throughout; `None` where its numbers are not here.
    pub(super) fn is_zero(&self, value: &str) -> Option<bool> {
        super::tensor::is_zero(self.stored(self.origin(value)?)?)
    }

    /// Where a constant that is cast or reshaped is stored.
    fn origin<'v>(&self, value: &'v str) -> Option<&'v str>
    where
        'm: 'v,
    {
        let mut value = value;
        for _ in 0..LONGEST_TRACE {
            match self.producer(value) {
                Some(node) if is(node, "Cast") || is_move(node) => value = node.input.first()?,
                _ => return Some(value),
            }
        }
        None
    }

    /// The nodes that take a value, at once or behind operators that only move numbers; those are
    /// not among them.
    pub(super) fn takers(&self, value: &'m str) -> Vec<&'m NodeProto> {
        let mut waiting = vec![value];
        let mut found = Vec::new();
        let mut seen = 0;
        while let Some(value) = waiting.pop().filter(|_| seen < MOST_TAKERS) {
            seen += 1;
            for node in self.consumers(value).iter().take(MOST_TAKERS) {
                match is_move(node) {
                    true => waiting.extend(node.output.iter().map(String::as_str)),
                    false => found.push(*node),
                }
            }
        }
        found
    }

    /// Follows a value back through operators that only move numbers, giving those too.
    pub(super) fn behind<'v>(&self, value: &'v str) -> (&'v str, Vec<&'m NodeProto>)
    where
        'm: 'v,
    {
        let mut value = value;
        let mut moves = Vec::new();
        while let Some(node) = self.producer(value).filter(|node| is_move(node)) {
            let Some(input) = node.input.first().filter(|_| moves.len() < LONGEST_TRACE) else { break };
            moves.push(node);
            value = input;
        }
        (value, moves)
    }
}

/// A QuantizeLinear or DequantizeLinear, of the standard or of ONNX Runtime's own.
#[derive(Clone, Copy)]
pub(super) struct Quantizer<'m> {
    /// The node.
    pub(super) node: &'m NodeProto,
    /// It makes codes; otherwise it takes them.
    pub(super) quantizes: bool,
    /// What it rounds, or the codes that it takes.
    pub(super) data: &'m str,
    /// Its scale.
    pub(super) scale: &'m str,
    /// Its zero point, if it has one.
    pub(super) zero_point: Option<&'m str>,
    /// What it makes.
    pub(super) output: &'m str,
}

impl<'m> Quantizer<'m> {
    /// The node as a quantizer; `None` where it is none, or has too few inputs.
    pub(super) fn of(node: &'m NodeProto) -> Option<Quantizer<'m>> {
        let quantizes = match node.op_type() {
            "QuantizeLinear" => true,
            "DequantizeLinear" => false,
            _ => return None,
        };
        if !is_standard(node) && node.domain() != "com.microsoft" {
            return None;
        }
        let input = |at: usize| node.input.get(at).map(String::as_str).filter(|name| !name.is_empty());
        let (data, scale, output) = (input(0)?, input(1)?, node.output.first()?);
        Some(Quantizer { node, quantizes, data, scale, zero_point: input(2), output })
    }

    /// The type of the result where the node says it: by its zero point, or `output_dtype`. A
    /// dequantizer's is that of its scale.
    fn written(&self, index: &Index<'m>) -> Option<DataType> {
        let named = integer(self.node, "output_dtype").and_then(|number| data_type(number.try_into().ok()?));
        let named = named.filter(|named| *named != DataType::Undefined);
        match self.zero_point.filter(|_| self.quantizes) {
            Some(zero_point) => index.plain_type(zero_point).or(named),
            None => named,
        }
    }

    /// The type of its codes, where the graph says it or the standard's default holds.
    pub(super) fn codes(&self, index: &Index<'m>) -> Option<DataType> {
        if self.quantizes {
            return index.element(self.output);
        }
        index.element(self.data).or_else(|| index.element(self.zero_point?))
    }

    /// A quantizer whose codes have no type but the standard's default, uint8.
    pub(super) fn is_unnamed(&self, index: &Index<'m>) -> bool {
        self.quantizes && self.zero_point.is_none() && self.written(index).is_none()
    }

    /// It has a scale for each index of an axis, or each block of one.
    pub(super) fn has_many_scales(&self, index: &Index<'m>) -> bool {
        index.count(self.scale).is_some_and(|count| count > 1)
    }

    /// The axis as it is written; 1 by default.
    pub(super) fn axis(&self) -> i64 {
        integer(self.node, "axis").unwrap_or(1)
    }

    /// The axis counted from the front, in data of this rank.
    pub(super) fn axis_in(&self, rank: usize) -> Option<usize> {
        let rank = i64::try_from(rank).ok()?;
        let axis = self.axis();
        let axis = if axis < 0 { axis.checked_add(rank)? } else { axis };
        usize::try_from(axis).ok().filter(|_| axis < rank)
    }

    /// `QuantizeLinear` or `DequantizeLinear` of the standard, not another's operator of that name.
    pub(super) fn is_standard(&self) -> bool {
        is_standard(self.node)
    }
}

/// What a node is called in messages: its name, or what it makes.
pub(super) fn label(node: &NodeProto) -> String {
    let first = node.output.first().map_or("", String::as_str);
    if node.name().is_empty() { first.to_owned() } else { node.name().to_owned() }
}

/// A standard operator of this kind.
pub(super) fn is(node: &NodeProto, kind: &str) -> bool {
    node.op_type() == kind && is_standard(node)
}

fn is_standard(node: &NodeProto) -> bool {
    ["", "ai.onnx"].contains(&node.domain())
}

pub(super) fn is_move(node: &NodeProto) -> bool {
    MOVES.iter().any(|kind| is(node, kind))
}

fn attributes(node: &NodeProto) -> impl Iterator<Item = &AttributeProto> {
    node.attribute.iter().filter(|attribute| attribute.name().starts_with("value"))
}

fn attribute<'m>(node: &'m NodeProto, name: &str) -> Option<&'m AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name() == name)
}

/// A whole number among a node's attributes.
pub(super) fn integer(node: &NodeProto, name: &str) -> Option<i64> {
    attribute(node, name)?.i
}

/// Whole numbers among a node's attributes.
pub(super) fn integers<'m>(node: &'m NodeProto, name: &str) -> Option<&'m [i64]> {
    Some(&attribute(node, name)?.ints)
}

fn graphs(node: &NodeProto) -> impl Iterator<Item = &GraphProto> {
    node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs))
}

fn data_type(number: i32) -> Option<DataType> {
    DataType::try_from(number).ok()
}

fn constant_type(node: &NodeProto) -> Option<DataType> {
    let written = attributes(node).next()?;
    match written.name() {
        "value" => data_type(written.t.as_ref()?.data_type()),
        "value_float" | "value_floats" => Some(DataType::Float),
        "value_int" | "value_ints" => Some(DataType::Int64),
        _ => None,
    }
}

fn permuted(shape: &Shape, order: &[i64]) -> Option<Shape> {
    order.iter().map(|axis| shape.get(usize::try_from(*axis).ok()?).copied()).collect()
}

fn opset(model: &ModelProto) -> i64 {
    let standard = model.opset_import.iter().find(|set| ["", "ai.onnx"].contains(&set.domain()));
    standard.map_or(0, |set| set.version())
}
