//! Constants of a model as bytes.

use super::proto::{TensorProto, tensor_proto::DataType};
use crate::{
    ops::{
        Operator, candle_dtype,
        form::{Constant, Element, Numbers},
    },
    quant::codes::{e4m3, e4m3_bits},
    types::{Bindings, DType},
};
use candle_core::{Result, Tensor};

/// ONNX's number of an element type.
pub(super) fn data_type(element: Element) -> i32 {
    let known = match element {
        Element::Of(dtype) => return float_or_whole(dtype),
        Element::I8 => DataType::Int8,
        Element::I16 => DataType::Int16,
        Element::U16 => DataType::Uint16,
        Element::E4M3 => DataType::Float8e4m3fn,
    };
    known as i32
}

fn float_or_whole(dtype: DType) -> i32 {
    let known = match dtype {
        DType::F32 => DataType::Float,
        DType::F16 => DataType::Float16,
        DType::BF16 => DataType::Bfloat16,
        DType::I64 => DataType::Int64,
        DType::I32 => DataType::Int32,
        DType::U8 => DataType::Uint8,
        DType::Bool => DataType::Bool,
    };
    known as i32
}

/// Bytes of one number.
fn width(element: Element) -> usize {
    match element {
        Element::Of(DType::I64) => 8,
        Element::Of(DType::F32 | DType::I32) => 4,
        Element::Of(DType::F16 | DType::BF16) | Element::I16 | Element::U16 => 2,
        Element::Of(DType::U8 | DType::Bool) | Element::I8 | Element::E4M3 => 1,
    }
}

/// Bytes of all numbers. The tensor is in memory, so they can be counted.
pub(super) fn size(constant: &Constant) -> usize {
    constant.numbers.dims().iter().product::<usize>() * width(constant.element)
}

/// The tensor without its numbers.
pub(super) fn header(constant: &Constant) -> TensorProto {
    TensorProto {
        // Sizes of tensors in memory fit.
        dims: constant.numbers.dims().iter().map(|size| *size as i64).collect(),
        data_type: Some(data_type(constant.element)),
        name: Some(constant.name.clone()),
        ..TensorProto::default()
    }
}

/// The numbers, least significant byte first, the last axis first.
pub(super) fn bytes(constant: &Constant) -> Result<Vec<u8>> {
    let is_codes = matches!(constant.numbers, Numbers::Codes { .. });
    let flat = match &constant.numbers {
        Numbers::Tensor(tensor) => tensor.flatten_all()?,
        Numbers::Codes { values, amax, scale, quantizer } => {
            let left = quantizer.eval(&[values.clone(), amax.clone()], &Bindings::new())?;
            left.broadcast_div(scale)?.contiguous()?.flatten_all()?
        }
    };
    // Codes times scales are rounded, so that their quotients lie beside the codes.
    match constant.element {
        Element::Of(DType::U8) if is_codes => Ok(whole(&flat)?.map(|code| code as u8).collect()),
        Element::Of(dtype) => of_dtype(&flat.to_dtype(candle_dtype(dtype))?, dtype),
        Element::I8 => Ok(whole(&flat)?.map(|code| code as i8 as u8).collect()),
        Element::I16 => Ok(whole(&flat)?.flat_map(|code| (code as i16).to_le_bytes()).collect()),
        Element::U16 => Ok(whole(&flat)?.flat_map(|code| (code as u16).to_le_bytes()).collect()),
        Element::E4M3 => Ok(floats(&flat)?.map(|code| e4m3_bits(e4m3(code))).collect()),
    }
}

fn whole(flat: &Tensor) -> Result<impl Iterator<Item = f32>> {
    Ok(floats(flat)?.map(f32::round))
}

fn floats(flat: &Tensor) -> Result<impl Iterator<Item = f32>> {
    Ok(flat.to_dtype(candle_core::DType::F32)?.to_vec1::<f32>()?.into_iter())
}

fn of_dtype(flat: &Tensor, dtype: DType) -> Result<Vec<u8>> {
    Ok(match dtype {
        DType::F32 => packed(flat.to_vec1::<f32>()?, f32::to_le_bytes),
        DType::F16 => packed(flat.to_vec1::<half::f16>()?, half::f16::to_le_bytes),
        DType::BF16 => packed(flat.to_vec1::<half::bf16>()?, half::bf16::to_le_bytes),
        DType::I64 => packed(flat.to_vec1::<i64>()?, i64::to_le_bytes),
        DType::I32 => packed(flat.to_vec1::<i32>()?, i32::to_le_bytes),
        DType::U8 | DType::Bool => flat.to_vec1::<u8>()?,
    })
}

fn packed<T: Copy, const N: usize>(numbers: Vec<T>, bytes: fn(T) -> [u8; N]) -> Vec<u8> {
    let mut packed = vec![0; numbers.len() * N];
    for (slot, number) in packed.chunks_exact_mut(N).zip(numbers) {
        slot.copy_from_slice(&bytes(number));
    }
    packed
}
