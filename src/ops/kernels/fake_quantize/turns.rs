//! Which range each number of a tensor has.

use super::super::PIECE;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use std::{mem::MaybeUninit, ops::Range};

/// In memory order, each of some ranges holds for `run` numbers, and after the last
/// one it is the first one's turn again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Turns {
    /// Numbers to which one range applies, one after the other.
    pub(super) run: usize,
    /// How many ranges there are.
    pub(super) ranges: usize,
}

/// Runs shorter than this are not worth a loop of their own.
const SHORT: usize = 16;

/// Numbers next to one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Span {
    /// All of one range.
    Run(usize),
    /// Of ranges from one place of [`Turns::spread`] on.
    Spread(usize),
}

impl Turns {
    /// Ranges are spread: each number has its own entry in [`Turns::spread`].
    fn is_spread(self) -> bool {
        self.run < SHORT && self.ranges > 1
    }

    /// What belongs to each range, as often as [`Span`]s want it.
    pub(super) fn spread<A, B: Copy>(self, each: &[A], of: impl Fn(&A) -> B) -> Vec<B> {
        let copies = if self.is_spread() { self.run } else { 1 };
        each.iter().flat_map(|one| std::iter::repeat_n(of(one), copies)).collect()
    }

    /// The numbers from `start` up to `end` in memory, as spans.
    #[inline(always)]
    pub(super) fn spans(self, start: usize, end: usize, mut each: impl FnMut(Range<usize>, Span)) {
        let spread = self.is_spread();
        let length = if spread { self.run * self.ranges } else { self.run }.max(1);
        let mut at = start;
        while at < end {
            let next = (at - at % length).saturating_add(length).min(end);
            let span =
                if spread { Span::Spread(at % length) } else { Span::Run(at / length % self.ranges.max(1)) };
            each(at - start..next - start, span);
            at = next;
        }
    }
}

/// `count` numbers that `piece` writes, some at a time: it is given the place of the
/// first one and room for them, and says how many it wrote, from the front, and what
/// it found. `None` where it did not write all.
#[inline(always)]
pub(super) fn in_pieces<R: Send>(
    count: usize,
    piece: impl Fn(usize, &mut [MaybeUninit<f32>]) -> (usize, R) + Sync,
) -> Option<(Vec<f32>, Vec<R>)> {
    let arch = Arch::new();
    let mut result: Vec<f32> = Vec::with_capacity(count);
    let room = result.spare_capacity_mut().get_mut(..count)?;
    let pieces = room.par_chunks_mut(PIECE).enumerate().map(|(at, room)| {
        let length = room.len();
        let (written, found) = arch.dispatch(Piece { write: &piece, start: at * PIECE, room });
        (written == length).then_some(found)
    });
    let found = pieces.collect::<Option<Vec<R>>>()?;
    // SAFETY: the capacity is at least `count`, and every piece of the first `count`
    // numbers was written whole: `write` counts what it wrote.
    unsafe { result.set_len(count) };
    Some((result, found))
}

/// The writing of one piece. A closure would do, but is not always compiled for the
/// instruction set that runs it.
struct Piece<'a, F> {
    write: &'a F,
    start: usize,
    room: &'a mut [MaybeUninit<f32>],
}

impl<R, F: Fn(usize, &mut [MaybeUninit<f32>]) -> R> WithSimd for Piece<'_, F> {
    type Output = R;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> R {
        (self.write)(self.start, self.room)
    }
}

/// Writes what `of` makes of each number, and says how many.
#[inline(always)]
pub(super) fn write(room: &mut [MaybeUninit<f32>], x: &[f32], of: impl Fn(f32) -> f32) -> usize {
    for (slot, x) in room.iter_mut().zip(x) {
        slot.write(of(*x));
    }
    room.len().min(x.len())
}

/// Writes what `of` makes of each number of `x` and that of `y` beside it, and says
/// how many.
#[inline(always)]
pub(super) fn write_pairs<T>(
    room: &mut [MaybeUninit<f32>],
    x: &[f32],
    y: &[T],
    of: impl Fn(f32, &T) -> f32,
) -> usize {
    for ((slot, x), y) in room.iter_mut().zip(x).zip(y) {
        slot.write(of(*x, y));
    }
    room.len().min(x.len()).min(y.len())
}
