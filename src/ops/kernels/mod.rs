//! Loops over f32 in a CPU's memory, for what candle has no fast form of.
//!
//! Each loop is compiled for several instruction sets, of which the widest that
//! the machine has is run, and is shared among all cores. No loop relies on fused
//! multiply-add, so results do not depend on the machine.

mod exp;
mod gelu;
mod layer_norm;
mod matmul;
mod softmax;

pub(crate) use gelu::gelu;
pub(crate) use layer_norm::layer_norm;
pub(crate) use matmul::{can_multiply, matmul};
pub(crate) use softmax::softmax;

use candle_core::{CpuStorage, Error, Result, Storage, Tensor};
use pulp::Arch;
use rayon::prelude::*;

/// Numbers that are handed to a core at once: few enough to balance, enough to be
/// worth it.
const PIECE: usize = 16 * 1024;

/// The tensor is in the form that the loops read: f32, in one piece, on a CPU, and
/// not part of a gradient's path.
pub(crate) fn fits(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == candle_core::DType::F32 && x.is_contiguous() && !x.track_op()
}

/// Gives `read` the numbers of a tensor that [`fits`].
fn with_numbers<T>(x: &Tensor, read: impl FnOnce(&[f32]) -> T) -> Result<T> {
    let (storage, layout) = x.storage_and_layout();
    let (start, end) = layout.contiguous_offsets().ok_or_else(unfit)?;
    numbers(&storage)?.get(start..end).map(read).ok_or_else(unfit)
}

/// All numbers of a storage, whatever part of them a tensor is.
fn numbers(storage: &Storage) -> Result<&[f32]> {
    match storage {
        Storage::Cpu(CpuStorage::F32(numbers)) => Ok(numbers),
        _ => Err(unfit()),
    }
}

fn unfit() -> Error {
    Error::Msg("the numbers are not f32 in one piece on a CPU".to_owned())
}

/// Rows of `length` numbers, each made from a row of `x` by `row`.
fn map_rows(x: &[f32], length: usize, row: impl Fn(&[f32], &mut [f32]) + Sync) -> Vec<f32> {
    let length = length.max(1);
    let piece = (PIECE / length).max(1) * length;
    let mut result = vec![0.0; x.len()];
    let arch = Arch::new();
    x.par_chunks(piece).zip(result.par_chunks_mut(piece)).for_each(|(x, result)| {
        arch.dispatch(
            #[inline(always)]
            || {
                for (x, result) in x.chunks(length).zip(result.chunks_mut(length)) {
                    row(x, result);
                }
            },
        );
    });
    result
}

/// How many parts a sum is computed in, so that a vector of them is computed at once.
const LANES: usize = 16;

/// The sum of what `term` makes of the numbers.
#[inline(always)]
fn sum(numbers: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    fold(numbers, 0.0, |sum, number| sum + term(number), |a, b| a + b)
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
    let joined = lanes.into_iter().reduce(join).unwrap_or(start);
    rest.iter().fold(joined, |joined, number| step(joined, *number))
}
