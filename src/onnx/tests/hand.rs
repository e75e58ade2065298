//! What ONNX's specification says of quantizers, computed node by node: some of their
//! codes are unknown to the runtime.

use crate::onnx::{
    Model,
    proto::{AttributeProto, NodeProto, TensorProto, tensor_proto::DataType},
};
use candle_core::{DType, Device, Tensor};
use std::collections::HashMap;

/// Numbers, or codes held as f32, and the element type that the model has them in.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) numbers: Tensor,
    pub(super) element: DataType,
}

/// Every value of a model for one input.
pub(super) fn computed(model: &Model, input: &str, x: &Tensor) -> HashMap<String, Held> {
    let graph = model.whole().unwrap().graph.unwrap();
    let mut values: HashMap<String, Held> =
        graph.initializer.iter().map(|tensor| (tensor.name().to_owned(), decoded(tensor))).collect();
    values.insert(input.to_owned(), Held { numbers: x.clone(), element: DataType::Float });
    for node in &graph.node {
        let value = compute(node, &values);
        values.insert(node.output[0].clone(), value);
    }
    values
}

/// The numbers of an initializer.
pub(super) fn decoded(tensor: &TensorProto) -> Held {
    let element = DataType::try_from(tensor.data_type()).unwrap();
    let bytes = tensor.raw_data.as_deref().unwrap();
    let numbers: Vec<f32> = match element {
        DataType::Float => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        DataType::Float16 => {
            bytes.as_chunks().0.iter().map(|b| half::f16::from_le_bytes(*b).into()).collect()
        }
        DataType::Bfloat16 => {
            bytes.as_chunks().0.iter().map(|b| half::bf16::from_le_bytes(*b).into()).collect()
        }
        DataType::Int64 => bytes.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b) as f32).collect(),
        DataType::Int32 => bytes.as_chunks().0.iter().map(|b| i32::from_le_bytes(*b) as f32).collect(),
        DataType::Int16 => bytes.as_chunks().0.iter().map(|b| i16::from_le_bytes(*b).into()).collect(),
        DataType::Uint16 => bytes.as_chunks().0.iter().map(|b| u16::from_le_bytes(*b).into()).collect(),
        DataType::Int8 => bytes.iter().map(|b| (*b as i8).into()).collect(),
        DataType::Uint8 | DataType::Bool => bytes.iter().map(|b| (*b).into()).collect(),
        DataType::Float8e4m3fn => bytes.iter().map(|b| e4m3(*b)).collect(),
        other => panic!("{other:?}"),
    };
    let shape: Vec<usize> = tensor.dims.iter().map(|size| usize::try_from(*size).unwrap()).collect();
    Held { numbers: Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap(), element }
}

/// The number of an E4M3 byte (OCP 8-bit floating point, table 1).
pub(super) fn e4m3(byte: u8) -> f32 {
    let sign = if byte & 0x80 == 0 { 1.0 } else { -1.0 };
    let (exponent, mantissa) = (i32::from(byte >> 3 & 0xf), f32::from(byte & 7));
    match (exponent, mantissa) {
        (15, 7.0) => f32::NAN,
        (0, _) => sign * mantissa * 2_f32.powi(-9),
        _ => sign * (8.0 + mantissa) * 2_f32.powi(exponent - 10),
    }
}

/// The nearest E4M3 number, of two the one whose last bit is 0; 448 for what is beyond.
fn nearest_e4m3(x: f32) -> f32 {
    let bytes =
        (0..=u8::MAX).filter(|byte| !e4m3(*byte).is_nan() && (byte & 0x80 != 0) == x.is_sign_negative());
    let apart = |byte: &u8| ((e4m3(*byte) - x).abs(), byte & 1);
    e4m3(bytes.min_by(|a, b| apart(a).partial_cmp(&apart(b)).unwrap()).unwrap())
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name() == name)
}

fn compute(node: &NodeProto, values: &HashMap<String, Held>) -> Held {
    let operand = |at: usize| &values[&node.input[at]];
    let x = operand(0);
    let pair =
        |f: fn(&Tensor, &Tensor) -> candle_core::Result<Tensor>| f(&x.numbers, &operand(1).numbers).unwrap();
    let numbers = match node.op_type() {
        "Identity" => x.numbers.clone(),
        "Abs" => x.numbers.abs().unwrap(),
        "Mul" => pair(Tensor::broadcast_mul),
        "Div" => pair(Tensor::broadcast_div),
        "Max" => pair(Tensor::broadcast_maximum),
        "Min" => pair(Tensor::broadcast_minimum),
        // To one axis, or to none.
        "Reshape" => match operand(1).numbers.elem_count() {
            0 => x.numbers.reshape(()).unwrap(),
            _ => x.numbers.flatten_all().unwrap(),
        },
        "ReduceMax" => {
            let axes = match attribute(node, "axes") {
                Some(axes) => axes.ints.iter().map(|axis| *axis as usize).collect(),
                None => integers(operand(1)),
            };
            let keep = attribute(node, "keepdims").is_none_or(|keep| keep.i() == 1);
            let reduce =
                |x: Tensor, axis: &usize| if keep { x.max_keepdim(*axis) } else { x.max(*axis) }.unwrap();
            axes.iter().rev().fold(x.numbers.clone(), reduce)
        }
        "Cast" => return cast(x, DataType::try_from(attribute(node, "to").unwrap().i() as i32).unwrap()),
        "QuantizeLinear" => {
            let element = operand(2).element;
            let numbers =
                linear(node, [x, operand(1), operand(2)], |x, scale, zero| code(x / scale, zero, element));
            return Held { numbers, element };
        }
        "DequantizeLinear" => {
            assert_eq!(x.element, operand(2).element);
            let numbers =
                linear(node, [x, operand(1), operand(2)], |code, scale, zero| (code - zero) * scale);
            return Held { numbers, element: DataType::Float };
        }
        other => panic!("{other}"),
    };
    Held { numbers, element: x.element }
}

fn integers(held: &Held) -> Vec<usize> {
    held.numbers.to_vec1::<f32>().unwrap().into_iter().map(|axis| axis as usize).collect()
}

fn cast(x: &Held, to: DataType) -> Held {
    let dtype = match to {
        DataType::Float => DType::F32,
        DataType::Float16 => DType::F16,
        DataType::Bfloat16 => DType::BF16,
        other => panic!("{other:?}"),
    };
    let rounded = x.numbers.to_dtype(dtype).and_then(|x| x.to_dtype(DType::F32)).unwrap();
    Held { numbers: rounded, element: to }
}

/// Each number with the scale and the zero point of its index along the axis.
fn linear(node: &NodeProto, [x, scale, zero]: [&Held; 3], each: impl Fn(f32, f32, f32) -> f32) -> Tensor {
    assert_eq!(scale.numbers.dims(), zero.numbers.dims(), "{}", node.name());
    let axis = attribute(node, "axis").map(|axis| usize::try_from(axis.i()).unwrap());
    let dims = x.numbers.dims();
    let index = |at: usize| match axis {
        Some(axis) => at / dims[axis + 1..].iter().product::<usize>() % dims[axis],
        None => 0,
    };
    let numbers = |held: &Held| held.numbers.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let (scales, zeros) = (numbers(scale), numbers(zero));
    assert_eq!(scales.len(), axis.map_or(1, |axis| dims[axis]), "{}", node.name());
    assert_eq!(scale.numbers.rank(), usize::from(axis.is_some()), "{}", node.name());
    let numbers =
        numbers(x).into_iter().enumerate().map(|(at, x)| each(x, scales[index(at)], zeros[index(at)]));
    Tensor::from_vec(numbers.collect(), dims, &Device::Cpu).unwrap()
}

/// The code of a number: rounded, moved by the zero point, and brought into the type.
fn code(scaled: f32, zero: f32, element: DataType) -> f32 {
    let (least, largest) = match element {
        DataType::Int8 => (-128.0, 127.0),
        DataType::Uint8 => (0.0, 255.0),
        DataType::Int16 => (-32768.0, 32767.0),
        DataType::Uint16 => (0.0, 65535.0),
        DataType::Float8e4m3fn => return nearest_e4m3(scaled),
        other => panic!("{other:?}"),
    };
    (scaled.round_ties_even() + zero).clamp(least, largest)
}
