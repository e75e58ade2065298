//! What type rules and evaluations of several operators share.

use super::Mismatch;
use crate::types::{Bindings, DType, Dim, Shape, TensorType};
use candle_core::{Error, Tensor};

/// An operator was called with another number of operands than its schema has.
#[derive(Debug)]
pub(super) struct WrongCount {
    expected: usize,
    given: usize,
}

impl WrongCount {
    fn message(&self) -> String {
        format!("{} operands are needed, but {} are given", self.expected, self.given)
    }
}

impl From<WrongCount> for Mismatch {
    fn from(count: WrongCount) -> Mismatch {
        Mismatch::new(count.message())
    }
}

impl From<WrongCount> for Error {
    fn from(count: WrongCount) -> Error {
        Error::Msg(count.message())
    }
}

/// The operands, of which there are `N`.
pub(super) fn operands<T, const N: usize>(given: &[T]) -> Result<&[T; N], WrongCount> {
    given.try_into().map_err(|_| WrongCount { expected: N, given: given.len() })
}

/// The axis counted from the front; negative ones count from the end.
pub(super) fn axis(operand: &str, ty: &TensorType, axis: i64) -> Result<usize, Mismatch> {
    position(axis, ty.rank()).ok_or_else(|| {
        let axes = match ty.rank() {
            0 => "no axes".to_owned(),
            1 => "one axis".to_owned(),
            rank => format!("{rank} axes"),
        };
        Mismatch::new(format!("`{operand}` is {ty}: it has {axes}, so there is no axis {axis}"))
    })
}

/// The axis counted from the front, of a tensor whose type was checked.
pub(super) fn axis_of(tensor: &Tensor, axis: i64) -> candle_core::Result<usize> {
    position(axis, tensor.rank())
        .ok_or_else(|| Error::Msg(format!("there is no axis {axis} in {:?}", tensor.dims())))
}

fn position(axis: i64, rank: usize) -> Option<usize> {
    let rank = i64::try_from(rank).ok()?;
    let axis = if axis < 0 { axis.checked_add(rank)? } else { axis };
    (0..rank).contains(&axis).then(|| usize::try_from(axis).ok()).flatten()
}

/// Refuses operands without fractions.
pub(super) fn floats(operand: &str, ty: &TensorType) -> Result<(), Mismatch> {
    if ty.dtype.is_float() {
        return Ok(());
    }
    let message = format!("`{operand}` must hold numbers with fractions, but is {ty}");
    Err(Mismatch::new(message).help(format!("cast it: `cast({operand}, to: f32)`")))
}

/// Refuses operands of another element type.
pub(super) fn of(operand: &str, ty: &TensorType, dtype: DType) -> Result<(), Mismatch> {
    if ty.dtype == dtype {
        return Ok(());
    }
    let message = format!("`{operand}` must be {dtype}, but is {ty}");
    Err(Mismatch::new(message).help(format!("cast it: `cast({operand}, to: {dtype})`")))
}

/// The type of a function of single numbers: that of its operand.
pub(super) fn pointwise(given: &[TensorType]) -> Result<TensorType, Mismatch> {
    let [x] = operands(given)?;
    floats("x", x)?;
    Ok(x.clone())
}

/// The index counted from the front; negative numbers count from the end.
pub(super) fn from_end(index: &Dim, size: &Dim) -> Option<Dim> {
    match index.as_known() {
        Some(known) if known < 0 => size.add(index),
        _ => Some(index.clone()),
    }
}

/// The type of a sum or mean: without the axis, or with all axes gone.
pub(super) fn reduced(x: &TensorType, along: Option<i64>, keep: bool) -> Result<TensorType, Mismatch> {
    let axes = match along {
        Some(along) => {
            let axis = axis("x", x, along)?;
            axis..axis + 1
        }
        None => 0..x.rank(),
    };
    let mut ty = x.clone();
    let ones = if keep { axes.len() } else { 0 };
    ty.shape.splice(axes, std::iter::repeat_n(Dim::known(1), ones));
    Ok(ty)
}

/// The axes of a sum or mean.
pub(super) fn reduced_axes(x: &Tensor, along: Option<i64>) -> candle_core::Result<Vec<usize>> {
    match along {
        Some(along) => Ok(vec![axis_of(x, along)?]),
        None => Ok((0..x.rank()).collect()),
    }
}

/// Where element number `at` of a tensor of this shape is: `[0, 3]`.
pub(super) fn place(at: usize, shape: &[usize]) -> String {
    let mut rest = at;
    let mut indices: Vec<_> = shape
        .iter()
        .rev()
        .map(|size| {
            let size = (*size).max(1);
            let index = (rest % size).to_string();
            rest /= size;
            index
        })
        .collect();
    indices.reverse();
    format!("[{}]", indices.join(", "))
}

/// The dim as a number, in this call.
pub(super) fn number(dim: &Dim, dims: &Bindings) -> candle_core::Result<i64> {
    dim.evaluate(dims).ok_or_else(|| Error::Msg(format!("the size `{dim}` is not known in this call")))
}

/// The dim as a size, in this call.
pub(super) fn size(dim: &Dim, dims: &Bindings) -> candle_core::Result<usize> {
    let size = number(dim, dims)?;
    let negative = || Error::Msg(format!("the size `{dim}` is {size} in this call"));
    usize::try_from(size).map_err(|_| negative())
}

/// The most numbers that a tensor made out of nothing may hold.
const MOST: usize = 1 << 31;

/// The shape as sizes, in this call. Refuses shapes of more than [`MOST`] numbers.
pub(super) fn sizes(shape: &[Dim], dims: &Bindings) -> candle_core::Result<Vec<usize>> {
    let sizes = shape.iter().map(|dim| size(dim, dims)).collect::<candle_core::Result<Vec<_>>>()?;
    let count = sizes.iter().try_fold(1_usize, |count, size| count.checked_mul(*size));
    match count.filter(|count| *count <= MOST) {
        Some(_) => Ok(sizes),
        None => Err(Error::Msg(format!("a tensor of shape {} is too large", Shape(shape)))),
    }
}

/// The part of `x` along an axis that begins at `start`. One without numbers is a
/// tensor of its own, because candle cannot copy a part that begins behind the last.
pub(super) fn part(x: &Tensor, axis: usize, start: usize, length: usize) -> candle_core::Result<Tensor> {
    let part = x.narrow(axis, start, length)?;
    match part.elem_count() {
        0 => Tensor::zeros(part.shape(), part.dtype(), part.device()),
        _ => Ok(part),
    }
}

/// How candle holds elements of this type.
pub fn candle_dtype(dtype: DType) -> candle_core::DType {
    match dtype {
        DType::F32 => candle_core::DType::F32,
        DType::F16 => candle_core::DType::F16,
        DType::BF16 => candle_core::DType::BF16,
        DType::I64 => candle_core::DType::I64,
        DType::I32 => candle_core::DType::I32,
        DType::U8 | DType::Bool => candle_core::DType::U8,
    }
}

/// What specs call the element type of a tensor, or what holds its numbers;
/// `None` where no input can have it.
pub fn spec_dtype(dtype: candle_core::DType) -> Option<DType> {
    Some(match dtype {
        candle_core::DType::F32 | candle_core::DType::F64 => DType::F32,
        candle_core::DType::F16 => DType::F16,
        candle_core::DType::BF16 => DType::BF16,
        candle_core::DType::I64 | candle_core::DType::U32 => DType::I64,
        candle_core::DType::I32 => DType::I32,
        candle_core::DType::U8 => DType::U8,
        _ => return None,
    })
}
