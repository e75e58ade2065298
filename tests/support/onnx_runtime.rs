//! ONNX models run by rten, a runtime written in Rust: what the tests of exports compare
//! with where there is no Python.
//!
//! It computes every node as the model has it, its optimizations being off. It holds i64
//! and bool as i32, computes f16 in f32, and knows neither 16-bit quantization, nor E4M3,
//! nor bf16. It quantizes by the reciprocal of the scale where ONNX divides by the scale,
//! which moves about one value in a million, each at a tie.

use candle_core::{DType, Device, Tensor};
use rten::{DataType, Model, ModelOptions, NodeId, Value, ValueOrView, ValueType};
use rten_tensor::Layout;
use std::{collections::BTreeMap, fmt::Display};

/// Tensors by name.
pub type Tensors = BTreeMap<String, Tensor>;

/// The outputs of a model for inputs by name: f32, u8, or i64 for every other element type.
///
/// Inputs are cast to what the model declares. An input that the model lacks is an error,
/// and so is one that it has and is not given.
pub fn run(model: &[u8], inputs: &Tensors) -> Result<Tensors, String> {
    let model = ModelOptions::with_all_ops().enable_optimization(false).load(model.to_vec());
    let model = model.map_err(|error| format!("the model cannot be loaded: {error}"))?;
    let names = names(&model, model.input_ids());
    if let Some(name) = inputs.keys().find(|name| !names.contains(*name)) {
        return Err(format!("the model has no input `{name}`, but: {}", names.join(", ")));
    }
    let mut given = Vec::new();
    for (&id, name) in model.input_ids().iter().zip(names) {
        let tensor = inputs.get(&name).ok_or_else(|| format!("input `{name}` is not given"))?;
        let kind = model.node_info(id).and_then(|info| info.dtype());
        let value = value(tensor, kind).map_err(|error| format!("input `{name}`: {error}"))?;
        given.push((id, ValueOrView::from(value)));
    }
    let outputs = model.run(given, model.output_ids(), None);
    let outputs = outputs.map_err(|error| format!("the model cannot be run: {error}"))?;
    let tensors = outputs.into_iter().map(tensor).collect::<Result<Vec<_>, _>>()?;
    Ok(self::names(&model, model.output_ids()).into_iter().zip(tensors).collect())
}

fn names(model: &Model, ids: &[NodeId]) -> Vec<String> {
    let name = |id: &NodeId| model.node_info(*id).and_then(|info| info.name()).unwrap_or_default().to_owned();
    ids.iter().map(name).collect()
}

/// A tensor with elements of the type that an input is declared with.
fn value(tensor: &Tensor, kind: Option<ValueType>) -> Result<Value, String> {
    let shape = tensor.dims();
    let integers = || tensor.to_dtype(DType::I64)?.flatten_all()?.to_vec1::<i64>();
    match kind {
        Some(ValueType::Tensor(DataType::Float)) => {
            let floats =
                tensor.to_dtype(DType::F32).and_then(|tensor| tensor.flatten_all()?.to_vec1::<f32>());
            Value::from_shape(shape, floats.map_err(text)?).map_err(text)
        }
        Some(ValueType::Tensor(DataType::Int32)) => {
            Value::from_shape(shape, narrowed::<i32>(integers().map_err(text)?)?).map_err(text)
        }
        Some(ValueType::Tensor(DataType::Int8)) => {
            Value::from_shape(shape, narrowed::<i8>(integers().map_err(text)?)?).map_err(text)
        }
        Some(ValueType::Tensor(DataType::UInt8)) => {
            Value::from_shape(shape, narrowed::<u8>(integers().map_err(text)?)?).map_err(text)
        }
        kind => Err(format!("its type is {kind:?}")),
    }
}

fn narrowed<T: TryFrom<i64, Error: Display>>(integers: Vec<i64>) -> Result<Vec<T>, String> {
    let narrow = |value: i64| T::try_from(value).map_err(|error| format!("{value}: {error}"));
    integers.into_iter().map(narrow).collect()
}

fn tensor(value: Value) -> Result<Tensor, String> {
    let shape = value.shape().to_vec();
    let made = match value {
        Value::FloatTensor(values) => Tensor::from_vec(values.into_data(), shape, &Device::Cpu),
        Value::UInt8Tensor(values) => Tensor::from_vec(values.into_data(), shape, &Device::Cpu),
        Value::Int32Tensor(values) => Tensor::from_vec(widened(values.into_data()), shape, &Device::Cpu),
        Value::Int8Tensor(values) => Tensor::from_vec(widened(values.into_data()), shape, &Device::Cpu),
        other => return Err(format!("an output is a {}", other.dtype())),
    };
    made.map_err(text)
}

fn widened(integers: Vec<impl Into<i64>>) -> Vec<i64> {
    integers.into_iter().map(Into::into).collect()
}

fn text(error: impl Display) -> String {
    error.to_string()
}
