//! Rows times panels, in the widest vectors that the machine has.
//!
//! What is not inlined has not the instructions: so vectors are handed to no closure and no
//! iterator, but found by their index.

#![expect(clippy::needless_range_loop, reason = "arrays that are indexed stay in registers")]

use super::{Finish, Panels, Sums};
use crate::ops::kernels::gelu;
use pulp::{Arch, Simd, WithSimd};
use std::mem::MaybeUninit;

/// Vectors of a row of a panel.
pub(super) const VECTORS: usize = 2;

/// Columns of a panel.
pub(super) fn width() -> usize {
    Arch::new().dispatch(Width)
}

/// Rows that are multiplied at once.
pub(super) fn height() -> usize {
    Arch::new().dispatch(Height)
}

struct Width;

impl WithSimd for Width {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        VECTORS * S::F32_LANES
    }
}

struct Height;

impl WithSimd for Height {
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        height_of::<S>()
    }
}

/// As many rows as leave registers for a row of a panel and a number of the left side.
const fn height_of<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 { HEIGHT } else { HEIGHT / 2 }
}

/// Rows of a product in some of its columns.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    /// The left side, from the first of the rows on.
    pub(super) left: &'a [f32],
    /// How far a row on the left is from the next.
    pub(super) apart: usize,
    pub(super) right: Panels<'a>,
    /// The first of the panels.
    pub(super) first: usize,
    pub(super) sums: Sums,
    pub(super) finish: &'a Finish,
}

impl<'a> Block<'a> {
    /// To be written here: a part of each row.
    pub(super) fn into<'r>(self, rows: Vec<&'r mut [MaybeUninit<f32>]>) -> Work<'a, 'r> {
        Work { block: self, rows }
    }
}

/// A block, and where it is written.
pub(super) struct Work<'a, 'r> {
    block: Block<'a>,
    rows: Vec<&'r mut [MaybeUninit<f32>]>,
}

impl WithSimd for Work<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let Block { right, first, finish, sums, .. } = self.block;
        let width = VECTORS * S::F32_LANES;
        assert!(width == right.width(), "panels of the width that these instructions read");
        let panels = right.from(first);
        let columns = self.rows.first().map_or(0, |row| row.len());
        let mut totals = Totals::<S>::new(simd, self.rows.len(), sums.exact);
        for at in 0..columns.div_ceil(width) {
            let panel = panels.get(at * right.rows() * width..).unwrap_or_default();
            self.block.multiply(simd, panel, &mut totals);
            totals.finish(simd, finish, (first + at) * width);
            totals.write(&mut self.rows, at * width);
        }
    }
}

impl Block<'_> {
    /// Multiplies the rows with the first of these panels.
    #[inline(always)]
    fn multiply<S: Simd>(&self, simd: S, panels: &[f32], totals: &mut Totals<S>) {
        let (depth, width) = (self.right.rows(), self.right.width());
        let rows = totals.sums.len();
        if depth == 0 {
            totals.sums.fill([simd.splat_f32s(0.0); VECTORS]);
            return;
        }
        let mut tile = [[simd.splat_f32s(0.0); VECTORS]; HEIGHT];
        for start in (0..depth).step_by(self.sums.part) {
            let count = self.sums.part.min(depth - start);
            let (panel, ahead) = panels.get(start * width..).unwrap_or_default().split_at(count * width);
            let panel = S::as_simd_f32s(panel).0.as_chunks::<VECTORS>().0;
            // What comes next is fetched while this is multiplied.
            let share = (panel.len() * width).div_ceil(rows.div_ceil(height_of::<S>()).max(1));
            let mut ahead = ahead.chunks(share.max(1));
            for first in (0..rows).step_by(height_of::<S>()) {
                fetch(ahead.next().unwrap_or_default());
                let left = self.left.get(first * self.apart + start..).unwrap_or_default();
                self.tile(simd, rows - first, left, panel, &mut tile);
                for (row, sums) in tile.iter().enumerate().take(height_of::<S>().min(rows - first)) {
                    totals.add(simd, first + row, sums, start == 0);
                }
            }
        }
    }

    /// Multiplies so many rows, or as many as fill the registers.
    #[inline(always)]
    fn tile<S: Simd>(
        &self,
        simd: S,
        rows: usize,
        left: &[f32],
        panel: &[[S::f32s; VECTORS]],
        tile: &mut Tile<S>,
    ) {
        macro_rules! tiles {
            ($($rows:literal)* or $most:literal) => {
                match rows {
                    $($rows => multiply::<S, $rows>(simd, left, self.apart, panel, tile),)*
                    _ => multiply::<S, $most>(simd, left, self.apart, panel, tile),
                }
            };
        }
        if height_of::<S>() > 6 { tiles!(1 2 3 4 5 6 7 8 9 10 11 or 12) } else { tiles!(1 2 3 4 5 or 6) }
    }
}

/// Sums of rows of a part of a panel.
pub(super) type Tile<S> = [[<S as Simd>::f32s; VECTORS]; HEIGHT];

/// Rows of a tile, at most.
pub(super) const HEIGHT: usize = 12;

/// Writes the sums of the products of rows with a part of a panel.
#[inline(always)]
pub(super) fn multiply<S: Simd, const ROWS: usize>(
    simd: S,
    left: &[f32],
    apart: usize,
    panel: &[[S::f32s; VECTORS]],
    tile: &mut Tile<S>,
) {
    assert!((ROWS - 1) * apart + panel.len() <= left.len(), "rows that are there");
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
    for (step, right) in panel.iter().enumerate() {
        for row in 0..ROWS {
            // SAFETY: `row` is below `ROWS`, and `step` below the length of the panel: with all
            // rows, that is no further than the left side reaches.
            let number = simd.splat_f32s(unsafe { *left.get_unchecked(row * apart + step) });
            for vector in 0..VECTORS {
                sums[row][vector] = simd.mul_add_e_f32s(number, right[vector], sums[row][vector]);
            }
        }
    }
    for row in 0..ROWS {
        for vector in 0..VECTORS {
            tile[row][vector] = sums[row][vector];
        }
    }
}

/// Brings numbers near that will be read soon.
#[inline(always)]
fn fetch(numbers: &[f32]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        /// Numbers of a line of the cache.
        const LINE: usize = 16;
        for line in numbers.chunks(LINE) {
            // SAFETY: x86-64 has the instruction, and it changes nothing but what is near.
            unsafe { _mm_prefetch::<_MM_HINT_T1>(line.as_ptr().cast()) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = numbers;
}

/// Sums of rows of a panel.
struct Totals<S: Simd> {
    sums: Vec<[S::f32s; VECTORS]>,
    /// What was lost where numbers were added, if that is kept.
    lost: Vec<[S::f32s; VECTORS]>,
}

impl<S: Simd> Totals<S> {
    fn new(simd: S, rows: usize, exact: bool) -> Totals<S> {
        let zeros = |rows| vec![[simd.splat_f32s(0.0); VECTORS]; rows];
        Totals { sums: zeros(rows), lost: zeros(if exact { rows } else { 0 }) }
    }

    /// Adds a part to the sums of a row. If `first`, they are of an earlier panel until then.
    #[inline(always)]
    fn add(&mut self, simd: S, row: usize, parts: &[S::f32s; VECTORS], first: bool) {
        let Some(sums) = self.sums.get_mut(row) else { return };
        if first {
            *sums = *parts;
            if let Some(lost) = self.lost.get_mut(row) {
                *lost = [simd.splat_f32s(0.0); VECTORS];
            }
            return;
        }
        let Some(lost) = self.lost.get_mut(row) else {
            for vector in 0..VECTORS {
                sums[vector] = simd.add_f32s(sums[vector], parts[vector]);
            }
            return;
        };
        // Knuth's two-sum: the error of an addition (The Art of Computer Programming, volume 2,
        // 4.2.2, theorem B).
        for vector in 0..VECTORS {
            let (before, part) = (sums[vector], parts[vector]);
            let sum = simd.add_f32s(before, part);
            let added = simd.sub_f32s(sum, before);
            let kept = simd.sub_f32s(sum, added);
            let error = simd.add_f32s(simd.sub_f32s(before, kept), simd.sub_f32s(part, added));
            sums[vector] = sum;
            lost[vector] = simd.add_f32s(lost[vector], error);
        }
    }

    /// Makes results of the sums of a panel, whose first column is `column`.
    #[inline(always)]
    fn finish(&mut self, simd: S, finish: &Finish, column: usize) {
        for row in 0..self.lost.len().min(self.sums.len()) {
            for vector in 0..VECTORS {
                self.sums[row][vector] = simd.add_f32s(self.sums[row][vector], self.lost[row][vector]);
            }
        }
        let (scales, bias) = (vectors::<S>(&finish.scales, column), vectors::<S>(&finish.bias, column));
        for sums in &mut self.sums {
            for vector in 0..VECTORS {
                if let Some(scales) = &scales {
                    sums[vector] = simd.mul_f32s(sums[vector], scales[vector]);
                }
                if let Some(bias) = &bias {
                    sums[vector] = simd.add_f32s(sums[vector], bias[vector]);
                }
            }
        }
        if finish.gelu {
            let numbers: &mut [f32] = pulp::bytemuck::cast_slice_mut(self.sums.as_flattened_mut());
            for number in numbers {
                *number = gelu::of(*number);
            }
        }
    }

    /// Writes rows from this column on.
    #[inline(always)]
    fn write(&self, rows: &mut [&mut [MaybeUninit<f32>]], column: usize) {
        for (row, sums) in self.sums.iter().enumerate() {
            let Some(row) = rows.get_mut(row) else { return };
            let slots = row.get_mut(column..).unwrap_or_default();
            if let Some(slots) = S::as_uninit_mut_simd_f32s(slots).0.first_chunk_mut::<VECTORS>() {
                for vector in 0..VECTORS {
                    slots[vector].write(sums[vector]);
                }
                continue;
            }
            let numbers: &[f32] = pulp::bytemuck::cast_slice(sums);
            for (slot, number) in slots.iter_mut().zip(numbers) {
                slot.write(*number);
            }
        }
    }
}

/// The numbers of a panel whose first column is this one.
#[inline(always)]
fn vectors<S: Simd>(numbers: &[f32], column: usize) -> Option<[S::f32s; VECTORS]> {
    S::as_simd_f32s(numbers.get(column..)?).0.first_chunk().copied()
}
