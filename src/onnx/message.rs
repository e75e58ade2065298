//! What the walk has made, as ONNX messages.

use super::{
    constant::{self, data_type},
    proto::{
        AttributeProto, NodeProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto,
        attribute_proto::AttributeType,
        tensor_shape_proto::{Dimension, dimension},
        type_proto,
    },
};
use crate::{
    ops::form::{Constant, Element, Node, NodeAttribute, Numbers},
    types::TensorType,
};
use candle_core::{Device, Tensor};

/// A node, with what is to be said of it.
pub(super) fn node(node: &Node, doc: Option<String>) -> NodeProto {
    NodeProto {
        name: Some(node.output.clone()),
        op_type: Some(node.op_type.to_owned()),
        input: node.inputs.clone(),
        output: vec![node.output.clone()],
        attribute: node.attributes.iter().map(attribute).collect(),
        doc_string: doc,
        ..NodeProto::default()
    }
}

/// A value of this name and type.
pub(super) fn value_info(name: &str, ty: &TensorType) -> ValueInfoProto {
    let dims = ty.shape.iter().map(|dim| Dimension {
        value: Some(match dim.as_known() {
            Some(known) => dimension::Value::DimValue(known),
            None => dimension::Value::DimParam(dim.to_string()),
        }),
        ..Dimension::default()
    });
    let tensor = type_proto::Tensor {
        elem_type: Some(data_type(Element::Of(ty.dtype))),
        shape: Some(TensorShapeProto { dim: dims.collect() }),
    };
    ValueInfoProto {
        name: Some(name.to_owned()),
        r#type: Some(TypeProto {
            value: Some(type_proto::Value::TensorType(tensor)),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}

fn attribute((name, value): &(&'static str, NodeAttribute)) -> AttributeProto {
    let mut attribute = AttributeProto { name: Some((*name).to_owned()), ..AttributeProto::default() };
    let kind = match value {
        NodeAttribute::Integer(value) => {
            attribute.i = Some(*value);
            AttributeType::Int
        }
        NodeAttribute::Float(value) => {
            attribute.f = Some(*value);
            AttributeType::Float
        }
        NodeAttribute::Integers(values) => {
            attribute.ints.clone_from(values);
            AttributeType::Ints
        }
        NodeAttribute::Text(text) => {
            attribute.s = Some(text.as_bytes().to_vec());
            AttributeType::String
        }
        NodeAttribute::Element(element) => {
            attribute.i = Some(data_type(*element).into());
            AttributeType::Int
        }
        NodeAttribute::Number(value, element) => {
            attribute.t = Some(one_number(*value, *element));
            AttributeType::Tensor
        }
    };
    attribute.r#type = Some(kind as i32);
    attribute
}

/// A tensor of one number along one axis.
fn one_number(value: f64, element: Element) -> TensorProto {
    let tensor = Tensor::new(&[value], &Device::Cpu).map(Numbers::Tensor);
    let Ok(numbers) = tensor else { return TensorProto::default() };
    let constant = Constant { name: String::new(), element, numbers };
    TensorProto { raw_data: constant::bytes(&constant).ok(), name: None, ..constant::header(&constant) }
}
