//! The right side of a product, as it is read: panel by panel.

use super::{COLUMNS, DEPTH, STRIDE};
use rayon::prelude::*;

/// A matrix of signed codes, each a byte in two's complement, in panels of [`COLUMNS`] columns. A panel holds, for every
/// [`DEPTH`] rows, that many codes of each of its columns. Rows and columns that fill the
/// last group and panel are 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panels<'a> {
    /// The panels, one after the other.
    codes: &'a [u8],
    /// The sum of each column, of padding too.
    sums: &'a [i32],
    /// Groups of [`DEPTH`] rows.
    depth: usize,
}

impl<'a> Panels<'a> {
    /// Panels as a [`Packer`] made them, of a matrix of this many rows and columns; `None`
    /// where there are fewer or more codes or sums than that.
    pub(crate) fn new(codes: &'a [u8], sums: &'a [i32], rows: usize, columns: usize) -> Option<Panels<'a>> {
        let depth = rows.div_ceil(DEPTH);
        let fits = sums.len() == padded(columns) && codes.len() == size(rows, columns);
        fits.then_some(Panels { codes, sums, depth })
    }

    /// How many panels.
    pub(crate) fn count(self) -> usize {
        self.sums.len() / COLUMNS
    }

    /// `count` panels from `first` on.
    pub(crate) fn range(self, first: usize, count: usize) -> &'a [u8] {
        let size = self.depth * STRIDE;
        &self.codes[first * size..(first + count) * size]
    }

    /// The sums of the columns of those panels.
    pub(crate) fn sums(self, first: usize, count: usize) -> &'a [i32] {
        &self.sums[first * COLUMNS..(first + count) * COLUMNS]
    }
}

/// The number that a byte is in two's complement.
#[inline(always)]
fn number(code: u8) -> i32 {
    i32::from(code as i8)
}

/// Columns with those that fill the last panel.
pub(crate) fn padded(columns: usize) -> usize {
    columns.div_ceil(COLUMNS) * COLUMNS
}

/// Codes of the panels of a matrix.
pub(crate) fn size(rows: usize, columns: usize) -> usize {
    columns.div_ceil(COLUMNS) * rows.div_ceil(DEPTH) * STRIDE
}

/// The sum of each column of panels, of padding too.
pub(crate) fn sums(codes: &[u8], rows: usize, columns: usize) -> Vec<i32> {
    let mut sums = vec![0; padded(columns)];
    let size = (rows.div_ceil(DEPTH) * STRIDE).max(1);
    sums.par_chunks_mut(COLUMNS).zip(codes.par_chunks(size)).for_each(|(sums, panel)| {
        for group in panel.as_chunks::<STRIDE>().0 {
            for (sum, codes) in sums.iter_mut().zip(group.as_chunks::<DEPTH>().0) {
                *sum += codes.iter().map(|code| number(*code)).sum::<i32>();
            }
        }
    });
    sums
}

/// Makes panels, in memory that is kept for the next ones.
#[derive(Debug, Default)]
pub(crate) struct Packer {
    codes: Vec<u8>,
    sums: Vec<i32>,
    rows: usize,
    columns: usize,
}

impl Packer {
    /// Packs a matrix from its columns: `column` gives the codes of each.
    pub(crate) fn columns<'c>(&mut self, rows: usize, columns: usize, column: impl Fn(usize) -> &'c [u8]) {
        self.start(rows, columns);
        let depth = rows.div_ceil(DEPTH);
        for (panel, codes) in self.codes.chunks_exact_mut((depth * STRIDE).max(1)).enumerate() {
            for at in 0..COLUMNS.min(columns - panel * COLUMNS) {
                let given = column(panel * COLUMNS + at);
                let slots = codes.as_chunks_mut::<STRIDE>().0.iter_mut();
                let (whole, rest) = given.as_chunks::<DEPTH>();
                let groups = whole.iter().map(|group| group.as_slice()).chain([rest]);
                for (slot, group) in slots.zip(groups) {
                    slot[at * DEPTH..][..group.len()].copy_from_slice(group);
                }
                self.sums[panel * COLUMNS + at] = given.iter().map(|code| number(*code)).sum();
            }
        }
    }

    /// Packs a matrix from its rows: `row` gives the codes of each.
    pub(crate) fn rows<'r>(&mut self, rows: usize, columns: usize, row: impl Fn(usize) -> &'r [u8]) {
        self.start(rows, columns);
        let size = rows.div_ceil(DEPTH) * STRIDE;
        for group in 0..rows.div_ceil(DEPTH) {
            let given: [&[u8]; DEPTH] = std::array::from_fn(|at| match group * DEPTH + at {
                index if index < rows => row(index),
                _ => &[],
            });
            for panel in 0..columns.div_ceil(COLUMNS) {
                let from = panel * COLUMNS;
                let slot = &mut self.codes[panel * size + group * STRIDE..][..STRIDE];
                let parts = given.map(|row| row.get(from..(from + COLUMNS).min(row.len())).unwrap_or(&[]));
                interleave(parts, slot, &mut self.sums[from..from + COLUMNS]);
            }
        }
    }

    fn start(&mut self, rows: usize, columns: usize) {
        (self.rows, self.columns) = (rows, columns);
        self.codes.clear();
        self.codes.resize(size(rows, columns), 0);
        self.sums.clear();
        self.sums.resize(padded(columns), 0);
    }

    /// What was packed last.
    pub(crate) fn panels(&self) -> Panels<'_> {
        Panels { codes: &self.codes, sums: &self.sums, depth: self.rows.div_ceil(DEPTH) }
    }

    /// The codes and the sums of what was packed last, for [`Panels::new`].
    pub(crate) fn into_parts(self) -> (Vec<u8>, Vec<i32>) {
        (self.codes, self.sums)
    }
}

/// Puts codes of four rows side by side, and adds them to the sums of their columns.
#[inline(always)]
fn interleave(parts: [&[u8]; DEPTH], slot: &mut [u8], sums: &mut [i32]) {
    if let [Some(a), Some(b), Some(c), Some(d)] = parts.map(|part| part.as_array::<COLUMNS>()) {
        let slots = slot.as_chunks_mut::<DEPTH>().0.iter_mut().zip(sums);
        for (at, (slot, sum)) in slots.enumerate() {
            *slot = [a[at], b[at], c[at], d[at]];
            *sum += slot.iter().map(|code| number(*code)).sum::<i32>();
        }
        return;
    }
    for (row, part) in parts.into_iter().enumerate() {
        for (at, code) in part.iter().enumerate() {
            slot[at * DEPTH + row] = *code;
            sums[at] += number(*code);
        }
    }
}
