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
        let (depth, width) = (right.rows(), VECTORS * S::F32_LANES);
        assert!(width == right.width(), "panels of the width that these instructions read");
        let panels = right.from(first);
        let columns = self.rows.first().map_or(0, |row| row.len());
        let count = columns.div_ceil(width);
        let mut totals = Totals::<S>::new(simd, self.rows.len(), count, sums.exact);
        // A part of the left side stays near while all panels are multiplied with it.
        for start in (0..depth).step_by(sums.part) {
            let size = sums.part.min(depth - start) * width;
            for panel in 0..count {
                let at = |panel: usize| (panel * depth + start) * width;
                let part = panels.get(at(panel)..at(panel) + size).unwrap_or_default();
                let ahead = panels.get(at(panel + 1)..at(panel + 1) + size).unwrap_or_default();
                self.block.multiply(simd, start, part, ahead, totals.of_panel(panel));
            }
        }
        for panel in 0..count {
            let mut totals = totals.of_panel(panel);
            totals.finish(simd, finish, (first + panel) * width);
            totals.write(&mut self.rows, panel * width);
        }
    }
}

impl Block<'_> {
    /// Multiplies the rows, from the number at `start` on, with a part of a panel. `ahead` is what
    /// comes next.
    #[inline(always)]
    fn multiply<S: Simd>(&self, simd: S, start: usize, part: &[f32], ahead: &[f32], mut totals: OfPanel<S>) {
        let rows = totals.sums.len();
        let mut tile = [[simd.splat_f32s(0.0); VECTORS]; HEIGHT];
        let part = S::as_simd_f32s(part).0.as_chunks::<VECTORS>().0;
        // It is fetched while this is multiplied.
        let share = ahead.len().div_ceil(rows.div_ceil(height_of::<S>()).max(1));
        let mut ahead = ahead.chunks(share.max(1));
        for first in (0..rows).step_by(height_of::<S>()) {
            fetch(ahead.next().unwrap_or_default());
            let left = self.left.get(first * self.apart + start..).unwrap_or_default();
            self.tile(simd, rows - first, left, part, &mut tile);
            for (row, sums) in tile.iter().enumerate().take(height_of::<S>().min(rows - first)) {
                totals.add(simd, first + row, sums, start == 0);
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

/// Sums of rows of panels, panel by panel.
struct Totals<S: Simd> {
    rows: usize,
    sums: Vec<[S::f32s; VECTORS]>,
    /// What was lost where numbers were added, if that is kept.
    lost: Vec<[S::f32s; VECTORS]>,
}

impl<S: Simd> Totals<S> {
    fn new(simd: S, rows: usize, panels: usize, exact: bool) -> Totals<S> {
        let zeros = |count| vec![[simd.splat_f32s(0.0); VECTORS]; count];
        Totals { rows, sums: zeros(rows * panels), lost: zeros(if exact { rows * panels } else { 0 }) }
    }

    #[inline(always)]
    fn of_panel(&mut self, panel: usize) -> OfPanel<'_, S> {
        let range = panel * self.rows..(panel + 1) * self.rows;
        OfPanel {
            sums: self.sums.get_mut(range.clone()).unwrap_or_default(),
            lost: self.lost.get_mut(range).unwrap_or_default(),
        }
    }
}

/// Sums of rows of a panel, and what was lost of each, if that is kept.
struct OfPanel<'t, S: Simd> {
    sums: &'t mut [[S::f32s; VECTORS]],
    lost: &'t mut [[S::f32s; VECTORS]],
}

impl<S: Simd> OfPanel<'_, S> {
    /// Adds a part to the sums of a row, of which it may be the first.
    #[inline(always)]
    fn add(&mut self, simd: S, row: usize, parts: &[S::f32s; VECTORS], first: bool) {
        let Some(sums) = self.sums.get_mut(row) else { return };
        if first {
            *sums = *parts;
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
        for sums in self.sums.iter_mut() {
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
