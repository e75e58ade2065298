//! Shapes of two operands brought together, as NumPy does it.

use super::{Mismatch, kernels};
use crate::types::{DType, Dim, Shape, TensorType};
use candle_core::Tensor;

/// The shape of an operation over pairs of elements. Axes meet from the last
/// backwards; two sizes fit if they are equal or one of them is 1, and a
/// missing axis counts as 1. Symbolic sizes are equal only if they are the same.
pub(super) fn broadcast(left: &[Dim], right: &[Dim]) -> Option<Vec<Dim>> {
    broadcast_sizes(left, right, &Dim::known(1))
}

/// The same of sizes of any kind, of which `one` is 1.
pub(super) fn broadcast_sizes<T: Clone + PartialEq>(left: &[T], right: &[T], one: &T) -> Option<Vec<T>> {
    let rank = left.len().max(right.len());
    let size = |shape: &[T], axis: usize| match (axis + shape.len()).checked_sub(rank) {
        Some(axis) => shape.get(axis).cloned(),
        None => Some(one.clone()),
    };
    (0..rank)
        .map(|axis| match (size(left, axis)?, size(right, axis)?) {
            (left, right) if left == right || right == *one => Some(left),
            (left, right) if left == *one => Some(right),
            _ => None,
        })
        .collect()
}

/// The type of an operation over pairs of elements of one dtype.
pub(super) fn elementwise(
    [left, right]: [&'static str; 2],
    [left_type, right_type]: [&TensorType; 2],
) -> Result<TensorType, Mismatch> {
    if left_type.dtype != right_type.dtype {
        let message = format!("`{left}` is {left_type}, but `{right}` is {right_type}");
        let help = format!("cast one: `cast({right}, to: {})`", left_type.dtype);
        return Err(Mismatch::new(message).help(help));
    }
    match broadcast(&left_type.shape, &right_type.shape) {
        Some(shape) => Ok(TensorType::new(left_type.dtype, shape)),
        None => Err(Mismatch::new(format!(
            "`{left}` is {left_type}, but `{right}` is {right_type}: {}",
            clash(&left_type.shape, &right_type.shape)
        ))
        .help("sizes fit if they are equal or one of them is 1, counted from the last axis")),
    }
}

/// The type of a sum or product of numbers.
pub(super) fn arithmetic(names: [&'static str; 2], types: [&TensorType; 2]) -> Result<TensorType, Mismatch> {
    let truth = names.iter().zip(types).find(|(_, ty)| ty.dtype == DType::Bool);
    match truth {
        Some((name, ty)) => Err(Mismatch::new(format!("`{name}` must hold numbers, but is {ty}"))
            .help(format!("cast it: `cast({name}, to: f32)`"))),
        None => elementwise(names, types),
    }
}

/// The first sizes, from the last axis backwards, that do not fit.
fn clash(left: &[Dim], right: &[Dim]) -> String {
    let pairs = left.iter().rev().zip(right.iter().rev()).enumerate();
    for (from_end, (left, right)) in pairs {
        if broadcast(std::slice::from_ref(left), std::slice::from_ref(right)).is_none() {
            return format!("axis -{} is {left} on one side and {right} on the other", from_end + 1);
        }
    }
    format!("{} and {} do not fit", Shape(left), Shape(right))
}

/// The gradient of an operand of shape `dims` from that of what it was brought to: summed
/// over the axes along which it was repeated.
pub(crate) fn reduce_to(gradient: &Tensor, dims: &[usize]) -> candle_core::Result<Tensor> {
    if gradient.dims() == dims {
        return Ok(gradient.clone());
    }
    let ahead = gradient.rank().saturating_sub(dims.len());
    if let (1.., [.., last]) = (ahead, dims)
        && dims.iter().product::<usize>() == *last
        && gradient.dims().last() == Some(last)
        && kernels::fits(gradient)
    {
        return kernels::column_sums(gradient)?.reshape(dims);
    }
    let repeated: Vec<usize> = (0..gradient.rank())
        .filter(|axis| match axis.checked_sub(ahead) {
            Some(own) => dims.get(own) == Some(&1),
            None => true,
        })
        .collect();
    gradient.sum_keepdim(repeated)?.reshape(dims)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(sizes: &[&str]) -> Vec<Dim> {
        sizes.iter().map(|size| size.parse().map_or_else(|_| Dim::symbol(*size), Dim::known)).collect()
    }

    #[test]
    fn sizes_meet_from_the_last_axis() {
        let joined = broadcast(&shape(&["batch", "1", "seq", "768"]), &shape(&["12", "seq", "1"]));
        assert_eq!(joined, Some(shape(&["batch", "12", "seq", "768"])));
        assert_eq!(broadcast(&shape(&["batch", "seq"]), &[]), Some(shape(&["batch", "seq"])));
        assert_eq!(broadcast(&shape(&["batch"]), &shape(&["seq"])), None);
        assert_eq!(broadcast(&shape(&["2"]), &shape(&["3"])), None);
    }

    #[test]
    fn a_clash_names_the_axis_and_both_sizes() {
        let left = TensorType::new(DType::F32, shape(&["batch", "seq", "768"]));
        let right = TensorType::new(DType::F32, shape(&["512", "768"]));
        assert_eq!(
            elementwise(["lhs", "rhs"], [&left, &right]).unwrap_err().message,
            "`lhs` is f32[batch, seq, 768], but `rhs` is f32[512, 768]: \
             axis -2 is seq on one side and 512 on the other"
        );
    }
}
