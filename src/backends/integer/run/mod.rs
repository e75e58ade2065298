//! The steps at work, task by task.
//!
//! Places in buffers, rows and masks follow from the sizes of the call, which the layout was
//! made for and the types of the graph agree on; one that did not would stop at a bounds check.

mod attention;
mod linear;
mod rows;

use super::{
    memory::Memory,
    padding::Kept,
    program::{BufferId, Program, Work},
};
use crate::{
    graph::NodeId,
    ops::kernels::integer::{Kernel, Packer, Rows, Tile},
};
use pulp::Arch;
use std::{cell::RefCell, collections::HashMap, sync::Mutex};

/// What the steps of a call work with.
pub(super) struct Call<'a> {
    pub(super) program: &'a Program,
    pub(super) memory: Memory<'a>,
    pub(super) kernel: Kernel,
    pub(super) arch: Arch,
    pub(super) masks: &'a HashMap<NodeId, Mask>,
    /// By the `gather`.
    pub(super) ids: &'a HashMap<NodeId, Ids>,
    /// Threads that there may be.
    pub(super) threads: usize,
    /// Texts, and positions of each, by attention step.
    pub(super) texts: &'a HashMap<NodeId, Texts>,
    /// The rows there are of values with one for each token, where that is not all.
    pub(super) kept: Option<&'a Kept>,
    /// Where codes that are kept nowhere are noted.
    pub(super) noted: Option<&'a Noted>,
}

/// Codes of probabilities, by attention: `[text, head, query, key]`.
pub(super) type Noted = Mutex<HashMap<NodeId, Vec<u8>>>;

/// Numbers that are added to scores.
pub(super) struct Mask {
    pub(super) numbers: Vec<f32>,
    /// How far one text, head, query and key are from the next; 0 where all share one.
    pub(super) strides: [usize; 4],
}

/// Rows of a table, by text and position.
pub(super) struct Ids {
    pub(super) rows: Vec<usize>,
    /// How far one text and position are from the next; 0 where all share one.
    pub(super) strides: [usize; 2],
    /// Positions of a text.
    pub(super) length: usize,
}

/// How many texts an attention has, and how many queries and keys each.
#[derive(Clone, Copy)]
pub(super) struct Texts {
    pub(super) count: usize,
    pub(super) queries: usize,
    pub(super) keys: usize,
}

/// What a thread needs for itself, kept for the next task.
#[derive(Default)]
struct Scratch {
    rows: Rows,
    probability_rows: Rows,
    keys: Packer,
    values: Packer,
    tile: Tile,
    numbers: Vec<f32>,
    bytes: Vec<u8>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Rows that a task of a step that goes row by row does.
const ROWS: usize = 16;

impl Call<'_> {
    /// How many tasks a step is.
    pub(super) fn tasks(&self, step: usize) -> usize {
        let Some(step) = self.program.steps.get(step) else { return 0 };
        let rows = step.results.first().map_or(0, |buffer| self.memory.rows(*buffer));
        match &step.work {
            Work::Linear(linear) => linear::Split::new(linear, rows, self.threads).tasks(),
            Work::Attention(attention) => attention::tasks(self, step.node, attention),
            Work::AddNorm(_) | Work::Embedding(_) | Work::Quantize(_) => rows.div_ceil(ROWS),
        }
    }

    /// Does one task of a step.
    ///
    /// # Safety
    /// The steps that this one waits for are done, and no other thread does the same task.
    pub(super) unsafe fn task(&self, step: usize, task: usize) {
        let Some(step) = self.program.steps.get(step) else { return };
        SCRATCH.with_borrow_mut(|scratch| {
            // SAFETY: what a step reads was written by steps that are done; what it writes,
            // no step that may run meanwhile reads or writes; tasks of one step write
            // different rows or columns.
            unsafe {
                match &step.work {
                    Work::Linear(linear) => linear::task(self, linear, &step.results, task, scratch),
                    Work::Attention(attention) => {
                        attention::task(self, step.node, attention, &step.results, task, scratch);
                    }
                    Work::AddNorm(norm) => rows::add_norm(self, norm, &step.results, task, scratch),
                    Work::Embedding(embedding) => {
                        rows::embedding(self, embedding, &step.results, task, scratch);
                    }
                    Work::Quantize(from) => rows::quantize(self, *from, &step.results, task),
                }
            }
        });
    }

    /// The rows that a buffer has, where they are not all.
    fn kept_of(&self, buffer: BufferId) -> Option<&Kept> {
        let leading = &self.program.buffers.get(buffer.0)?.leading;
        self.kept.filter(|kept| kept.tokens == leading.as_slice())
    }

    /// Writes numbers to every result.
    ///
    /// # Safety
    /// As [`Memory::write`].
    #[inline(always)]
    unsafe fn write(&self, results: &[BufferId], row: usize, column: usize, numbers: &[f32]) {
        for buffer in results {
            // SAFETY: the caller's promise.
            unsafe { self.memory.write(*buffer, row, column, numbers) };
        }
    }
}
