//! Runs a graph on a CPU in integers, where its quantizers allow it.
//!
//! A quantized product is a product of codes: `(s·a) @ (t·b) = s·t·(a @ b)`, and the sums of
//! `a @ b` are exact. [`lower`] finds the products, and what is done with their results until
//! they are codes again, and makes one step of each; what it does not know stays with
//! candle, in float. [`memory`] says where values are kept, [`team`] shares the work out,
//! [`run`] does it.
//!
//! Codes equal those of the simulation in float, but where a number lies so near the middle
//! between two codes that the order of additions decides.

mod describe;
mod lower;
mod memory;
mod padding;
mod profile;
mod program;
mod run;
mod schedule;
mod team;
mod trace;

pub use lower::Packed;
pub use profile::{Kind, Profile, Spent, peak};
pub use trace::Traced;

use crate::{
    backends::candle::{
        self, Executor as Float,
        plan::{self, Choices, Plan},
        share::Ranges,
    },
    failure::Failure,
    graph::{Checked, Graph, NodeId, NodeKind},
    ops::kernels::integer::Kernel,
    types::{Bindings, Dim},
};
use candle_core::{Device, Tensor};
use lower::{Lowered, lower};
use memory::{Arena, Layout, Memory};
use padding::{Kept, Padding};
use profile::Clock;
use program::{BufferId, Program, Work};
use pulp::Arch;
use run::{Call, Ids, Mask, Noted, Texts};
use schedule::{Part, schedule};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, hash_map::Entry},
    ops::Range,
    sync::{Mutex, TryLockError},
    time::Instant,
};
use team::Progress;

/// A graph with its weights, ready to be called.
pub struct Executor {
    /// Runs what is not in the program.
    float: Float,
    program: Program,
    parts: Vec<Part>,
    kernel: Kernel,
    /// Rows that need no computing, where there may be any.
    padding: Option<Padding>,
    /// Why products are left to candle, by node.
    reasons: BTreeMap<NodeId, String>,
    /// Kept from call to call.
    state: Mutex<State>,
}

/// Memory for calls of one size.
#[derive(Default)]
struct State {
    arena: Arena,
    /// The sizes that the layout is for.
    dims: Bindings,
    /// How many rows it has of values with one for each token, where that is not all.
    kept: Option<usize>,
    layout: Option<Layout>,
}

/// An executor without its weights.
pub(crate) struct Draft {
    graph: Checked,
    /// What candle computes.
    rest: Plan,
    program: Program,
    parts: Vec<Part>,
    padding: Option<Padding>,
    reasons: BTreeMap<NodeId, String>,
}

impl Draft {
    /// Plans a graph. Of `weights`, ranges and what is packed are read; weights that `packed`
    /// has need not be there.
    ///
    /// # Errors
    /// A weight cannot be packed.
    pub(crate) fn new(
        graph: Checked,
        weights: &HashMap<String, Tensor>,
        packed: &mut Packed,
    ) -> Result<Draft, Failure> {
        let whole = Choices { ranges: Some(Ranges::new(&graph, weights)), ..Choices::default() };
        let whole = Plan::new(&graph, whole);
        let Lowered { mut program, ends, reasons } =
            lower(&graph, &whole, weights, packed).map_err(candle::outside)?;
        let given: BTreeSet<NodeId> = program.exports.iter().map(|(node, _)| *node).collect();
        let rest = Choices {
            fused: true,
            ranges: Some(Ranges::new(&graph, weights)),
            part: Some(plan::Part { given: &given, ends: &ends }),
            ..Choices::default()
        };
        let mut rest = Plan::new(&graph, rest);
        let steps = std::mem::take(&mut rest.steps);
        let parts = schedule(&graph, &mut program, steps, |id| whole.source(id))
            .ok_or_else(|| Failure::outside("the steps of the model wait for one another"))?;
        let padding = Padding::find(&graph, &program, &parts, |id| whole.source(id));
        Ok(Draft { graph, rest, program, parts, padding, reasons })
    }

    /// Parameters that candle needs and that `weights` lacks, by state-dict path.
    pub(crate) fn missing(&self, weights: &HashMap<String, Tensor>) -> BTreeSet<String> {
        let parameters = self.graph.iter().filter_map(|(id, node)| match &node.kind {
            NodeKind::Parameter(parameter) if self.rest.is_live(id) => Some(parameter.path.clone()),
            _ => None,
        });
        parameters.filter(|path| !weights.contains_key(path)).collect()
    }

    /// The executor.
    ///
    /// # Errors
    /// As [`candle::Executor::new`].
    pub(crate) fn finish(self, weights: HashMap<String, Tensor>) -> Result<Executor, Failure> {
        let Draft { graph, rest, program, parts, padding, reasons } = self;
        let mut float = Float::planned(graph, rest, weights, &Device::Cpu, &HashSet::new())?;
        float.fold()?;
        let kernel = Kernel::best();
        Ok(Executor { float, program, parts, kernel, padding, reasons, state: Mutex::default() })
    }
}

impl Executor {
    /// Puts `weights`, by state-dict path, under the graph's parameters. Weights that are
    /// packed for products stay in `packed`, for other graphs of the same checkpoint.
    ///
    /// # Errors
    /// As [`candle::Executor::new`].
    pub fn new(
        graph: Checked,
        weights: HashMap<String, Tensor>,
        packed: &mut Packed,
    ) -> Result<Executor, Failure> {
        Draft::new(graph, &weights, packed)?.finish(weights)
    }

    /// How many products run in integers, of how many whose sides are quantized or that are
    /// fused with others.
    pub fn products(&self) -> (usize, usize) {
        let count = |step: &program::Step| match step.work {
            Work::Linear(_) => 1,
            Work::Attention(_) => 2,
            _ => 0,
        };
        let done = self.program.steps.iter().map(count).sum();
        (done, done + self.reasons.len())
    }

    /// The instructions that multiply codes.
    pub fn kernel(&self) -> &'static str {
        self.kernel.name()
    }

    /// The graph that it runs.
    pub fn graph(&self) -> &Graph {
        self.float.graph()
    }

    /// The shapes of these tensors are ones that the graph was made for.
    pub fn accepts(&self, inputs: &BTreeMap<String, Tensor>) -> bool {
        self.float.accepts(inputs)
    }

    /// Computes the outputs from the inputs, by their names.
    ///
    /// # Errors
    /// As [`candle::Executor::run`].
    pub fn run(&self, inputs: &BTreeMap<String, Tensor>) -> Result<BTreeMap<String, Tensor>, Failure> {
        self.run_watched(inputs, Watch::default())
    }

    /// The same, but for outputs with a row for each token: rows of tokens that the mask leaves
    /// out may be anything. They are not computed where that is possible.
    ///
    /// # Errors
    /// As [`run`](Executor::run).
    pub fn run_unpadded(
        &self,
        inputs: &BTreeMap<String, Tensor>,
    ) -> Result<BTreeMap<String, Tensor>, Failure> {
        self.run_watched(inputs, Watch { unpadded: true, ..Watch::default() })
    }

    fn run_watched(
        &self,
        inputs: &BTreeMap<String, Tensor>,
        mut watch: Watch<'_>,
    ) -> Result<BTreeMap<String, Tensor>, Failure> {
        // A call beside another one brings its own memory.
        let mut kept = match self.state.try_lock() {
            Ok(kept) => Some(kept),
            Err(TryLockError::Poisoned(kept)) => Some(kept.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        let mut own = State::default();
        self.run_in(kept.as_deref_mut().unwrap_or(&mut own), inputs, &mut watch)
    }

    /// The same, in this memory, watched.
    fn run_in(
        &self,
        state: &mut State,
        inputs: &BTreeMap<String, Tensor>,
        watch: &mut Watch<'_>,
    ) -> Result<BTreeMap<String, Tensor>, Failure> {
        let (mut values, dims) = self.float.start(inputs)?;
        // What comes before the first integer step says which rows there are.
        let first = self.parts.iter().position(|part| part.steps().is_some()).unwrap_or(self.parts.len());
        let (before, after) = self.parts.split_at(first);
        self.floats(before, &mut values, &dims, watch)?;
        let kept = self.padding.as_ref().filter(|_| watch.unpadded);
        let kept = kept.and_then(|padding| padding.kept(&values, &dims));
        let State { arena, dims: known, kept: known_kept, layout } = state;
        let count = kept.as_ref().map(|kept| kept.rows.len());
        if layout.is_none() || *known != dims || *known_kept != count {
            *layout = Some(self.layout(&dims, count, watch.noted.is_some())?);
            (*known, *known_kept) = (dims.clone(), count);
        }
        let Some(layout) = layout else { return Err(too_large()) };
        let memory = arena.lend(&self.program, layout);
        for part in after {
            if let Part::Integer { steps, last_used } = part {
                let at = At { layout, memory, dims: &dims, kept: kept.as_ref() };
                self.integers(steps, &at, &mut values, watch)?;
                last_used.iter().for_each(|id| candle::put(&mut values, *id, None));
            } else {
                self.floats(std::slice::from_ref(part), &mut values, &dims, watch)?;
            }
        }
        self.float.outputs_of(|id| candle::at(&values, *id).cloned())
    }

    /// Runs candle's steps.
    fn floats(
        &self,
        parts: &[Part],
        values: &mut [Option<Tensor>],
        dims: &Bindings,
        watch: &Watch<'_>,
    ) -> Result<(), Failure> {
        let started = Instant::now();
        for part in parts {
            let Part::Float(steps) = part else { continue };
            for step in steps {
                self.float.step(step, values, dims)?;
            }
        }
        if let Some(clock) = watch.clock {
            clock.add(usize::MAX, started);
        }
        Ok(())
    }

    /// A value with these axes has a row for each token.
    fn has_tokens(&self, leading: &[Dim]) -> bool {
        self.padding.as_ref().is_some_and(|padding| padding.has_tokens(leading))
    }

    fn layout(&self, dims: &Bindings, kept: Option<usize>, whole: bool) -> Result<Layout, Failure> {
        let rows = self.program.buffers.iter().map(|buffer| match kept {
            Some(kept) if self.has_tokens(&buffer.leading) => Some(kept),
            _ => product(&buffer.leading, dims),
        });
        let rows = rows.collect::<Option<Vec<_>>>().ok_or_else(too_large)?;
        let parts: Vec<Range<usize>> = self.parts.iter().filter_map(Part::steps).collect();
        Layout::new(&self.program, &parts, rows, whole).ok_or_else(too_large)
    }

    /// Runs integer steps: takes in what they need, and gives out what others need.
    fn integers(
        &self,
        steps: &Range<usize>,
        at: &At<'_>,
        values: &mut [Option<Tensor>],
        watch: &mut Watch<'_>,
    ) -> Result<(), Failure> {
        let given = self.given(steps, values, at.dims)?;
        self.take_in(steps, at, values)?;
        let call = Call {
            program: &self.program,
            memory: at.memory,
            kernel: self.kernel,
            arch: Arch::new(),
            masks: &given.masks,
            ids: &given.ids,
            texts: &given.texts,
            threads: rayon::current_num_threads(),
            kept: at.kept,
            noted: watch.noted,
        };
        let progress: Vec<Progress> = (0..steps.end)
            .map(|step| Progress::new(if steps.contains(&step) { call.tasks(step) } else { 0 }))
            .collect();
        // SAFETY: the team gives each task to one thread, after the steps that its step waits
        // for: by the layout those that make what it reads or use what it writes.
        team::run(steps.clone(), &at.layout.after, &progress, |step, task| unsafe {
            match watch.clock {
                None => call.task(step, task),
                Some(clock) => {
                    let started = Instant::now();
                    call.task(step, task);
                    clock.add(step, started);
                }
            }
        });
        if let Some(operations) = &mut watch.operations {
            operations.extend(steps.clone().map(|step| (step, call.operations(step))));
        }
        self.give_out(steps, at, values)
    }

    /// Copies float values into the buffers that steps read.
    fn take_in(&self, steps: &Range<usize>, at: &At<'_>, values: &[Option<Tensor>]) -> Result<(), Failure> {
        let memory = at.memory;
        let read: BTreeSet<BufferId> = self.steps(steps).flat_map(|step| step.work.reads()).collect();
        for (node, buffer) in self.program.imports.iter().filter(|(_, buffer)| read.contains(buffer)) {
            let described = self.graph().node(*node);
            let value = candle::at(values, *node).ok_or_else(|| candle::missing(described));
            let numbers = value
                .and_then(|value| value.flatten_all()?.to_vec1::<f32>())
                .map_err(|error| candle::fault(described, &error))?;
            let columns = memory.columns(*buffer).max(1);
            let from = self.kept_rows(*buffer, at);
            for row in 0..memory.rows(*buffer) {
                let start = from.map_or(row, |rows| rows[row]) * columns;
                // SAFETY: no step runs now.
                unsafe { memory.write(*buffer, row, 0, &numbers[start..start + columns]) };
            }
        }
        Ok(())
    }

    /// Makes tensors of the buffers that others read.
    fn give_out(
        &self,
        steps: &Range<usize>,
        at: &At<'_>,
        values: &mut [Option<Tensor>],
    ) -> Result<(), Failure> {
        let memory = at.memory;
        let made: BTreeSet<BufferId> =
            self.steps(steps).flat_map(|step| step.results.iter().copied()).collect();
        for (node, buffer) in self.program.exports.iter().filter(|(_, buffer)| made.contains(buffer)) {
            let described = self.graph().node(*node);
            let shape = described.ty.shape.iter().map(|dim| product(std::slice::from_ref(dim), at.dims));
            let shape = shape.collect::<Option<Vec<_>>>().ok_or_else(too_large)?;
            // SAFETY: no step runs now.
            let made = unsafe { memory.floats(*buffer) };
            let numbers = match self.kept_rows(*buffer, at) {
                Some(rows) => spread(made, rows, memory.columns(*buffer), shape.iter().product()),
                None => made.to_vec(),
            };
            let tensor = Tensor::from_vec(numbers, shape, &Device::Cpu);
            candle::put(values, *node, Some(tensor.map_err(|error| candle::fault(described, &error))?));
        }
        Ok(())
    }

    /// Which of all rows those of a buffer are, where they are not all.
    fn kept_rows<'k>(&self, buffer: BufferId, at: &At<'k>) -> Option<&'k [usize]> {
        let leading = &self.program.buffers.get(buffer.0)?.leading;
        at.kept.filter(|_| self.has_tokens(leading)).map(|kept| kept.rows.as_slice())
    }

    fn steps(&self, steps: &Range<usize>) -> impl Iterator<Item = &program::Step> {
        self.program.steps.get(steps.clone()).unwrap_or_default().iter()
    }

    /// What steps read of values as they are.
    fn given(
        &self,
        steps: &Range<usize>,
        values: &[Option<Tensor>],
        dims: &Bindings,
    ) -> Result<Given, Failure> {
        let mut given = Given::default();
        for step in self.steps(steps) {
            match &step.work {
                Work::Attention(attention) => {
                    let size = |dim: &Dim| product(std::slice::from_ref(dim), dims).ok_or_else(too_large);
                    let texts = Texts {
                        count: size(&attention.query.batch)?,
                        queries: size(&attention.query.length)?,
                        keys: size(&attention.key.length)?,
                    };
                    given.texts.insert(step.node, texts);
                    if let Some(mask) = attention.mask
                        && let Entry::Vacant(slot) = given.masks.entry(mask)
                    {
                        slot.insert(self.mask(mask, values)?);
                    }
                }
                Work::Embedding(embedding) => {
                    for rows in &embedding.terms {
                        if let Entry::Vacant(slot) = given.ids.entry(rows.ids) {
                            slot.insert(self.ids(rows, step.node, values, dims)?);
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(given)
    }

    fn mask(&self, mask: NodeId, values: &[Option<Tensor>]) -> Result<Mask, Failure> {
        let node = self.graph().node(mask);
        let value = candle::at(values, mask).ok_or_else(|| candle::missing(node));
        let read = value.and_then(|value| Ok((value.dims4()?, value.flatten_all()?.to_vec1::<f32>()?)));
        let ((texts, heads, queries, keys), numbers) = read.map_err(|error| candle::fault(node, &error))?;
        let stride = |size: usize, inner: usize| if size == 1 { 0 } else { inner };
        let strides = [
            stride(texts, heads * queries * keys),
            stride(heads, queries * keys),
            stride(queries, keys),
            stride(keys, 1),
        ];
        Ok(Mask { numbers, strides })
    }

    /// The rows of a table that are wanted. Where there is no such row, candle says so.
    fn ids(
        &self,
        rows: &program::Rows,
        embedding: NodeId,
        values: &[Option<Tensor>],
        dims: &Bindings,
    ) -> Result<Ids, Failure> {
        let node = self.graph().node(rows.node);
        let fault = |error: candle_core::Error| candle::fault(node, &error);
        let value = candle::at(values, rows.ids).ok_or_else(|| candle::missing(node)).map_err(fault)?;
        let (texts, length) = value.dims2().map_err(fault)?;
        let ids = value.flatten_all().and_then(|ids| ids.to_vec1::<i64>()).map_err(fault)?;
        let count = rows.table.dim(0).map_err(fault)?;
        let places: Option<Vec<usize>> =
            ids.iter().map(|id| usize::try_from(*id).ok().filter(|id| *id < count)).collect();
        let Some(places) = places else {
            let gather = [rows.table.clone(), value.clone()];
            let refused = match &node.kind {
                NodeKind::Op(op) => op.semantics().eval(&gather, dims).err(),
                _ => None,
            };
            return Err(fault(refused.unwrap_or_else(|| candle::missing(node))));
        };
        let whole = self.graph().node(embedding).ty.shape.get(1).and_then(|dim| dim.evaluate(dims));
        let whole = whole.and_then(|size| usize::try_from(size).ok()).ok_or_else(too_large)?;
        let strides = [if texts == 1 { 0 } else { length }, usize::from(length != 1)];
        Ok(Ids { rows: places, strides, length: whole })
    }
}

/// Where a call is.
struct At<'a> {
    layout: &'a Layout,
    memory: Memory<'a>,
    dims: &'a Bindings,
    kept: Option<&'a Kept>,
}

/// What is noted of a call, besides its outputs.
#[derive(Default)]
struct Watch<'a> {
    /// Rows of tokens that the mask leaves out need no computing.
    unpadded: bool,
    /// Codes that are kept nowhere. What is in memory is kept until the end, too.
    noted: Option<&'a Noted>,
    /// What steps take.
    clock: Option<&'a Clock>,
    /// Operations of steps, by position.
    operations: Option<&'a mut Vec<(usize, f64)>>,
}

/// What steps of a part read of values as they are.
#[derive(Default)]
struct Given {
    masks: HashMap<NodeId, Mask>,
    ids: HashMap<NodeId, Ids>,
    texts: HashMap<NodeId, Texts>,
}

/// Rows of `columns` numbers put where they are among `count` numbers; the others are 0.
fn spread(made: &[f32], rows: &[usize], columns: usize, count: usize) -> Vec<f32> {
    let mut numbers = vec![0.0; count];
    for (row, made) in rows.iter().zip(made.chunks_exact(columns.max(1))) {
        if let Some(slot) = numbers.get_mut(row * columns..(row + 1) * columns) {
            slot.copy_from_slice(made);
        }
    }
    numbers
}

/// The product of sizes.
fn product(dims: &[Dim], bindings: &Bindings) -> Option<usize> {
    dims.iter()
        .try_fold(1_usize, |product, dim| product.checked_mul(usize::try_from(dim.evaluate(bindings)?).ok()?))
}

fn too_large() -> Failure {
    Failure::outside("the tensors of this call are larger than memory can be")
}
