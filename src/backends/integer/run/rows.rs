//! Steps that go row by row.

use super::{Call, ROWS, Scratch};
use crate::{
    backends::integer::program::{AddNorm, BufferId, Embedding, Form, Norm, Table},
    ops::kernels::{normalise, vectorize},
};
use candle_core::{CpuStorage, Storage};
use std::ops::Range;

/// The rows of a task.
fn rows(call: &Call, results: &[BufferId], task: usize) -> Range<usize> {
    let rows = results.first().map_or(0, |buffer| call.memory.rows(*buffer));
    task * ROWS..((task + 1) * ROWS).min(rows)
}

/// The layer norm of some rows.
///
/// # Safety
/// As [`Call::task`].
pub(super) unsafe fn add_norm(
    call: &Call,
    norm: &AddNorm,
    results: &[BufferId],
    task: usize,
    scratch: &mut Scratch,
) {
    let length = norm.norm.weight.len();
    scratch.numbers.resize(length, 0.0);
    let sum = scratch.numbers.as_mut_slice();
    vectorize!(call.arch, {
        for row in rows(call, results, task) {
            for (position, addend) in norm.addends.iter().enumerate() {
                // SAFETY: the steps that make the addends are done.
                unsafe { add(call, *addend, row * length, sum, position == 0) };
            }
            // SAFETY: no other task has this row.
            unsafe { finish(call, sum, &norm.norm, results, row) };
        }
    });
}

/// Adds a row of a buffer to numbers, or puts it there.
///
/// # Safety
/// Nothing writes the row meanwhile.
#[inline(always)]
unsafe fn add(call: &Call, buffer: BufferId, start: usize, sum: &mut [f32], is_first: bool) {
    let end = start + sum.len();
    let put = |slot: &mut f32, number: f32| *slot = if is_first { number } else { *slot + number };
    match call.memory.form(buffer) {
        Form::Float => {
            // SAFETY: the caller's promise.
            let numbers = unsafe { call.memory.floats(buffer) };
            sum.iter_mut().zip(&numbers[start..end]).for_each(|(slot, number)| put(slot, *number));
        }
        Form::Codes(quantizer) => {
            // SAFETY: the caller's promise.
            let codes = unsafe { call.memory.codes(buffer) };
            sum.iter_mut().zip(&codes[start..end]).for_each(|(slot, code)| put(slot, quantizer.value(*code)));
        }
    }
}

/// Normalises a row and puts it where it goes.
///
/// # Safety
/// As [`Call::write`].
#[inline(always)]
unsafe fn finish(call: &Call, numbers: &mut [f32], norm: &Norm, results: &[BufferId], row: usize) {
    normalise(numbers, &norm.weight, &norm.bias, norm.eps);
    // SAFETY: the caller's promise.
    unsafe { call.write(results, row, 0, numbers) };
}

/// The layer norm of sums of rows of tables.
///
/// # Safety
/// As [`Call::task`].
pub(super) unsafe fn embedding(
    call: &Call,
    embedding: &Embedding,
    results: &[BufferId],
    task: usize,
    scratch: &mut Scratch,
) {
    let length = embedding.norm.weight.len();
    scratch.numbers.resize(length, 0.0);
    let sum = scratch.numbers.as_mut_slice();
    let kept = results.first().and_then(|buffer| call.kept_of(*buffer));
    let terms = embedding.terms.iter();
    let tables: Vec<_> = terms
        .map(|term| match &term.table {
            Table::Loaded(table) => Some(table.storage_and_layout()),
            Table::Stored(_) => None,
        })
        .collect();
    vectorize!(call.arch, {
        for row in rows(call, results, task) {
            for (position, (term, loaded)) in embedding.terms.iter().zip(&tables).enumerate() {
                let Some(ids) = call.ids.get(&term.node) else { continue };
                let row = kept.and_then(|kept| kept.rows.get(row)).copied().unwrap_or(row);
                let (text, place) = (row / ids.length.max(1), row % ids.length.max(1));
                let id = ids.rows[text * ids.strides[0] + place * ids.strides[1]];
                if position == 0 {
                    sum.fill(0.0);
                }
                match (&term.table, loaded) {
                    (Table::Stored(table), _) => table.add_row(id, sum),
                    (_, Some((storage, layout))) => {
                        let Storage::Cpu(CpuStorage::F32(numbers)) = &**storage else { continue };
                        let start = layout.start_offset() + id * length;
                        let numbers = &numbers[start..start + length];
                        sum.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number);
                    }
                    _ => {}
                }
            }
            // SAFETY: no other task has this row.
            unsafe { finish(call, sum, &embedding.norm, results, row) };
        }
    });
}

/// Some rows in another form.
///
/// # Safety
/// As [`Call::task`].
pub(super) unsafe fn quantize(call: &Call, from: BufferId, results: &[BufferId], task: usize) {
    let length = call.memory.columns(from);
    // SAFETY: the value was put there before the step.
    let numbers = unsafe { call.memory.floats(from) };
    vectorize!(call.arch, {
        for row in rows(call, results, task) {
            // SAFETY: no other task has this row.
            unsafe { call.write(results, row, 0, &numbers[row * length..(row + 1) * length]) };
        }
    });
}
