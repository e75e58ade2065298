//! Stored bytes to tensors of the element type that is computed with.

use candle_core::{DType, Device, Tensor, WithDType};
use half::{bf16, f16, slice::HalfFloatSliceExt};
use rayon::prelude::*;
use safetensors::Dtype;

/// Elements that one thread converts at a time.
const CHUNK: usize = 1 << 16;

/// Elements of this stored type can be turned into numbers.
pub(super) fn readable(stored: Dtype) -> bool {
    matches!(
        stored,
        Dtype::F64
            | Dtype::F32
            | Dtype::F16
            | Dtype::BF16
            | Dtype::I64
            | Dtype::I32
            | Dtype::I16
            | Dtype::I8
            | Dtype::U64
            | Dtype::U32
            | Dtype::U16
            | Dtype::U8
            | Dtype::BOOL
    )
}

/// A tensor of `shape` from little-endian `bytes`, which hold exactly its elements.
/// Numbers are rounded to nearest where `dtype` is narrower.
pub(super) fn decode(
    bytes: &[u8],
    stored: Dtype,
    shape: &[usize],
    dtype: DType,
    device: &Device,
) -> Result<Tensor, String> {
    let tensor = match (dtype, stored) {
        (DType::F32, Dtype::F32) => tensor(each(bytes, f32::from_le_bytes), shape, device),
        (DType::F32, Dtype::F16) => tensor(widen(bytes), shape, device),
        (DType::F32, Dtype::BF16) => {
            tensor(each(bytes, |bits| bf16::from_le_bytes(bits).to_f32()), shape, device)
        }
        (DType::F16, Dtype::F16) => tensor(each(bytes, f16::from_le_bytes), shape, device),
        (DType::BF16, Dtype::BF16) => tensor(each(bytes, bf16::from_le_bytes), shape, device),
        (DType::F32, _) => tensor(numbers::<f32>(bytes, stored)?, shape, device),
        (DType::F16, _) => tensor(numbers::<f16>(bytes, stored)?, shape, device),
        (DType::BF16, _) => tensor(numbers::<bf16>(bytes, stored)?, shape, device),
        (DType::F64, _) => tensor(numbers::<f64>(bytes, stored)?, shape, device),
        _ => return Err(format!("weights cannot be loaded as {}", dtype.as_str())),
    };
    tensor.map_err(|error| error.to_string())
}

fn tensor<T: WithDType>(values: Vec<T>, shape: &[usize], device: &Device) -> candle_core::Result<Tensor> {
    Tensor::from_vec(values, shape, device)
}

/// Any stored number, by way of f64, which holds each exactly but for integers
/// beyond 2^53.
fn numbers<T: WithDType>(bytes: &[u8], stored: Dtype) -> Result<Vec<T>, String> {
    Ok(match stored {
        Dtype::F64 => each(bytes, |b| T::from_f64(f64::from_le_bytes(b))),
        Dtype::F32 => each(bytes, |b| T::from_f64(f32::from_le_bytes(b).into())),
        Dtype::F16 => each(bytes, |b| T::from_f64(f16::from_le_bytes(b).into())),
        Dtype::BF16 => each(bytes, |b| T::from_f64(bf16::from_le_bytes(b).into())),
        Dtype::I64 => each(bytes, |b| T::from_f64(i64::from_le_bytes(b) as f64)),
        Dtype::I32 => each(bytes, |b| T::from_f64(i32::from_le_bytes(b).into())),
        Dtype::I16 => each(bytes, |b| T::from_f64(i16::from_le_bytes(b).into())),
        Dtype::I8 => each(bytes, |b| T::from_f64(i8::from_le_bytes(b).into())),
        Dtype::U64 => each(bytes, |b| T::from_f64(u64::from_le_bytes(b) as f64)),
        Dtype::U32 => each(bytes, |b| T::from_f64(u32::from_le_bytes(b).into())),
        Dtype::U16 => each(bytes, |b| T::from_f64(u16::from_le_bytes(b).into())),
        Dtype::U8 => each(bytes, |b| T::from_f64(u8::from_le_bytes(b).into())),
        Dtype::BOOL => each(bytes, |[b]: [u8; 1]| T::from_f64(f64::from(u8::from(b != 0)))),
        other => return Err(format!("elements of type {other:?} are not read")),
    })
}

/// `read` of every `N` bytes, on all threads.
fn each<const N: usize, T: WithDType>(bytes: &[u8], read: impl Fn([u8; N]) -> T + Sync) -> Vec<T> {
    chunks(bytes, |elements: &[[u8; N]], values: &mut [T]| {
        for (value, element) in values.iter_mut().zip(elements) {
            *value = read(*element);
        }
    })
}

/// f16 to f32, with the processor's own instruction where it has one.
fn widen(bytes: &[u8]) -> Vec<f32> {
    const BLOCK: usize = 256;
    chunks(bytes, |elements: &[[u8; 2]], values: &mut [f32]| {
        let mut block = [f16::ZERO; BLOCK];
        for (values, elements) in values.chunks_mut(BLOCK).zip(elements.chunks(BLOCK)) {
            for (half, element) in block.iter_mut().zip(elements) {
                *half = f16::from_le_bytes(*element);
            }
            if let Some(block) = block.get(..values.len()) {
                block.convert_to_f32_slice(values);
            }
        }
    })
}

fn chunks<const N: usize, T: WithDType>(
    bytes: &[u8],
    convert: impl Fn(&[[u8; N]], &mut [T]) + Sync,
) -> Vec<T> {
    let (elements, _) = bytes.as_chunks::<N>();
    let mut values = vec![T::zero(); elements.len()];
    if values.len() <= CHUNK {
        convert(elements, &mut values);
    } else {
        let pairs = values.par_chunks_mut(CHUNK).zip(elements.par_chunks(CHUNK));
        pairs.for_each(|(values, elements)| convert(elements, values));
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], stored: Dtype, dtype: DType) -> Vec<f32> {
        let count = bytes.len() * 8 / stored.bitsize();
        let tensor = decode(bytes, stored, &[count], dtype, &Device::Cpu).unwrap();
        assert_eq!(tensor.dtype(), dtype);
        tensor.to_dtype(DType::F32).unwrap().to_vec1().unwrap()
    }

    #[test]
    fn every_stored_type_becomes_every_float() {
        let stored: [(Dtype, Vec<u8>); 13] = [
            (Dtype::F64, [1.5f64, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect()),
            (Dtype::F32, [1.5f32, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect()),
            (Dtype::F16, [1.5, -2.0].iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect()),
            (Dtype::BF16, [1.5, -2.0].iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect()),
            (Dtype::I64, [7i64, -3].iter().flat_map(|x| x.to_le_bytes()).collect()),
            (Dtype::I32, [7i32, -3].iter().flat_map(|x| x.to_le_bytes()).collect()),
            (Dtype::I16, [7i16, -3].iter().flat_map(|x| x.to_le_bytes()).collect()),
            (Dtype::I8, [7i8, -3].iter().flat_map(|x| x.to_le_bytes()).collect()),
            (Dtype::U64, [7u64, 3].iter().flat_map(|x| x.to_le_bytes()).collect()),
            (Dtype::U32, [7u32, 3].iter().flat_map(|x| x.to_le_bytes()).collect()),
            (Dtype::U16, [7u16, 3].iter().flat_map(|x| x.to_le_bytes()).collect()),
            (Dtype::U8, vec![7, 3]),
            (Dtype::BOOL, vec![1, 0]),
        ];
        for (stored, bytes) in stored {
            let expected = match stored {
                Dtype::F64 | Dtype::F32 | Dtype::F16 | Dtype::BF16 => [1.5, -2.0],
                Dtype::I64 | Dtype::I32 | Dtype::I16 | Dtype::I8 => [7.0, -3.0],
                Dtype::BOOL => [1.0, 0.0],
                _ => [7.0, 3.0],
            };
            assert!(readable(stored));
            for dtype in [DType::F32, DType::F16, DType::BF16, DType::F64] {
                assert_eq!(read(&bytes, stored, dtype), expected, "{stored:?} as {dtype:?}");
            }
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        assert!(!readable(Dtype::C64));
        assert!(decode(&[0; 8], Dtype::C64, &[1], DType::F32, &Device::Cpu).is_err());
        assert!(decode(&[0; 4], Dtype::F32, &[1], DType::U8, &Device::Cpu).is_err());
    }

    #[test]
    fn long_tensors_are_whole() {
        let halves: Vec<f16> = (0..CHUNK * 2 + 3).map(|i| f16::from_f32((i % 1000) as f32)).collect();
        let bytes: Vec<u8> = halves.iter().flat_map(|x| x.to_le_bytes()).collect();
        let expected: Vec<f32> = halves.iter().map(|x| x.to_f32()).collect();
        assert_eq!(read(&bytes, Dtype::F16, DType::F32), expected);
    }
}
