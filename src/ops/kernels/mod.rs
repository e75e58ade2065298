//! Loops over f32 in a CPU's memory, for what candle has no fast form of.
//!
//! Each loop is compiled for several instruction sets, of which the widest that
//! the machine has is run, and is shared among all cores. No result depends on how
//! many there are. No loop but that of matmul relies on fused multiply-add, so the results
//! of the others are the same on every machine, and so are products of codes.

/// Runs code compiled for the widest instructions that the machine has.
///
/// All of it has to be inlined into the function that has the instructions. A closure that
/// could be called again is called through another function, which is not always inlined;
/// this one gives something away, so that it cannot be.
macro_rules! vectorize {
    ($arch:expr, $work:expr) => {{
        let once = $crate::ops::kernels::Once;
        $arch.dispatch(
            #[inline(always)]
            || {
                let _once = once;
                $work
            },
        )
    }};
}

mod add;
mod change;
mod code_product;
mod convert;
mod dropout;
mod exp;
mod fake_quantize;
mod float;
mod gelu;
pub(crate) mod integer;
mod layer_norm;
mod matmul;
mod memory;
mod optimize;
mod scatter;
mod softmax;
mod sums;
mod transpose;

pub(crate) use vectorize;

pub(crate) use add::add;
pub(crate) use change::change;
pub(crate) use code_product::code_product;
pub(crate) use convert::widen;
pub(crate) use dropout::dropout;
pub(crate) use fake_quantize::{Bounds, encode, fake_quantize, fake_quantize_gradient, magnitude, scales};
pub(crate) use gelu::{gelu, gelu_gradient, of as gelu_of};
pub(crate) use layer_norm::{layer_norm, layer_norm_gradients, normalise};
pub(crate) use matmul::{Finish, Right, can_multiply, is_packed, matmul, pack, unpack};
pub(crate) use memory::keep_freed;
pub(crate) use optimize::{AdamWStep, SgdStep, adamw, sgd, sum_of_squares};
pub(crate) use scatter::scatter_rows;
pub(crate) use softmax::{masked_softmax, rescale, softmax, softmax_gradient};
pub(crate) use sums::column_sums;
pub(crate) use transpose::transpose;

use candle_core::{CpuStorage, DType, Error, Layout, Result, Storage, Tensor};
use pulp::Arch;
use rayon::prelude::*;
use std::ops::Deref;
use sums::join;

/// See [`vectorize`].
pub(crate) struct Once;

/// Numbers that are handed to a core at once: few enough to balance, enough to be
/// worth it.
const PIECE: usize = 16 * 1024;

/// Rows that are summed at once. Their sums are then added in order, so that a total does
/// not depend on the number of cores.
const ROWS: usize = 64;

/// The tensor is f32 on a CPU and not part of a gradient's path.
fn is_plain(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32 && !x.track_op()
}

/// The tensor is in the form that the loops read: f32, in one piece, on a CPU, and
/// not part of a gradient's path.
pub(crate) fn fits(x: &Tensor) -> bool {
    is_plain(x) && x.is_contiguous()
}

/// The numbers of a tensor, lent by it.
struct Numbers<'a, S>(S, &'a Layout);

fn lend(x: &Tensor) -> Numbers<'_, impl Deref<Target = Storage>> {
    let (storage, layout) = x.storage_and_layout();
    Numbers(storage, layout)
}

impl<S: Deref<Target = Storage>> Numbers<'_, S> {
    /// All numbers of the storage, whatever part of them the tensor is.
    fn all(&self) -> Result<&[f32]> {
        match &*self.0 {
            Storage::Cpu(CpuStorage::F32(numbers)) => Ok(numbers),
            _ => Err(unfit()),
        }
    }

    /// Those of the tensor, which [`fits`].
    fn in_order(&self) -> Result<&[f32]> {
        let (start, end) = self.1.contiguous_offsets().ok_or_else(unfit)?;
        self.all()?.get(start..end).ok_or_else(unfit)
    }
}

fn unfit() -> Error {
    Error::Msg("the numbers are not f32 in one piece on a CPU".to_owned())
}

/// Rows of `length` numbers, each made from a row of `x` by `row`, which is also
/// told which one it is.
fn map_rows(x: &[f32], length: usize, row: impl Fn(usize, &[f32], &mut [f32]) + Sync) -> Vec<f32> {
    let length = length.max(1);
    let rows = (PIECE / length).max(1);
    let mut result = vec![0.0; x.len()];
    let arch = Arch::new();
    let pieces = x.par_chunks(rows * length).zip(result.par_chunks_mut(rows * length));
    pieces.enumerate().for_each(|(piece, (x, result))| {
        arch.dispatch(
            #[inline(always)]
            || {
                let pairs = x.chunks(length).zip(result.chunks_mut(length));
                for (at, (x, result)) in pairs.enumerate() {
                    row(piece * rows + at, x, result);
                }
            },
        );
    });
    result
}

/// The axes in the order in which they lie in memory, where that is not their own
/// order but leaves no gaps.
fn order_in_memory(x: &Tensor) -> Option<Vec<usize>> {
    if x.is_contiguous() {
        return None;
    }
    let mut order: Vec<usize> = (0..x.rank()).collect();
    order.sort_by_key(|axis| std::cmp::Reverse(x.stride().get(*axis).copied()));
    let turned = x.permute(order.as_slice()).ok()?;
    turned.is_contiguous().then_some(order)
}

/// The order that brings axes back from this one.
fn back_from(order: &[usize]) -> Vec<usize> {
    let mut back = vec![0; order.len()];
    for (at, axis) in order.iter().enumerate() {
        if let Some(slot) = back.get_mut(*axis) {
            *slot = at;
        }
    }
    back
}

/// Where each matrix or row begins that the axes of `leading` count, in a layout
/// that has only the last `inner` axes besides.
fn starts(layout: &Layout, leading: &[usize], inner: usize) -> Result<Vec<usize>> {
    let split = layout.dims().len().checked_sub(inner).ok_or_else(unfit)?;
    let whole: Vec<usize> = leading.iter().chain(layout.dims().iter().skip(split)).copied().collect();
    let layout = layout.broadcast_as(whole)?;
    let mut starts = vec![layout.start_offset()];
    for (size, stride) in leading.iter().zip(layout.stride()) {
        starts = starts.iter().flat_map(|start| (0..*size).map(move |at| start + at * stride)).collect();
    }
    Ok(starts)
}

/// How many parts a sum is computed in, so that a vector of them is computed at once.
const LANES: usize = 16;

/// The sum of what `term` makes of the numbers.
#[inline(always)]
fn sum(numbers: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    fold(numbers, 0.0, |sum, number| sum + term(number), |a, b| a + b)
}

/// The sum of the products of pairs of numbers, as many on the left as on the right.
#[inline(always)]
fn dot(left: &[f32], right: &[f32]) -> f32 {
    let (left, left_rest) = left.as_chunks::<LANES>();
    let (right, right_rest) = right.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for (left, right) in left.iter().zip(right) {
        for ((lane, left), right) in lanes.iter_mut().zip(left).zip(right) {
            *lane += left * right;
        }
    }
    let rest = left_rest.iter().zip(right_rest).map(|(left, right)| left * right);
    lanes.into_iter().chain(rest).sum()
}

/// The sums of the products of pairs, and of those with a third; as many of each.
#[inline(always)]
fn sums_of(third: &[f32], left: &[f32], right: &[f32]) -> (f32, f32) {
    let (left, left_rest) = left.as_chunks::<LANES>();
    let (right, right_rest) = right.as_chunks::<LANES>();
    let (third, third_rest) = third.as_chunks::<LANES>();
    let (mut pairs, mut triples) = ([0.0; LANES], [0.0; LANES]);
    for ((left, right), third) in left.iter().zip(right).zip(third) {
        for lane in 0..LANES {
            let product = left[lane] * right[lane];
            pairs[lane] += product;
            triples[lane] += product * third[lane];
        }
    }
    let (mut pair, mut triple): (f32, f32) = (pairs.into_iter().sum(), triples.into_iter().sum());
    for ((left, right), third) in left_rest.iter().zip(right_rest).zip(third_rest) {
        pair += left * right;
        triple += left * right * third;
    }
    (pair, triple)
}

/// The largest number; NaN is smaller than every other.
#[inline(always)]
fn largest(numbers: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    fold(numbers, f32::NEG_INFINITY, larger, larger)
}

#[inline(always)]
fn fold(numbers: &[f32], start: f32, step: impl Fn(f32, f32) -> f32, join: impl Fn(f32, f32) -> f32) -> f32 {
    let (vectors, rest) = numbers.as_chunks::<LANES>();
    let mut lanes = [start; LANES];
    for vector in vectors {
        for (lane, number) in lanes.iter_mut().zip(vector) {
            *lane = step(*lane, *number);
        }
    }
    // So numbers that change nothing may follow, and the others are joined as without them.
    for (lane, number) in lanes.iter_mut().zip(rest) {
        *lane = step(*lane, *number);
    }
    lanes.into_iter().reduce(join).unwrap_or(start)
}
