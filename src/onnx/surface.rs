//! The pairs of QuantizeLinear and DequantizeLinear in an ONNX model, and the model with the values before
//! and after them as outputs.

use super::{
    proto::{
        GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto,
        tensor_proto::DataType,
        tensor_shape_proto::{Dimension, dimension},
        type_proto,
    },
    read::read,
};
use crate::failure::Failure;
use prost::Message;
use std::collections::{HashMap, HashSet};

/// What can be seen of a model from outside.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Surface {
    /// Inputs that are no constants.
    pub inputs: Vec<Input>,
    /// Names of outputs.
    pub outputs: Vec<String>,
    /// Pairs on values that are not constants, in the model's order.
    pub pairs: Vec<Pair>,
}

/// An input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// The sizes of its axes, those that are known.
    pub shape: Vec<Option<usize>>,
}

/// A QuantizeLinear and the DequantizeLinear after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Pair {
    /// The quantizer's name, where the codes are called `<name>/codes` as in models that qdqc writes, or
    /// else that of the value after both.
    pub name: String,
    /// The name of the value after both.
    pub output: String,
    /// The name of the value before.
    pub input: String,
    /// The scale, where it is a constant of f32.
    pub scale: Option<Vec<f32>>,
}

impl Surface {
    /// Of the bytes of a model; `file` is its name for messages.
    ///
    /// # Errors
    /// They are no ONNX model.
    pub fn of(bytes: &[u8], file: &str) -> Result<Surface, Failure> {
        // A model that is read has a graph.
        let graph = read(bytes, file)?.graph.unwrap_or_default();
        let constants = constants(&graph);
        let name = |value: &ValueInfoProto| value.name.clone().unwrap_or_default();
        let inputs = graph.input.iter().filter(|input| !constants.contains_key(input.name()));
        Ok(Surface {
            inputs: inputs.map(|input| Input { name: name(input), shape: shape(input) }).collect(),
            outputs: graph.output.iter().map(name).collect(),
            pairs: pairs(&graph, &constants),
        })
    }

    /// The same model with the values of its pairs as outputs besides its own.
    pub fn with_inner(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        let inputs = self.inputs.iter().map(|input| &input.name);
        let mut known: HashSet<&str> = inputs.chain(&self.outputs).map(String::as_str).collect();
        let names = self.pairs.iter().flat_map(|pair| [pair.input.as_str(), pair.output.as_str()]);
        let output = |name: &str| ValueInfoProto { name: Some(name.to_owned()), ..ValueInfoProto::default() };
        let output = names.filter(|name| known.insert(name)).map(output).collect();
        let graph = GraphProto { output, ..GraphProto::default() };
        // Messages that follow each other are read as one, lists one after the other: nothing that this
        // reader does not know of is lost (protobuf's encoding, "Last One Wins").
        let more = ModelProto { graph: Some(graph), ..ModelProto::default() };
        bytes.extend(more.encode_to_vec());
        bytes
    }
}

/// The sizes of a value's axes, those that are known.
fn shape(value: &ValueInfoProto) -> Vec<Option<usize>> {
    let Some(type_proto::Value::TensorType(tensor)) = value.r#type.as_ref().and_then(|ty| ty.value.as_ref())
    else {
        return Vec::new();
    };
    let size = |dim: &Dimension| match dim.value {
        Some(dimension::Value::DimValue(size)) => usize::try_from(size).ok(),
        _ => None,
    };
    tensor.shape.iter().flat_map(|shape| &shape.dim).map(size).collect()
}

/// The constants of a graph by name; `None` for those whose numbers are not f32 in the model itself.
fn constants(graph: &GraphProto) -> HashMap<&str, Option<Vec<f32>>> {
    let initializers = graph.initializer.iter().map(|tensor| (tensor.name(), numbers(tensor)));
    let sparse =
        graph.sparse_initializer.iter().filter_map(|sparse| Some((sparse.values.as_ref()?.name(), None)));
    let nodes = graph.node.iter().filter(|node| node.op_type() == "Constant").filter_map(|node| {
        let tensor = node.attribute.iter().find_map(|attribute| attribute.t.as_ref());
        let single = node.attribute.iter().find(|attribute| attribute.name() == "value_float");
        let numbers = tensor.and_then(numbers).or_else(|| Some(vec![single?.f()]));
        Some((node.output.first()?.as_str(), numbers))
    });
    initializers.chain(sparse).chain(nodes).collect()
}

fn numbers(tensor: &TensorProto) -> Option<Vec<f32>> {
    if tensor.data_type() != DataType::Float as i32 || !tensor.external_data.is_empty() {
        return None;
    }
    Some(match &tensor.raw_data {
        Some(bytes) => bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        None => tensor.float_data.clone(),
    })
}

fn pairs(graph: &GraphProto, constants: &HashMap<&str, Option<Vec<f32>>>) -> Vec<Pair> {
    let of = |kind: &'static str| graph.node.iter().filter(move |node| node.op_type() == kind);
    let quantized: HashMap<&str, &NodeProto> =
        of("QuantizeLinear").filter_map(|node| Some((node.output.first()?.as_str(), node))).collect();
    of("DequantizeLinear")
        .filter_map(|node| {
            let before = quantized.get(node.input.first()?.as_str())?;
            let [input, scale, ..] = before.input.as_slice() else { return None };
            let scale = constants.get(scale.as_str()).cloned().flatten();
            let (codes, output) = (before.output.first()?, node.output.first()?.clone());
            let name = codes.strip_suffix("/codes").unwrap_or(&output).to_owned();
            let pair = || Pair { name, output, input: input.clone(), scale };
            (!constants.contains_key(input.as_str())).then(pair)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::proto::{AttributeProto, TensorShapeProto, TypeProto};

    fn node(kind: &str, input: &[&str], output: &str) -> NodeProto {
        let input = input.iter().map(|name| (*name).to_owned()).collect();
        let output = vec![output.to_owned()];
        NodeProto { op_type: Some(kind.into()), input, output, ..NodeProto::default() }
    }

    /// `f32[batch, 3]`
    fn pairs_of_three() -> TypeProto {
        let sizes = [dimension::Value::DimParam("batch".into()), dimension::Value::DimValue(3)];
        let dim = sizes.map(|value| Dimension { value: Some(value), ..Dimension::default() }).to_vec();
        let elem_type = Some(DataType::Float as i32);
        let tensor = type_proto::Tensor { elem_type, shape: Some(TensorShapeProto { dim }) };
        TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() }
    }

    fn model() -> ModelProto {
        let value = |name: &str| ValueInfoProto { name: Some(name.into()), ..ValueInfoProto::default() };
        let float = |name: &str| TensorProto {
            name: Some(name.into()),
            data_type: Some(DataType::Float as i32),
            ..TensorProto::default()
        };
        let raw = TensorProto { raw_data: Some(0.5_f32.to_le_bytes().to_vec()), ..float("raw") };
        let list = TensorProto { float_data: vec![0.25, 0.125], ..float("list") };
        let constant =
            AttributeProto { name: Some("value_float".into()), f: Some(2.0), ..AttributeProto::default() };
        let graph = GraphProto {
            input: vec![ValueInfoProto { r#type: Some(pairs_of_three()), ..value("x") }, value("w")],
            output: vec![value("y")],
            initializer: vec![raw, list, float("w")],
            node: vec![
                NodeProto { attribute: vec![constant], ..node("Constant", &[], "two") },
                node("QuantizeLinear", &["x", "raw"], "first/codes"),
                node("DequantizeLinear", &["first/codes", "raw"], "q"),
                node("QuantizeLinear", &["w", "list"], "w/codes"),
                node("DequantizeLinear", &["w/codes", "list"], "wq"),
                node("MatMul", &["q", "wq"], "y"),
                node("QuantizeLinear", &["y", "two"], "r/codes"),
                node("DequantizeLinear", &["r/codes", "two"], "r"),
                node("QuantizeLinear", &["r", "list"], "s/codes"),
                node("DequantizeLinear", &["s/codes", "list"], "s"),
                node("QuantizeLinear", &["s", "computed"], "codes of t"),
                node("DequantizeLinear", &["codes of t", "computed"], "t"),
            ],
            ..GraphProto::default()
        };
        ModelProto { ir_version: Some(10), graph: Some(graph), ..ModelProto::default() }
    }

    #[test]
    fn pairs_on_values_are_found_with_their_scales() {
        let surface = Surface::of(&model().encode_to_vec(), "m").unwrap();
        let x = Input { name: "x".into(), shape: vec![None, Some(3)] };
        assert_eq!((surface.inputs, surface.outputs), (vec![x], vec!["y".to_owned()]));
        let found: Vec<_> = surface
            .pairs
            .iter()
            .map(|pair| [pair.name.as_str(), pair.input.as_str(), pair.output.as_str()])
            .zip(surface.pairs.iter().map(|pair| pair.scale.as_deref()))
            .collect();
        let expected: [([&str; 3], Option<&[f32]>); 4] = [
            (["first", "x", "q"], Some(&[0.5])),
            (["r", "y", "r"], Some(&[2.0])),
            (["s", "r", "s"], Some(&[0.25, 0.125])),
            (["t", "s", "t"], None),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn inner_values_become_outputs_and_nothing_else_changes() {
        let bytes = model().encode_to_vec();
        let surface = Surface::of(&bytes, "m").unwrap();
        let mut with = ModelProto::decode(surface.with_inner(bytes).as_slice()).unwrap();
        let outputs = &mut with.graph.as_mut().unwrap().output;
        let names: Vec<&str> = outputs.iter().map(ValueInfoProto::name).collect();
        assert_eq!(names, ["y", "q", "r", "s", "t"]);
        outputs.truncate(1);
        assert_eq!(with, model());
    }
}
