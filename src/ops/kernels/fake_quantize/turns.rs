//! Which range each number of a tensor has.

use super::super::PIECE;
use pulp::Arch;
use rayon::prelude::*;
use std::ops::Range;

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
    pub(super) fn spread<T: Copy>(self, each: &[T]) -> Vec<T> {
        let copies = if self.is_spread() { self.run } else { 1 };
        each.iter().flat_map(|one| std::iter::repeat_n(*one, copies)).collect()
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

/// One number for each of `x`: `piece` writes those of some numbers of `x`, which
/// begin at the place it is told, and says what it found. All of what it is given
/// to write has a value already where `x` is written over.
pub(super) fn in_pieces<R: Send>(
    x: &[f32],
    piece: impl Fn(usize, &[f32], &mut [f32]) -> R + Sync,
) -> (Vec<f32>, Vec<R>) {
    let arch = Arch::new();
    let mut result = vec![0.0; x.len()];
    let pieces = x.par_chunks(PIECE).zip(result.par_chunks_mut(PIECE)).enumerate();
    let found = pieces.map(|(at, (x, result))| {
        arch.dispatch(
            #[inline(always)]
            || piece(at * PIECE, x, result),
        )
    });
    let found = found.collect();
    (result, found)
}
