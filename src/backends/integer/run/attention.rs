//! Attention on codes, some queries of one head of one text at a time.

use super::{Call, Mask, Noted, Scratch, Texts};
use crate::{
    backends::integer::program::{Attention, BufferId, Factor, Form, Heads},
    graph::NodeId,
    ops::kernels::{
        integer::{COLUMNS, HEIGHT, Packer, Tile, WIDTH},
        rescale, vectorize,
    },
};
use std::{ops::Range, sync::PoisonError};

/// Tasks that each thread gets, if there are so many queries.
const SHARE: usize = 2;

/// Queries that a task has at least, so that packing keys and values is little of it.
const QUERIES: usize = 64;

/// How many tasks an attention is.
pub(super) fn tasks(call: &Call, node: NodeId, attention: &Attention) -> usize {
    let Some(texts) = call.texts.get(&node) else { return 0 };
    texts.count * attention.heads * pieces(call, attention, *texts)
}

/// Into how many tasks the queries of a head are divided.
fn pieces(call: &Call, attention: &Attention, texts: Texts) -> usize {
    let heads = (texts.count * attention.heads).max(1);
    (SHARE * call.threads).div_ceil(heads).clamp(1, texts.queries.div_ceil(QUERIES).max(1))
}

/// Does one task.
///
/// # Safety
/// As [`Call::task`].
pub(super) unsafe fn task(
    call: &Call,
    node: NodeId,
    attention: &Attention,
    results: &[BufferId],
    task: usize,
    scratch: &mut Scratch,
) {
    let Some(texts) = call.texts.get(&node).copied() else { return };
    let pieces = pieces(call, attention, texts);
    let (piece, head) = (task % pieces, task / pieces % attention.heads);
    let text = task / pieces / attention.heads;
    let size = attention.size;
    let span = Span::new(call, texts, text);
    let side =
        |heads, first| Side { heads, width: call.memory.columns(heads.buffer), attention, text, head, first };
    let query = side(&attention.query, span.query);
    let (key, value) = (side(&attention.key, span.key), side(&attention.value, span.key));
    // SAFETY: the steps that make them are done.
    let [queries, keys, values] =
        unsafe { [&query, &key, &value].map(|side| call.memory.codes(side.heads.buffer)) };
    let Form::Codes(quantizer) = call.memory.form(query.heads.buffer) else { return };
    vectorize!(call.arch, {
        let key_row = |at| row(keys, key.start(at, span.keys), size);
        scratch.keys.columns(size, span.keys, key_row);
        let value_row = |at| row(values, value.start(at, span.keys), size);
        scratch.values.rows(span.keys, size, value_row);
    });
    let own = piece * span.queries / pieces..(piece + 1) * span.queries / pieces;
    for first in own.clone().step_by(call.kernel.height()) {
        let rows = first..(first + call.kernel.height()).min(own.end);
        let starts = rows.clone().map(|at| query.start(at, span.queries));
        scratch.rows.fill(call.kernel, queries, starts, size, quantizer.is_signed());
        let mask = attention.mask.and_then(|mask| call.masks.get(&mask));
        scores(call, attention, span.keys, rows.len(), scratch);
        vectorize!(call.arch, soften(attention, mask, [text, head], rows.clone(), &span, scratch));
        if let Some(noted) = call.noted {
            let from = ((text * attention.heads + head) * texts.queries + rows.start) * texts.keys;
            note(noted, node, attention, texts, from, &scratch.bytes[..rows.len() * texts.keys]);
        }
        let starts = (0..rows.len()).map(|row| row * span.keys);
        let is_signed = attention.probabilities.is_signed();
        scratch.probability_rows.fill(call.kernel, &scratch.bytes, starts, span.keys, is_signed);
        let first = span.query + rows.start;
        // SAFETY: no other task has these rows of this head.
        unsafe { contexts(call, attention, results, first, rows.len(), head, scratch) };
    }
}

/// Keeps codes of probabilities.
fn note(noted: &Noted, node: NodeId, attention: &Attention, texts: Texts, from: usize, codes: &[u8]) {
    let all = texts.count * attention.heads * texts.queries * texts.keys;
    let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
    let kept = noted.entry(node).or_insert_with(|| vec![0; all]);
    kept[from..from + codes.len()].copy_from_slice(codes);
}

/// Codes of one head of one text.
struct Side<'a> {
    heads: &'a Heads,
    /// Numbers in a row of the buffer.
    width: usize,
    attention: &'a Attention,
    text: usize,
    head: usize,
    /// The row of its first position, where rows hold all heads.
    first: usize,
}

/// The rows of one text.
struct Span<'a> {
    /// The row of its first query.
    query: usize,
    queries: usize,
    /// The row of its first key.
    key: usize,
    keys: usize,
    /// Which place of the text each key has, plus the first of them; nothing where keys have
    /// the places in order.
    places: Option<(&'a [usize], usize)>,
}

impl<'a> Span<'a> {
    fn new(call: &Call<'a>, texts: Texts, text: usize) -> Span<'a> {
        let Some(kept) = call.kept else {
            let Texts { queries, keys, .. } = texts;
            return Span { query: text * queries, queries, key: text * keys, keys, places: None };
        };
        let (start, end) = (kept.starts[text], kept.starts[text + 1]);
        let (first, count) = (text * kept.length, end - start);
        let places = Some((&kept.rows[start..end], first));
        Span { query: start, queries: count, key: start, keys: count, places }
    }
}

impl Side<'_> {
    /// Where the codes of a position begin, of `length` ones.
    #[inline(always)]
    fn start(&self, position: usize, length: usize) -> usize {
        if self.heads.is_split {
            ((self.text * self.attention.heads + self.head) * length + position) * self.width
        } else {
            (self.first + position) * self.width + self.head * self.attention.size
        }
    }
}

#[inline(always)]
fn row(codes: &[u8], start: usize, length: usize) -> &[u8] {
    &codes[start..start + length]
}

/// Numbers that a row of scores has room for: whole vectors.
fn room(keys: usize) -> usize {
    keys.next_multiple_of(COLUMNS).max(COLUMNS)
}

/// The scores of some queries: numbers, a row for each.
fn scores(call: &Call, attention: &Attention, keys: usize, count: usize, scratch: &mut Scratch) {
    let room = room(keys);
    scratch.numbers.clear();
    // What fills a row up adds nothing to its sum, and leaves the order of additions alone.
    scratch.numbers.resize(HEIGHT * room, f32::NEG_INFINITY);
    let Scratch { rows, keys: packed, tile, numbers, .. } = scratch;
    each_tile(packed, |panel, panels| {
        let right = packed.panels();
        call.kernel.multiply(rows, 0, count, right.range(panel, panels), tile);
        let sums = rows.is_shifted().then(|| right.sums(panel, panels));
        vectorize!(call.arch, {
            let column = panel * COLUMNS;
            let width = keys.saturating_sub(column).min(WIDTH);
            for (row, sums_of_row) in tile.iter().take(count).enumerate() {
                let mut scaled = scaled(sums_of_row, sums, attention.scale);
                match attention.factor {
                    Factor::Times(factor) => scaled.iter_mut().for_each(|score| *score *= factor),
                    Factor::Over(divisor) => scaled.iter_mut().for_each(|score| *score /= divisor),
                }
                numbers[row * room + column..][..width].copy_from_slice(&scaled[..width]);
            }
        });
    });
}

/// The sums of a row of a tile, without the share of what was added to codes, scaled.
#[inline(always)]
fn scaled(sums: &[i32; WIDTH], totals: Option<&[i32]>, scale: f32) -> [f32; WIDTH] {
    let mut numbers = [0.0; WIDTH];
    for (number, sum) in numbers.iter_mut().zip(sums) {
        *number = *sum as f32 * scale;
    }
    if let Some(totals) = totals {
        for ((number, sum), total) in numbers.iter_mut().zip(sums).zip(totals) {
            *number = sum.wrapping_sub(total.wrapping_mul(128)) as f32 * scale;
        }
    }
    numbers
}

/// Calls with each pair of panels, or the one that is left: its position, and how many.
fn each_tile(packed: &Packer, mut tile: impl FnMut(usize, usize)) {
    let count = packed.panels().count();
    for panel in (0..count).step_by(2) {
        tile(panel, (count - panel).min(2));
    }
}

/// Scores to codes of probabilities.
#[inline(always)]
fn soften(
    attention: &Attention,
    mask: Option<&Mask>,
    [text, head]: [usize; 2],
    queries: Range<usize>,
    span: &Span,
    scratch: &mut Scratch,
) {
    let keys = span.keys;
    scratch.bytes.resize(HEIGHT * keys, 0);
    let rows = scratch.numbers.chunks_exact_mut(room(keys));
    let codes = scratch.bytes.chunks_exact_mut(keys.max(1));
    for ((query, whole), codes) in queries.zip(rows).zip(codes) {
        let row = &mut whole[..keys];
        if let Some(Mask { numbers, strides }) = mask {
            let start = text * strides[0] + head * strides[1] + query * strides[2];
            if let Some((places, first)) = span.places {
                let mask = places.iter().map(|place| numbers[start + (place - first) * strides[3]]);
                row.iter_mut().zip(mask).for_each(|(score, mask)| *score += mask);
            } else if strides[3] == 1 {
                let mask = &numbers[start..start + keys];
                row.iter_mut().zip(mask).for_each(|(score, mask)| *score += mask);
            } else {
                row.iter_mut().for_each(|score| *score += numbers[start]);
            }
        }
        rescale(whole);
        attention.probabilities.encode(&whole[..keys], codes);
    }
}

/// What the probabilities make of the values, put where it goes.
///
/// # Safety
/// Nothing else reads or writes these rows of the head meanwhile.
unsafe fn contexts(
    call: &Call,
    attention: &Attention,
    results: &[BufferId],
    first: usize,
    count: usize,
    head: usize,
    scratch: &mut Scratch,
) {
    let Scratch { probability_rows: rows, values: packed, tile, .. } = scratch;
    each_tile(packed, |panel, panels| {
        let right = packed.panels();
        call.kernel.multiply(rows, 0, count, right.range(panel, panels), tile);
        let sums = rows.is_shifted().then(|| right.sums(panel, panels));
        let tile: &Tile = tile;
        vectorize!(call.arch, {
            let column = panel * COLUMNS;
            let width = attention.size.saturating_sub(column).min(WIDTH);
            for (row, sums_of_row) in tile.iter().take(count).enumerate() {
                let numbers = scaled(sums_of_row, sums, attention.value_scale);
                let column = head * attention.size + column;
                // SAFETY: the caller's promise.
                unsafe { call.write(results, first + row, column, &numbers[..width]) };
            }
        });
    });
}
