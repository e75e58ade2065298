//! A spec and a checkpoint, ready to be called in any way the spec allows.
//!
//! Each way of calling a model (which inputs, of which ranks, which outputs) has
//! a graph of its own, compiled at its first call. Weights are read once and
//! shared by all of them.

mod prepared;
#[cfg(test)]
mod tests;
mod training;
mod weights;

pub use crate::backends::candle::{Gradients, Pass};

use crate::{
    answer::Answer,
    backends::{
        candle::{Executor, Inspector, Variants},
        integer::Packed,
    },
    checkpoint::{Checkpoint, Folder, Note},
    compile::{Checked, Given, GivenTensor, Options, Program, compile},
    config::Config,
    failure::Failure,
    graph::{Graph, Quantizer},
    ops::spec_dtype,
    passes::{observe, recast},
    types::DType,
};
use candle_core::{Device, Tensor};
use prepared::{Prepared, unprepared};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use training::Training;

/// What a session computes with.
#[derive(Clone, Debug)]
pub struct Engine {
    /// Where.
    pub device: Device,
    /// The element type in place of `f32`.
    pub dtype: DType,
    /// With quantizers; without, everything is computed in float.
    pub quantize: bool,
    /// Whether calls run in integers.
    pub integers: Integers,
}

/// Whether products of quantized values are computed in integers: on a CPU, in `f32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Integers {
    /// They are simulated in float.
    #[default]
    Never,
    /// Where that is possible.
    WherePossible,
    /// Where that is possible; a model of which nothing can run in integers is an error.
    Required,
}

/// A spec and a checkpoint, ready to be called.
pub struct Session {
    program: Program,
    checkpoint: Checkpoint,
    engine: Engine,
    /// Tensors of the checkpoint read so far, by state-dict path.
    weights: HashMap<String, Tensor>,
    /// Those that a graph only multiplies by, packed for products in float; in place of the ones
    /// in `weights`.
    multiplied: HashMap<String, Tensor>,
    /// One for each graph.
    executors: Vec<(Purpose, Prepared)>,
    /// Which of them serves a way of calling.
    calls: HashMap<Signature, usize>,
    /// Weights as products of codes read them.
    packed: Packed,
    /// Graphs whose quantizers can be switched, and the calls that they are for.
    variants: Vec<(Shapes, Variants)>,
    notes: Vec<Note>,
    training: Training,
}

/// Of each input its element type and its sizes, renumbered so that only their
/// being equal matters.
type Shapes = Vec<(String, DType, Vec<usize>)>;

/// One way of calling a model: for what, outputs wanted, and the shapes of inputs.
type Signature = (Purpose, BTreeSet<String>, Shapes);

/// What a model is called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Purpose {
    /// Its outputs.
    Answer,
    /// Its outputs, computed step by step in float, and what its quantizers make meanwhile.
    Run,
    /// What its quantizers would see of a run in float.
    Observe,
}

/// Is shown values, each with all the quantizers that would see it.
pub type NamedObserver<'a> = dyn FnMut(&[&Quantizer], &Tensor) -> Result<(), Failure> + 'a;

/// The quantizers at these positions.
fn named<'g>(graph: &'g Graph, which: &[usize]) -> Vec<&'g Quantizer> {
    which.iter().filter_map(|index| graph.quantizers.get(*index)).collect()
}

impl Session {
    /// Pairs a program with the weights and settings of a checkpoint.
    pub fn new(program: Program, checkpoint: Checkpoint, engine: Engine) -> Session {
        Session {
            program,
            checkpoint,
            engine,
            weights: HashMap::new(),
            multiplied: HashMap::new(),
            executors: Vec::new(),
            calls: HashMap::new(),
            packed: Packed::default(),
            variants: Vec::new(),
            notes: Vec::new(),
            training: Training::default(),
        }
    }

    /// The spec.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.checkpoint.config
    }

    /// The element type that is computed in.
    pub fn dtype(&self) -> DType {
        self.engine.dtype
    }

    /// The folder that holds the checkpoint's files.
    pub fn folder(&self) -> &Folder {
        self.checkpoint.folder()
    }

    /// The checkpoint.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Those of the inputs that the model has.
    pub fn own_inputs(&self, inputs: &BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
        let (known, _) = self.program.interface();
        let own =
            |name: &str| known.iter().any(|input| name == input || name.starts_with(&format!("{input}.")));
        let own = inputs.iter().filter(|(name, _)| own(name));
        own.map(|(name, tensor)| (name.clone(), tensor.clone())).collect()
    }

    /// What there is to know of the checkpoint that is no fault, each once.
    pub fn take_notes(&mut self) -> Vec<Note> {
        std::mem::take(&mut self.notes)
    }

    /// Reads the weights that the usual call needs, so that the first real one
    /// does not wait for them and mistakes show before any data is read. Gives how
    /// the outputs are read.
    ///
    /// # Errors
    /// The spec does not fit the config, or the checkpoint does not fit the spec.
    pub fn prepare(&mut self) -> Result<Vec<Answer>, Failure> {
        let graph = self.compile(Given::Default, BTreeSet::new(), self.engine.quantize)?;
        let answers = graph.answers.clone();
        let graph = self.prepared(graph, Purpose::Answer)?;
        if self.engine.integers != Integers::Never {
            self.make(graph, Purpose::Answer)?;
        }
        Ok(answers)
    }

    /// The graph of the usual call with its quantizers, though no ranges need be
    /// there yet.
    ///
    /// # Errors
    /// The spec does not fit the config.
    pub fn graph(&self) -> Result<Checked, Failure> {
        self.graph_with(&BTreeSet::new())
    }

    /// The same of the usual call with more inputs, by name: they may lead to more
    /// quantizers.
    ///
    /// # Errors
    /// The spec does not fit the config, or does not take these inputs together.
    pub fn graph_with(&self, inputs: &BTreeSet<String>) -> Result<Checked, Failure> {
        self.compile(Given::With(inputs.clone()), BTreeSet::new(), true)
    }

    /// The graph of a call with these inputs, for an emitter, in the session's element
    /// type and with or without quantizers as the session has them; and its weights, by
    /// state-dict path.
    ///
    /// # Errors
    /// The spec does not fit the config or does not take these inputs together, or the
    /// checkpoint does not fit the spec.
    pub fn exported(
        &mut self,
        inputs: Given,
        outputs: BTreeSet<String>,
    ) -> Result<(Checked, &HashMap<String, Tensor>), Failure> {
        let graph = self.compile(inputs, outputs, self.engine.quantize)?;
        self.unpack_multiplied(&graph)?;
        let graph = self.prepared(graph, Purpose::Run)?;
        Ok((graph, &self.weights))
    }

    /// Computes the outputs of one call: those always made, and those asked for.
    ///
    /// # Errors
    /// The inputs do not fit the model or each other, a requested output is not
    /// made, the checkpoint does not fit the spec, or the device fails.
    pub fn call(
        &mut self,
        inputs: &BTreeMap<String, Tensor>,
        request: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Tensor>, Failure> {
        self.executor(Purpose::Answer, inputs, request)?.run(inputs)
    }

    /// Computes the outputs of one call as [`call`](Session::call) does, and shows the
    /// inspector every quantizer of a value that depends on the inputs at work.
    ///
    /// # Errors
    /// As [`call`](Session::call), and what the inspector says.
    pub fn inspect(
        &mut self,
        inputs: &BTreeMap<String, Tensor>,
        request: &BTreeSet<String>,
        inspector: &mut Inspector<'_>,
    ) -> Result<BTreeMap<String, Tensor>, Failure> {
        self.executor(Purpose::Run, inputs, request)?.float()?.inspect(inputs, inspector)
    }

    /// Computes the outputs that are always made, in float, and shows the observer
    /// what each quantizer would see. Weights are not shown: see
    /// [`observe_weights`](Session::observe_weights).
    ///
    /// # Errors
    /// As [`call`](Session::call), and what the observer says.
    pub fn observe(
        &mut self,
        inputs: &BTreeMap<String, Tensor>,
        observer: &mut NamedObserver<'_>,
    ) -> Result<BTreeMap<String, Tensor>, Failure> {
        let executor = self.executor(Purpose::Observe, inputs, &BTreeSet::new())?.float()?;
        executor.observe(inputs, &mut |which, value| observer(&named(executor.graph(), which), value))
    }

    /// Shows the observer every weight that a quantizer of
    /// [`graph_with`](Session::graph_with) these inputs would see.
    ///
    /// # Errors
    /// The checkpoint does not fit the spec, and what the observer says.
    pub fn observe_weights(
        &mut self,
        inputs: &BTreeSet<String>,
        observer: &mut NamedObserver<'_>,
    ) -> Result<(), Failure> {
        let graph = self.graph_with(inputs)?;
        let graph = self.prepared(graph, Purpose::Observe)?;
        let executor = Executor::observing(graph, self.weights_now()?, &self.engine.device)?;
        executor.observe_constants(&mut |which, value| observer(&named(executor.graph(), which), value))
    }

    /// Computes the outputs that are always made, once for each set of quantizers
    /// that are on, by their names; what the sets have in common is computed once.
    ///
    /// # Errors
    /// As [`call`](Session::call).
    pub fn variants(
        &mut self,
        inputs: &BTreeMap<String, Tensor>,
        sets: &[BTreeSet<String>],
    ) -> Result<Vec<BTreeMap<String, Tensor>>, Failure> {
        let signature = renumbered(inputs)?;
        let known = self
            .variants
            .iter()
            .position(|(known, variants)| *known == signature && variants.accepts(inputs));
        let at = match known {
            Some(at) => at,
            None => {
                let graph = self.compile(exactly(inputs)?, BTreeSet::new(), true)?;
                let graph = self.prepared(graph, Purpose::Run)?;
                let variants = Variants::new(graph, self.weights_now()?, &self.engine.device)?;
                self.variants.push((signature, variants));
                self.variants.len() - 1
            }
        };
        let Some((_, variants)) = self.variants.get(at) else { return Ok(Vec::new()) };
        let positions = |set: &BTreeSet<String>| {
            let quantizers = variants.graph().quantizers.iter().enumerate();
            quantizers.filter(|(_, quantizer)| set.contains(&quantizer.name)).map(|(at, _)| at).collect()
        };
        let sets: Vec<_> = sets.iter().map(positions).collect();
        variants.run(inputs, &sets)
    }

    /// The executor of a call; an earlier one where sizes alone differ.
    fn executor(
        &mut self,
        purpose: Purpose,
        inputs: &BTreeMap<String, Tensor>,
        request: &BTreeSet<String>,
    ) -> Result<&Prepared, Failure> {
        let signature = (purpose, request.clone(), renumbered(inputs)?);
        let known = self.calls.get(&signature).copied();
        // Sizes that are numbered alike may still want another type: one that says 3, or a sum.
        let fitting =
            known.filter(|at| self.executors.get(*at).is_some_and(|(_, known)| known.accepts(inputs)));
        let at = match fitting {
            Some(at) => at,
            None => {
                let at = self.new_executor(purpose, inputs, request)?;
                self.calls.insert(signature, at);
                at
            }
        };
        self.executors.get(at).map(|(_, executor)| executor).ok_or_else(unprepared)
    }

    /// The executor of a call, made unless an earlier call had the same graph.
    fn new_executor(
        &mut self,
        purpose: Purpose,
        inputs: &BTreeMap<String, Tensor>,
        request: &BTreeSet<String>,
    ) -> Result<usize, Failure> {
        let quantize = self.engine.quantize || purpose == Purpose::Observe;
        let graph = self.compile(exactly(inputs)?, request.clone(), quantize)?;
        let graph = self.prepared(graph, purpose)?;
        self.make(graph, purpose)
    }

    /// The executor of a graph for a purpose; an earlier one where there is one.
    fn make(&mut self, graph: Checked, purpose: Purpose) -> Result<usize, Failure> {
        let alike = |(of, known): &(Purpose, Prepared)| *of == purpose && *known.graph() == *graph;
        if let Some(at) = self.executors.iter().position(alike) {
            return Ok(at);
        }
        self.pack_multiplied(&graph, purpose)?;
        let (weights, device) = (self.weights_now()?, &self.engine.device);
        let executor = match purpose {
            Purpose::Answer if self.engine.integers != Integers::Never => self.in_integers(graph, weights)?,
            Purpose::Answer => Prepared::Float(Box::new(Executor::new(graph, weights, device)?)),
            Purpose::Run => Prepared::Float(Box::new(Executor::inspecting(graph, weights, device)?)),
            Purpose::Observe => Prepared::Float(Box::new(Executor::observing(graph, weights, device)?)),
        };
        self.executors.push((purpose, executor));
        Ok(self.executors.len() - 1)
    }

    /// The graph as its purpose and the engine want it, its weights read.
    fn prepared(&mut self, graph: Checked, purpose: Purpose) -> Result<Checked, Failure> {
        let graph = match purpose {
            Purpose::Answer | Purpose::Run => graph.into_inner(),
            Purpose::Observe => observe(graph.into_inner()),
        };
        self.load(&graph, purpose)?;
        let dtype = self.engine.dtype;
        Checked::new(recast(graph, dtype)).map_err(|fault| {
            Failure::input(format!("the model cannot be computed in {dtype}: {}", fault.message))
        })
    }

    fn compile(&self, inputs: Given, outputs: BTreeSet<String>, quantize: bool) -> Result<Checked, Failure> {
        let options = Options { config: self.checkpoint.config.clone(), inputs, outputs };
        let (graph, problems) = compile(&self.program, &options, quantize);
        graph.ok_or(Failure::Diagnostics(problems))
    }
}

impl crate::tasks::Runner for Session {
    fn run(
        &mut self,
        inputs: &BTreeMap<String, Tensor>,
        request: &[&str],
    ) -> Result<BTreeMap<String, Tensor>, Failure> {
        let (_, outputs) = self.program.interface();
        let inputs = self.own_inputs(inputs);
        let request = request.iter().filter(|name| outputs.contains(**name)).map(|name| (*name).to_owned());
        self.executor(Purpose::Answer, &inputs, &request.collect())?.run_unpadded(&inputs)
    }
}

/// The call with these inputs.
fn exactly(inputs: &BTreeMap<String, Tensor>) -> Result<Given, Failure> {
    let mut given = BTreeMap::new();
    for (name, tensor) in inputs {
        let tensor = GivenTensor { dtype: element(name, tensor)?, shape: tensor.dims().to_vec() };
        given.insert(name.clone(), tensor);
    }
    Ok(Given::Exactly(given))
}

/// The element type of a given tensor, as specs name it.
fn element(name: &str, tensor: &Tensor) -> Result<DType, Failure> {
    spec_dtype(tensor.dtype()).ok_or_else(|| {
        Failure::input(format!("the input `{name}` holds {:?}, which no model takes", tensor.dtype()))
            .help("store ids and masks as i64, and everything else as f32")
    })
}

/// Names, element types, and sizes by the order in which they first come; 1
/// stays 1, because a type may say it.
fn renumbered(inputs: &BTreeMap<String, Tensor>) -> Result<Shapes, Failure> {
    let mut seen = vec![0, 1];
    let mut list = Vec::new();
    for (name, tensor) in inputs {
        let mut sizes = Vec::new();
        for size in tensor.dims() {
            let number = seen.iter().position(|known| known == size).unwrap_or_else(|| {
                seen.push(*size);
                seen.len() - 1
            });
            sizes.push(number);
        }
        list.push((name.clone(), element(name, tensor)?, sizes));
    }
    Ok(list)
}
