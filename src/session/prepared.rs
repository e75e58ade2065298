//! Graphs ready to be called, in float or in integers.

use super::{Integers, Purpose, Session};
use crate::{
    backends::{
        candle::Executor,
        integer::{self, Draft},
    },
    checkpoint::{Matrices, Note},
    compile::{Checked, Given},
    failure::Failure,
    graph::Graph,
};
use candle_core::Tensor;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A graph ready to be called.
pub(super) enum Prepared {
    Float(Box<Executor>),
    Integer(Box<integer::Executor>),
}

impl Prepared {
    pub(super) fn graph(&self) -> &Graph {
        match self {
            Prepared::Float(executor) => executor.graph(),
            Prepared::Integer(executor) => executor.graph(),
        }
    }

    pub(super) fn accepts(&self, inputs: &BTreeMap<String, Tensor>) -> bool {
        match self {
            Prepared::Float(executor) => executor.accepts(inputs),
            Prepared::Integer(executor) => executor.accepts(inputs),
        }
    }

    pub(super) fn run(&self, inputs: &BTreeMap<String, Tensor>) -> Result<BTreeMap<String, Tensor>, Failure> {
        match self {
            Prepared::Float(executor) => executor.run(inputs),
            Prepared::Integer(executor) => executor.run(inputs),
        }
    }

    pub(super) fn run_unpadded(
        &self,
        inputs: &BTreeMap<String, Tensor>,
    ) -> Result<BTreeMap<String, Tensor>, Failure> {
        match self {
            Prepared::Float(executor) => executor.run(inputs),
            Prepared::Integer(executor) => executor.run_unpadded(inputs),
        }
    }

    pub(super) fn float(&self) -> Result<&Executor, Failure> {
        match self {
            Prepared::Float(executor) => Ok(executor),
            Prepared::Integer(_) => Err(unprepared()),
        }
    }
}

impl Session {
    /// What of the usual call runs in integers, what does not, and why.
    ///
    /// # Errors
    /// The spec does not fit the config, or the checkpoint does not fit the spec.
    pub fn plan(&mut self) -> Result<String, Failure> {
        let graph = self.compile(Given::Default, BTreeSet::new(), self.engine.quantize)?;
        let graph = self.prepared(graph, Purpose::Answer)?;
        let weights = self.weights_now()?;
        let draft = Draft::new(graph.clone(), &weights, &mut self.packed)?;
        let (draft, weights) = self.completed(&graph, draft, weights)?;
        Ok(draft.finish(weights)?.describe())
    }

    /// Computes the outputs of one call so many times, and says where the time goes; nothing
    /// where all is computed in float.
    ///
    /// # Errors
    /// As [`call`](Session::call).
    pub fn profile(
        &mut self,
        inputs: &BTreeMap<String, Tensor>,
        runs: usize,
    ) -> Result<integer::Profile, Failure> {
        match self.executor(Purpose::Answer, inputs, &BTreeSet::new())? {
            Prepared::Integer(executor) => executor.profile(inputs, runs),
            Prepared::Float(_) => Ok(integer::Profile::new()),
        }
    }

    /// The weights that the usual call only multiplies as int8 codes, packed, by state-dict path.
    ///
    /// # Errors
    /// As [`prepare`](Session::prepare).
    pub(crate) fn packed(&mut self) -> Result<Matrices, Failure> {
        self.prepare()?;
        let mut packed = self.packed.by_path();
        for (_, prepared) in &self.executors {
            if let Prepared::Integer(executor) = prepared {
                let floats = executor.float_parameters();
                packed.retain(|path, _| !floats.contains(path));
            }
        }
        Ok(packed)
    }

    /// The executor that computes in integers what it can, if it can anything.
    pub(super) fn in_integers(
        &mut self,
        graph: Checked,
        weights: HashMap<String, Tensor>,
    ) -> Result<Prepared, Failure> {
        let draft = Draft::new(graph.clone(), &weights, &mut self.packed)?;
        let (draft, weights) = self.completed(&graph, draft, weights)?;
        let executor = draft.finish(weights)?;
        let (done, all) = executor.products();
        if done > 0 {
            if self.executors.iter().all(|(purpose, _)| *purpose != Purpose::Answer) {
                let text = format!("{done} of {all} products run in int8 ({})", executor.kernel());
                self.notes.push(Note(text));
            }
            return Ok(Prepared::Integer(Box::new(executor)));
        }
        if self.engine.integers == Integers::Required {
            return Err(Failure::input("nothing of this model can run in int8")
                .help("`qdqc show SPEC -c CKPT --stage plan` says why; `--engine candle` simulates it"));
        }
        self.load(&graph, Purpose::Run)?;
        Ok(Prepared::Float(Box::new(Executor::new(graph, self.weights_now()?, &self.engine.device)?)))
    }

    /// Weights with those that the plan needs in float, which are packed; and the plan with them,
    /// because what was packed with other ranges can then be packed anew.
    fn completed(
        &mut self,
        graph: &Checked,
        draft: Draft,
        weights: HashMap<String, Tensor>,
    ) -> Result<(Draft, HashMap<String, Tensor>), Failure> {
        let missing = draft.missing(&weights);
        if missing.is_empty() {
            return Ok((draft, weights));
        }
        let mut wanted = self.wanted(graph);
        wanted.retain(|wanted| missing.contains(&wanted.path));
        self.read(graph, &wanted)?;
        let weights = self.weights_now()?;
        Ok((Draft::new(graph.clone(), &weights, &mut self.packed)?, weights))
    }
}

/// There is no executor for what is asked.
pub(super) fn unprepared() -> Failure {
    Failure::outside("the model could not be prepared")
}
