//! Runs a graph on a CPU in integers, where its quantizers allow it.
//!
//! A quantized product is a product of codes: `(s·a) @ (t·b) = s·t·(a @ b)`, and the sums of
//! `a @ b` are exact. `lower` finds the products, and what is done with their results until
//! they are codes again, and makes one step of each; what it does not know stays with
//! candle, in float. `memory` says where values are kept, `team` shares the work out,
//! `run` does it.
//!
//! Results equal those of the simulation (`candle`) to the bit: sums of products are exact there
//! too, and all else is computed by the same functions on the same numbers. Only where the mask
//! has holes and what it leaves out is not computed, a softmax adds in another order.

mod describe;
mod draft;
mod exchange;
mod lower;
mod memory;
mod padding;
mod profile;
mod program;
mod run;
mod schedule;
mod team;
mod trace;

pub(crate) use draft::Draft;
pub use lower::Packed;
pub(crate) use lower::only_gathered;
pub use profile::{Kind, Profile, Spent, peak};
pub use trace::Traced;

use crate::{
    backends::candle::{self, Executor as Float},
    failure::Failure,
    graph::{Checked, Graph, Node, NodeId, NodeKind},
    ops::kernels::integer::Kernel,
    types::{Bindings, Dim},
};
use candle_core::Tensor;
use memory::{Arena, Layout, Memory};
use padding::{Kept, Padding};
use profile::Clock;
use program::{Program, Work};
use pulp::Arch;
use run::{Call, Noted};
use schedule::Part;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
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

    /// The parameters that are needed as numbers, by state-dict path.
    pub(crate) fn float_parameters(&self) -> BTreeSet<String> {
        let graph = self.graph();
        let tables = self.program.steps.iter().flat_map(|step| match &step.work {
            Work::Embedding(embedding) => embedding.terms.as_slice(),
            _ => &[],
        });
        let tables: BTreeSet<NodeId> =
            tables.filter_map(|rows| graph.node(rows.node).operands.first().copied()).collect();
        let path = |(id, node): (NodeId, &Node)| match &node.kind {
            NodeKind::Parameter(parameter) if self.float.uses(id) || tables.contains(&id) => {
                Some(parameter.path.clone())
            }
            _ => None,
        };
        graph.iter().filter_map(path).collect()
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

    fn steps(&self, steps: &Range<usize>) -> impl Iterator<Item = &program::Step> {
        self.program.steps.get(steps.clone()).unwrap_or_default().iter()
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

/// The product of sizes.
fn product(dims: &[Dim], bindings: &Bindings) -> Option<usize> {
    dims.iter()
        .try_fold(1_usize, |product, dim| product.checked_mul(usize::try_from(dim.evaluate(bindings)?).ok()?))
}

fn too_large() -> Failure {
    Failure::outside("the tensors of this call are larger than memory can be")
}
