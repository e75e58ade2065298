//! Where the buffers of a call are: one piece of memory for all of them.

use super::program::{BufferId, Form, Program};
use std::ops::Range;

/// Where each buffer is in a call of certain sizes, and what each step waits for.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// Rows of each buffer.
    pub(super) rows: Vec<usize>,
    /// Where each begins, in bytes.
    offsets: Vec<usize>,
    /// Bytes of all.
    pub(super) size: usize,
    /// For each step: how many of the steps, from the first on, must be done before it.
    pub(super) after: Vec<usize>,
}

/// Buffers begin at multiples of a cache line.
pub(super) const LINE: usize = 64;

/// Steps are compared with this many before them at most; they wait for all others.
const WINDOW: usize = 32;

/// A buffer that holds a value now.
struct Held {
    place: Range<usize>,
    /// The last step that uses it.
    until: usize,
}

impl Layout {
    /// The layout for buffers of these many rows. Buffers share memory where no step needs
    /// both. `parts` are the steps that run without others between them. `None` where the
    /// sizes are more than memory can be.
    ///
    /// With `whole` each has memory of its own, so that all can be read at the end.
    pub(super) fn new(
        program: &Program,
        parts: &[Range<usize>],
        rows: Vec<usize>,
        whole: bool,
    ) -> Option<Layout> {
        let mut lives = lives(program, parts);
        if whole {
            lives.fill(0..program.steps.len());
        }
        let mut order: Vec<usize> = (0..program.buffers.len()).collect();
        order.sort_by_key(|buffer| lives.get(*buffer).map(|life| life.start));
        let mut layout = Layout { offsets: vec![0; rows.len()], rows, size: 0, after: Vec::new() };
        let mut held: Vec<Held> = Vec::new();
        for buffer in order {
            let Some(life) = lives.get(buffer) else { continue };
            held.retain(|other| other.until >= life.start);
            let bytes = layout.bytes(program, BufferId(buffer))?.checked_next_multiple_of(LINE)?;
            // The first gap that is wide enough.
            let mut start = 0_usize;
            let mut at = 0;
            while let Some(other) = held.get(at) {
                if start.checked_add(bytes)? <= other.place.start {
                    break;
                }
                start = start.max(other.place.end);
                at += 1;
            }
            let end = start.checked_add(bytes)?;
            *layout.offsets.get_mut(buffer)? = start;
            layout.size = layout.size.max(end);
            held.insert(at, Held { place: start..end, until: life.end });
        }
        // Sizes of slices are at most this.
        isize::try_from(layout.size).ok()?;
        layout.after = layout.waits(program, parts);
        Some(layout)
    }

    fn bytes(&self, program: &Program, buffer: BufferId) -> Option<usize> {
        let shape = program.buffers.get(buffer.0)?;
        let numbers = self.rows.get(buffer.0)?.checked_mul(shape.columns)?;
        numbers.checked_mul(shape.form.bytes())
    }

    /// Where a buffer is.
    pub(super) fn place(&self, program: &Program, buffer: BufferId) -> Option<Range<usize>> {
        let start = *self.offsets.get(buffer.0)?;
        Some(start..start.checked_add(self.bytes(program, buffer)?)?)
    }

    /// For each step, how many of the first steps must be done: those that make what it
    /// reads, and those that use memory that it writes.
    fn waits(&self, program: &Program, parts: &[Range<usize>]) -> Vec<usize> {
        let places = |buffers: &[BufferId]| -> Vec<Range<usize>> {
            buffers.iter().filter_map(|buffer| self.place(program, *buffer)).collect()
        };
        let touched: Vec<(Vec<_>, Vec<_>)> =
            program.steps.iter().map(|step| (places(&step.work.reads()), places(&step.results))).collect();
        let mut after = vec![0; program.steps.len()];
        for part in parts {
            for step in part.clone() {
                let Some((reads, writes)) = touched.get(step) else { continue };
                let earliest = part.start.max(step.saturating_sub(WINDOW));
                let conflict = (earliest..step).rev().find(|earlier| {
                    touched.get(*earlier).is_some_and(|(read, written)| {
                        overlap(reads, written) || overlap(writes, written) || overlap(writes, read)
                    })
                });
                if let Some(after) = after.get_mut(step) {
                    *after = conflict.map_or(earliest, |earlier| earlier + 1);
                }
            }
        }
        after
    }
}

fn overlap(a: &[Range<usize>], b: &[Range<usize>]) -> bool {
    a.iter().any(|a| b.iter().any(|b| a.start < b.end && b.start < a.end))
}

/// For each buffer the first and the last step that need it, the latter included. What comes
/// from or goes elsewhere lives for the whole of its part.
fn lives(program: &Program, parts: &[Range<usize>]) -> Vec<Range<usize>> {
    // Nothing needs it yet.
    let never = Range { start: usize::MAX, end: 0 };
    let mut lives = vec![never; program.buffers.len()];
    let mut touch = |buffer: BufferId, step: usize| {
        if let Some(life) = lives.get_mut(buffer.0) {
            *life = life.start.min(step)..life.end.max(step);
        }
    };
    let outside = |list: &[(_, BufferId)], buffer: &BufferId| list.iter().any(|(_, other)| other == buffer);
    for part in parts {
        for step in part.clone() {
            let Some(described) = program.steps.get(step) else { continue };
            for buffer in described.work.reads() {
                touch(buffer, step);
                if outside(&program.imports, &buffer) {
                    touch(buffer, part.start);
                }
            }
            for buffer in &described.results {
                touch(*buffer, step);
                if outside(&program.exports, buffer) {
                    touch(*buffer, part.end.saturating_sub(1));
                }
            }
        }
    }
    lives
}

/// A piece of memory that keeps its size, or grows.
#[derive(Debug, Default)]
pub(super) struct Arena(Vec<Line>);

/// A cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

impl Arena {
    /// Memory for a layout.
    pub(super) fn lend<'a>(&'a mut self, program: &'a Program, layout: &'a Layout) -> Memory<'a> {
        let lines = layout.size.div_ceil(LINE);
        if self.0.len() < lines {
            // What it held is not needed.
            self.0 = Vec::new();
            self.0.resize(lines, Line([0; LINE]));
        }
        Memory { start: self.0.as_mut_ptr().cast(), length: self.0.len() * LINE, program, layout }
    }
}

/// The buffers of a call. Steps that run at once share it: each writes only what no other
/// reads or writes meanwhile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Memory<'a> {
    start: *mut u8,
    length: usize,
    program: &'a Program,
    layout: &'a Layout,
}

// SAFETY: the memory is borrowed from an arena for as long as this lives; who may touch which
// part of it is the contract of the functions that do, which are unsafe.
unsafe impl Send for Memory<'_> {}
// SAFETY: as above.
unsafe impl Sync for Memory<'_> {}

impl<'a> Memory<'a> {
    /// Rows of a buffer.
    #[inline(always)]
    pub(super) fn rows(&self, buffer: BufferId) -> usize {
        self.layout.rows.get(buffer.0).copied().unwrap_or(0)
    }

    /// Numbers in a row of a buffer.
    #[inline(always)]
    pub(super) fn columns(&self, buffer: BufferId) -> usize {
        self.program.buffers.get(buffer.0).map_or(0, |buffer| buffer.columns)
    }

    /// What numbers of a buffer are kept as.
    #[inline(always)]
    pub(super) fn form(&self, buffer: BufferId) -> Form {
        self.program.buffers.get(buffer.0).map_or(Form::Float, |buffer| buffer.form)
    }

    #[inline(always)]
    fn place(&self, buffer: BufferId) -> Range<usize> {
        let place = self.layout.place(self.program, buffer).unwrap_or_default();
        assert!(place.end <= self.length, "a buffer is inside the memory");
        place
    }

    /// The codes of a buffer.
    ///
    /// # Safety
    /// Nothing writes them while they are borrowed.
    pub(super) unsafe fn codes(&self, buffer: BufferId) -> &'a [u8] {
        let place = self.place(buffer);
        // SAFETY: the place is inside the memory, which was initialised when it was made;
        // nothing writes there.
        unsafe { std::slice::from_raw_parts(self.start.add(place.start), place.len()) }
    }

    /// The numbers of a float buffer.
    ///
    /// # Safety
    /// Nothing writes them while they are borrowed.
    pub(super) unsafe fn floats(&self, buffer: BufferId) -> &'a [f32] {
        let place = self.place(buffer);
        // SAFETY: as in `codes`; places begin at cache lines, so f32 are aligned, and any
        // bits are an f32.
        unsafe {
            std::slice::from_raw_parts(self.start.add(place.start).cast(), place.len() / size_of::<f32>())
        }
    }

    /// Writes numbers into a row of a buffer from `column` on, as the buffer keeps them.
    ///
    /// # Safety
    /// Nothing else reads or writes these numbers meanwhile.
    #[inline(always)]
    pub(super) unsafe fn write(&self, buffer: BufferId, row: usize, column: usize, numbers: &[f32]) {
        let (place, columns) = (self.place(buffer), self.columns(buffer));
        let first = row * columns + column;
        let form = self.form(buffer);
        assert!(
            column + numbers.len() <= columns && (first + numbers.len()) * form.bytes() <= place.len(),
            "numbers are inside their row"
        );
        // SAFETY: the numbers' place was just checked to be inside the buffer; nothing else
        // touches it; alignment is as in `floats`.
        unsafe {
            let start = self.start.add(place.start);
            match form {
                Form::Float => {
                    let to = start.cast::<f32>().add(first);
                    std::slice::from_raw_parts_mut(to, numbers.len()).copy_from_slice(numbers);
                }
                Form::Codes(quantizer) => {
                    quantizer
                        .encode(numbers, std::slice::from_raw_parts_mut(start.add(first), numbers.len()));
                }
            }
        }
    }
}
