//! `gelu(input @ weight + bias)` on codes, a block of rows by some columns at a time.

use super::{Call, Scratch};
use crate::{
    backends::integer::program::{BufferId, Form, Linear},
    ops::kernels::{
        gelu_of,
        integer::{COLUMNS, Tile, WIDTH},
        vectorize,
    },
};

/// Rows of a task: a multiple of the rows that any kernel multiplies at once.
const BLOCK: usize = 48;

/// Pairs of panels that a task has at least, so that making its rows ready is little of it.
const PAIRS: usize = 4;

/// Tasks that each thread gets, so that none waits long for the last.
const SHARE: usize = 4;

/// How a product is shared out: blocks of rows, each in chunks of panels.
pub(super) struct Split {
    rows: usize,
    blocks: usize,
    pairs: usize,
    chunks: usize,
}

impl Split {
    pub(super) fn new(linear: &Linear, rows: usize, threads: usize) -> Split {
        let blocks = rows.div_ceil(BLOCK);
        let pairs = linear.weight.columns().div_ceil(WIDTH);
        let wanted = (SHARE * threads).div_ceil(blocks.max(1));
        let chunks = wanted.min(pairs / PAIRS).max(1);
        Split { rows, blocks, pairs, chunks }
    }

    pub(super) fn tasks(&self) -> usize {
        self.blocks * self.chunks
    }
}

/// Does one task.
///
/// # Safety
/// As [`Call::task`].
pub(super) unsafe fn task(
    call: &Call,
    linear: &Linear,
    results: &[BufferId],
    task: usize,
    scratch: &mut Scratch,
) {
    let rows = results.first().map_or(0, |buffer| call.memory.rows(*buffer));
    let split = Split::new(linear, rows, call.threads);
    let (block, chunk) = (task % split.blocks, task / split.blocks);
    let first = block * BLOCK;
    let rows = first..(first + BLOCK).min(split.rows);
    let Form::Codes(quantizer) = call.memory.form(linear.input) else { return };
    let Some(panels) = linear.weight.panels() else { return };
    let length = linear.weight.rows();
    // SAFETY: the step that makes the input is done.
    let codes = unsafe { call.memory.codes(linear.input) };
    let starts = rows.clone().map(|row| row * length);
    scratch.rows.fill(call.kernel, codes, starts, length, quantizer.is_signed());
    let height = call.kernel.height();
    for pair in chunk * split.pairs / split.chunks..(chunk + 1) * split.pairs / split.chunks {
        let panel = 2 * pair;
        let count = (panels.count() - panel).min(2);
        let right = panels.range(panel, count);
        let column =
            Columns::new(linear, panel, scratch.rows.is_shifted().then(|| panels.sums(panel, count)));
        for first in (0..rows.len()).step_by(height) {
            let count = (rows.len() - first).min(height);
            call.kernel.multiply(&scratch.rows, first, count, right, &mut scratch.tile);
            vectorize!(call.arch, {
                // SAFETY: no other task has these rows and columns.
                unsafe { finish(call, linear, results, &scratch.tile, rows.start + first, count, &column) }
            });
        }
    }
}

/// What becomes of the sums in each column of a tile.
struct Columns {
    first: usize,
    /// How many there are.
    count: usize,
    shifts: [i32; WIDTH],
    scales: [f32; WIDTH],
    bias: [f32; WIDTH],
}

impl Columns {
    fn new(linear: &Linear, panel: usize, sums: Option<&[i32]>) -> Columns {
        let first = panel * COLUMNS;
        let mut shifts = [0; WIDTH];
        for (shift, sum) in shifts.iter_mut().zip(sums.unwrap_or(&[])) {
            *shift = sum.wrapping_mul(128);
        }
        let of = |numbers: &[f32]| {
            let numbers = numbers.get(first..first + WIDTH).and_then(|numbers| numbers.as_array());
            numbers.copied().unwrap_or([0.0; WIDTH])
        };
        let count = linear.weight.columns().saturating_sub(first).min(WIDTH);
        Columns { first, count, shifts, scales: of(&linear.scales), bias: of(&linear.bias) }
    }
}

/// Scales the sums of a tile and puts them where they go.
///
/// # Safety
/// Nothing else reads or writes these rows and columns of the results meanwhile.
#[inline(always)]
unsafe fn finish(
    call: &Call,
    linear: &Linear,
    results: &[BufferId],
    tile: &Tile,
    first: usize,
    count: usize,
    columns: &Columns,
) {
    for (row, sums) in tile.iter().take(count).enumerate() {
        let mut numbers = [0.0_f32; WIDTH];
        for (at, number) in numbers.iter_mut().enumerate() {
            let sum = sums[at].wrapping_sub(columns.shifts[at]);
            *number = sum as f32 * columns.scales[at] + columns.bias[at];
        }
        if linear.gelu {
            for number in &mut numbers {
                *number = gelu_of(*number);
            }
        }
        // SAFETY: the caller's promise.
        unsafe { call.write(results, first + row, columns.first, &numbers[..columns.count]) };
    }
}
