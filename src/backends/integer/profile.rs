//! Where the time of a call goes.

use super::{Executor, program::Work, run::Call};
use crate::{
    failure::Failure,
    ops::kernels::integer::{Kernel, Packer, Rows, Tile},
};
use candle_core::Tensor;
use std::{
    collections::BTreeMap,
    hint::black_box,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// A kind of step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Products of codes with weights, and what is done with their results.
    Linear,
    /// Products of codes in attention, and the softmax between them.
    Attention,
    /// Sums, layer norms and their codes.
    Norm,
    /// Embeddings, their layer norm and its codes.
    Embedding,
    /// Floats to codes.
    Quantize,
    /// All that candle computes, in float.
    Float,
}

impl Kind {
    /// As it is called in reports.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Linear => "linear",
            Kind::Attention => "attention",
            Kind::Norm => "add and norm",
            Kind::Embedding => "embedding",
            Kind::Quantize => "quantize",
            Kind::Float => "float",
        }
    }

    pub(super) fn of(work: &Work) -> Kind {
        match work {
            Work::Linear(_) => Kind::Linear,
            Work::Attention(_) => Kind::Attention,
            Work::AddNorm(_) => Kind::Norm,
            Work::Embedding(_) => Kind::Embedding,
            Work::Quantize(_) => Kind::Quantize,
        }
    }
}

/// What a kind of step took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// Seconds, those of all threads together.
    pub seconds: f64,
    /// Multiplications and additions of codes.
    pub operations: f64,
}

/// What each kind of step took.
pub type Profile = BTreeMap<Kind, Spent>;

/// Where times are noted: nanoseconds of all threads, by step, and last those of candle.
#[derive(Debug)]
pub(super) struct Clock(Vec<AtomicU64>);

impl Clock {
    /// Notes the time since `started`. There is no such step: candle's.
    pub(super) fn add(&self, step: usize, started: Instant) {
        if let Some(slot) = self.0.get(step).or(self.0.last()) {
            let spent = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
            slot.fetch_add(spent, Ordering::Relaxed);
        }
    }
}

impl Executor {
    /// Runs the model so many times and says what its steps took.
    ///
    /// # Errors
    /// As [`run`](Executor::run).
    pub fn profile(&self, inputs: &BTreeMap<String, Tensor>, runs: usize) -> Result<Profile, Failure> {
        let clock = Clock((0..=self.program.steps.len()).map(|_| AtomicU64::new(0)).collect());
        let mut state = super::State::default();
        let mut profile = Profile::new();
        let mut operations = Vec::new();
        for _ in 0..runs.max(1) {
            operations.clear();
            let mut watch = super::Watch {
                clock: Some(&clock),
                operations: Some(&mut operations),
                ..super::Watch::default()
            };
            self.run_in(&mut state, inputs, &mut watch)?;
        }
        let kinds = self.program.steps.iter().map(|step| Kind::of(&step.work)).chain([Kind::Float]);
        for (step, (kind, spent)) in kinds.zip(&clock.0).enumerate() {
            let entry = profile.entry(kind).or_default();
            entry.seconds += spent.load(Ordering::Relaxed) as f64 / 1e9;
            let of_step = operations.iter().find(|(of, _)| *of == step).map_or(0.0, |(_, count)| *count);
            entry.operations += of_step * runs.max(1) as f64;
        }
        profile.retain(|_, spent| spent.seconds > 0.0);
        Ok(profile)
    }
}

impl Call<'_> {
    /// Multiplications and additions of codes in a step.
    pub(super) fn operations(&self, step: usize) -> f64 {
        let Some(step) = self.program.steps.get(step) else { return 0.0 };
        match &step.work {
            Work::Linear(linear) => {
                let rows = step.results.first().map_or(0, |buffer| self.memory.rows(*buffer));
                2.0 * rows as f64 * linear.weight.rows() as f64 * linear.weight.columns() as f64
            }
            Work::Attention(attention) => self.texts.get(&step.node).map_or(0.0, |texts| {
                let pairs = texts.count as f64 * texts.queries as f64 * texts.keys as f64;
                4.0 * pairs * attention.heads as f64 * attention.size as f64
            }),
            _ => 0.0,
        }
    }
}

/// How many operations on codes all threads do at most in a second, by 10^9: measured with
/// codes that stay in the nearest cache.
pub fn peak() -> f64 {
    const DEPTH: usize = 256;
    let rates = rayon::broadcast(|_| {
        let kernel = Kernel::best();
        let (codes, mut rows, mut packer) =
            (vec![1_u8; DEPTH * kernel.height()], Rows::default(), Packer::default());
        rows.fill(kernel, &codes, (0..kernel.height()).map(|row| row * DEPTH), DEPTH, true);
        packer.columns(DEPTH, 32, |_| &codes[..DEPTH]);
        let (mut tile, mut count, started) = (Tile::default(), 0_u32, Instant::now());
        while started.elapsed() < Duration::from_millis(60) {
            for _ in 0..100 {
                kernel.multiply(black_box(&rows), 0, kernel.height(), packer.panels().range(0, 2), &mut tile);
                black_box(&mut tile);
            }
            count += 100;
        }
        let operations = f64::from(count) * 2.0 * (DEPTH * kernel.height() * 32) as f64;
        operations / started.elapsed().as_secs_f64() / 1e9
    });
    rates.iter().sum()
}
