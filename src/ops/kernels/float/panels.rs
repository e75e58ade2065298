//! The right side of a product, as it is read: panel by panel.

use super::{Matrix, block};
use rayon::prelude::*;
use std::array::from_fn;

/// A matrix in panels of as many columns as two vectors hold. A panel holds the numbers of its
/// columns row after row. Columns that fill the last panel are 0.
#[derive(Clone, Copy)]
pub(in crate::ops::kernels) struct Panels<'a> {
    numbers: &'a [f32],
    rows: usize,
    columns: usize,
    width: usize,
}

impl<'a> Panels<'a> {
    /// Panels as [`pack`] made them; `None` where there are fewer or more numbers than a
    /// matrix of this size has.
    pub(in crate::ops::kernels) fn new(
        numbers: &'a [f32],
        rows: usize,
        columns: usize,
    ) -> Option<Panels<'a>> {
        let width = block::width();
        let size = rows.checked_mul(columns.div_ceil(width))?.checked_mul(width)?;
        (numbers.len() == size).then_some(Panels { numbers, rows, columns, width })
    }

    /// Sizes of a matrix in panels: how many, rows, and columns of each.
    pub(in crate::ops::kernels) fn shape(rows: usize, columns: usize) -> [usize; 3] {
        let width = block::width();
        [columns.div_ceil(width), rows, width]
    }

    /// Columns with those that fill the last panel.
    pub(in crate::ops::kernels) fn padded_columns(columns: usize) -> usize {
        columns.next_multiple_of(block::width())
    }

    /// How many rows.
    pub(super) fn rows(self) -> usize {
        self.rows
    }

    /// How many columns, without those that fill the last panel.
    pub(super) fn columns(self) -> usize {
        self.columns
    }

    /// Columns of a panel.
    pub(super) fn width(self) -> usize {
        self.width
    }

    /// Panels.
    pub(super) fn count(self) -> usize {
        self.columns.div_ceil(self.width)
    }

    /// Columns with those that fill the last panel.
    pub(super) fn padded(self) -> usize {
        self.count() * self.width
    }

    /// The panels from `first` on.
    pub(super) fn from(self, first: usize) -> &'a [f32] {
        self.numbers.get(first * self.rows * self.width..).unwrap_or_default()
    }
}

/// Packs a matrix in panels, in memory that is kept for the next one. `together`: all threads do.
pub(in crate::ops::kernels) fn pack<'p>(
    matrix: Matrix,
    into: &'p mut Vec<f32>,
    together: bool,
) -> Panels<'p> {
    pack_of_width(matrix, block::width(), into, together)
}

pub(super) fn pack_of_width<'p>(
    matrix: Matrix,
    width: usize,
    into: &'p mut Vec<f32>,
    together: bool,
) -> Panels<'p> {
    let (rows, columns) = (matrix.rows.0, matrix.columns.0);
    into.resize(rows * columns.div_ceil(width) * width, 0.0);
    let one = |(at, panel): (usize, &mut [f32])| match width {
        8 => fill::<8>(matrix, at, panel),
        16 => fill::<16>(matrix, at, panel),
        32 => fill::<32>(matrix, at, panel),
        _ => fill_slowly(matrix, at * width, width, panel),
    };
    let size = (rows * width).max(1);
    if together {
        into.par_chunks_mut(size).enumerate().for_each(one);
    } else {
        into.chunks_mut(size).enumerate().for_each(one);
    }
    Panels { numbers: into, rows, columns, width }
}

/// Numbers of a column that are moved at once, where they are neighbours.
const RUN: usize = 8;

/// Fills a panel with the columns of the matrix that belong there.
fn fill<const WIDTH: usize>(matrix: Matrix, at: usize, panel: &mut [f32]) {
    let Matrix { numbers, rows, columns } = matrix;
    let first = at * WIDTH;
    let tail = |start: usize| numbers.get(start..).unwrap_or_default();
    if first + WIDTH > columns.0 {
        fill_slowly(matrix, first, WIDTH, panel);
    } else if columns.1 == 1 {
        for (row, slot) in panel.as_chunks_mut::<WIDTH>().0.iter_mut().enumerate() {
            if let Some(given) = tail(row * rows.1 + first).first_chunk() {
                *slot = *given;
            }
        }
    } else if rows.1 == 1 {
        let given: [&[f32]; WIDTH] = from_fn(|column| tail((first + column) * columns.1));
        for (run, slots) in panel.as_chunks_mut::<WIDTH>().0.chunks_mut(RUN).enumerate() {
            let part = |column: usize| given[column].get(run * RUN..)?.first_chunk::<RUN>().copied();
            let parts: [[f32; RUN]; WIDTH] = from_fn(|column| {
                part(column).unwrap_or_else(|| {
                    from_fn(|row| given[column].get(run * RUN + row).copied().unwrap_or(0.0))
                })
            });
            for (row, slot) in slots.iter_mut().enumerate() {
                *slot = from_fn(|column| parts[column][row]);
            }
        }
    } else {
        fill_slowly(matrix, first, WIDTH, panel);
    }
}

fn fill_slowly(matrix: Matrix, first: usize, width: usize, panel: &mut [f32]) {
    let Matrix { numbers, rows, columns } = matrix;
    for (row, slots) in panel.chunks_mut(width).enumerate() {
        for (column, slot) in (first..).zip(slots) {
            let given = (column < columns.0).then(|| numbers.get(row * rows.1 + column * columns.1));
            *slot = given.flatten().copied().unwrap_or(0.0);
        }
    }
}

/// The matrix that panels hold, row after row.
pub(in crate::ops::kernels) fn unpack(panels: Panels) -> Vec<f32> {
    let mut result = vec![0.0; panels.rows * panels.columns];
    let rows = result.par_chunks_mut(panels.columns.max(1)).enumerate();
    rows.for_each(|(row, result)| {
        for (at, slots) in result.chunks_mut(panels.width).enumerate() {
            let given = panels.numbers.get((at * panels.rows + row) * panels.width..);
            slots.iter_mut().zip(given.unwrap_or_default()).for_each(|(slot, number)| *slot = *number);
        }
    });
    result
}
