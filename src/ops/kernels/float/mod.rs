//! Products of matrices of f32.
//!
//! The right side lies in [`Panels`]: as many columns side by side as two vectors hold, row
//! after row, so that it is read in one piece. The left side is read where it is. A number of
//! the result is a sum of parts, each added up in order; neither the number of rows nor that of
//! cores changes it.

mod block;
mod panels;
#[cfg(test)]
mod tests;

pub(super) use panels::{Panels, pack, unpack};

use block::Block;
use pulp::Arch;
use rayon::prelude::*;
use std::mem::MaybeUninit;

/// Products that are added up in order, at most: as many rows of a panel as stay in the nearest
/// cache beside the left side.
const PART: usize = 384;

/// Rows that one thread multiplies at once, at most. So often a panel is read from near.
const ROWS: usize = 192;

/// Numbers of the result that one thread computes at once, at most: their sums stay near.
const SIZE: usize = 32 * 1024;

/// A matrix whose elements may lie apart. `rows` and `columns` are how many there are and how
/// far each is from the next.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    /// From the first element on.
    pub(super) numbers: &'a [f32],
    pub(super) rows: (usize, usize),
    pub(super) columns: (usize, usize),
}

/// What is done with a sum while it is at hand.
#[derive(Clone, Default)]
pub(super) struct Finish {
    /// What it is multiplied by: a number for each column, or none.
    pub(super) scales: Vec<f32>,
    /// What is added then: a number for each column, or none.
    pub(super) bias: Vec<f32>,
    /// Then takes the GELU.
    pub(super) gelu: bool,
}

/// How sums are added up.
#[derive(Clone, Copy)]
pub(super) struct Sums {
    /// Products that are added up in order, before they are added to others.
    part: usize,
    /// What is lost where parts are added is kept, and added in the end.
    exact: bool,
}

impl Sums {
    /// As is fast. Zeros that follow change no sum.
    pub(super) const FAST: Sums = Sums { part: PART, exact: false };

    /// Such that the sum of `length` products is exact, until it is rounded in the end, where
    /// those of `reach` whole numbers are. That holds as long as the errors of additions, whole
    /// numbers too, have a sum that f32 counts.
    pub(super) fn exactly(length: usize, reach: usize) -> Sums {
        Sums { part: PART.min(reach).max(1), exact: length > reach }
    }
}

/// A product of two matrices. The numbers of a row on the left are neighbours.
#[derive(Clone, Copy)]
pub(super) struct Product<'a> {
    left: Matrix<'a>,
    right: Panels<'a>,
    sums: Sums,
    finish: &'a Finish,
}

impl<'a> Product<'a> {
    /// `None` where the sizes do not fit one another, or numbers are missing.
    pub(super) fn new(
        left: Matrix<'a>,
        right: Panels<'a>,
        sums: Sums,
        finish: &'a Finish,
    ) -> Option<Product<'a>> {
        let (rows, down) = left.rows;
        let depth = left.columns.0;
        let needed =
            if depth == 0 { 0 } else { rows.checked_sub(1)?.checked_mul(down)?.checked_add(depth)? };
        let one_each = |numbers: &[f32]| numbers.is_empty() || numbers.len() == right.padded();
        let fits = depth == right.rows()
            && (depth <= 1 || left.columns.1 == 1)
            && left.numbers.len() >= needed
            && one_each(&finish.scales)
            && one_each(&finish.bias);
        fits.then_some(Product { left, right, sums, finish })
    }

    /// Writes all of the result, by rows, on this thread.
    pub(super) fn write(&self, result: &mut [MaybeUninit<f32>]) {
        for task in self.tasks(result, self.right.count().max(1), ROWS) {
            task();
        }
    }

    /// The same, on all of them.
    pub(super) fn write_together(&self, result: &mut [MaybeUninit<f32>]) {
        // A few for each thread, so that none waits long for the last.
        let wanted = 4 * rayon::current_num_threads();
        let blocks = self.left.rows.0.div_ceil(ROWS).max(1);
        let rows = self.left.rows.0.div_ceil(blocks).next_multiple_of(block::height());
        let panels = self.right.count().div_ceil(wanted.div_ceil(blocks)).max(1);
        let panels = panels.min(SIZE / (rows * self.right.width()).max(1)).max(1);
        self.tasks(result, panels, rows).into_par_iter().for_each(|task| task());
    }

    /// The parts of the work: each has up to so many panels and rows.
    fn tasks<'r>(
        &self,
        result: &'r mut [MaybeUninit<f32>],
        panels: usize,
        rows: usize,
    ) -> Vec<impl FnOnce() + Send + use<'a, 'r>> {
        let columns = self.right.columns().max(1);
        let width = (panels * self.right.width()).max(1);
        let groups = columns.div_ceil(width);
        let arch = Arch::new();
        let mut tasks = Vec::new();
        for (block, result) in result.chunks_mut(rows.max(1) * columns).enumerate() {
            let mut parts: Vec<Vec<&mut [MaybeUninit<f32>]>> = Vec::new();
            parts.resize_with(groups, || Vec::with_capacity(rows));
            for row in result.chunks_mut(columns) {
                for (part, row) in parts.iter_mut().zip(row.chunks_mut(width)) {
                    part.push(row);
                }
            }
            let start = (block * rows * self.left.rows.1).min(self.left.numbers.len());
            let left = self.left.numbers.get(start..).unwrap_or_default();
            for (group, result) in parts.into_iter().enumerate() {
                let (right, sums, finish) = (self.right, self.sums, self.finish);
                let work =
                    Block { left, apart: self.left.rows.1, right, first: group * panels, sums, finish };
                tasks.push(move || arch.dispatch(work.into(result)));
            }
        }
        tasks
    }
}
