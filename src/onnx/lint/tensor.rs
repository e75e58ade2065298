//! The numbers of stored tensors, as far as the rules ask.

use crate::onnx::proto::{
    TensorProto,
    tensor_proto::{DataLocation, DataType},
};
use half::{bf16, f16};

/// The numbers of a tensor of a type that scales have.
pub(super) fn numbers(tensor: &TensorProto) -> Option<Vec<f64>> {
    if tensor.data_location() == DataLocation::External {
        return None;
    }
    let raw = tensor.raw_data.as_deref().filter(|raw| !raw.is_empty());
    let halves = || tensor.int32_data.iter().filter_map(|bits| u16::try_from(*bits).ok());
    Some(match (DataType::try_from(tensor.data_type()).ok()?, raw) {
        (DataType::Float, Some(raw)) => parts(raw).map(|bytes| f32::from_le_bytes(bytes).into()).collect(),
        (DataType::Float, None) => tensor.float_data.iter().map(|number| f64::from(*number)).collect(),
        (DataType::Double, Some(raw)) => parts(raw).map(f64::from_le_bytes).collect(),
        (DataType::Double, None) => tensor.double_data.clone(),
        (DataType::Float16, Some(raw)) => {
            parts(raw).map(|bytes| f16::from_le_bytes(bytes).to_f64()).collect()
        }
        (DataType::Float16, None) => halves().map(|bits| f16::from_bits(bits).to_f64()).collect(),
        (DataType::Bfloat16, Some(raw)) => {
            parts(raw).map(|bytes| bf16::from_le_bytes(bytes).to_f64()).collect()
        }
        (DataType::Bfloat16, None) => halves().map(|bits| bf16::from_bits(bits).to_f64()).collect(),
        _ => return None,
    })
}

/// Whether every number of a tensor is zero, whatever its type; `None` where they lie in
/// another file.
pub(super) fn is_zero(tensor: &TensorProto) -> Option<bool> {
    if tensor.data_location() == DataLocation::External {
        return None;
    }
    Some(
        tensor.raw_data.iter().flatten().all(|byte| *byte == 0)
            && tensor.int32_data.iter().all(|number| *number == 0)
            && tensor.int64_data.iter().all(|number| *number == 0)
            && tensor.uint64_data.iter().all(|number| *number == 0)
            && tensor.float_data.iter().all(|number| *number == 0.0)
            && tensor.double_data.iter().all(|number| *number == 0.0),
    )
}

/// Numbers of `N` bytes each.
fn parts<const N: usize>(raw: &[u8]) -> impl Iterator<Item = [u8; N]> + '_ {
    raw.as_chunks::<N>().0.iter().copied()
}
