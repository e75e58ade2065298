//! A session whose weights change.

use super::{Pass, Purpose, Session, Shapes, exactly, renumbered, weights::range_path};
use crate::{
    backends::candle::{Differentiable, lay_out},
    checkpoint::Fresh,
    compile::Given,
    failure::Failure,
};
use candle_core::{DType, Tensor};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// What a session has for training.
#[derive(Default)]
pub(super) struct Training {
    pub(super) parameters: BTreeMap<String, Tensor>,
    /// One for each way of calling, by the outputs asked for and the shapes of inputs.
    models: Vec<(BTreeSet<String>, Shapes, Arc<Differentiable>)>,
}

impl Session {
    /// Makes this a session whose weights change: all that a call with these inputs and
    /// outputs, by name, computes with. What the checkpoint lacks of them is drawn as
    /// `fresh` says; gives the paths of that.
    ///
    /// From then on weights are f32, and [`call`](Session::call) and everything else computes
    /// with them as they are, without dropout. It may keep what follows from them up to the
    /// next [`forward`](Session::forward): change parameters after one, and before a call.
    ///
    /// # Errors
    /// The spec does not fit the config or does not take these inputs together, or the
    /// checkpoint does not fit the spec.
    pub fn start_training(
        &mut self,
        inputs: &BTreeSet<String>,
        outputs: &BTreeSet<String>,
        fresh: &Fresh,
    ) -> Result<Vec<String>, Failure> {
        let graph = self.compile(Given::With(inputs.clone()), outputs.clone(), self.engine.quantize)?;
        self.forget();
        self.weights.clear();
        self.multiplied.clear();
        let wanted = self.wanted(&graph);
        let (loaded, drawn) =
            self.checkpoint.load_or_draw(&wanted, &self.engine.device, DType::F32, fresh)?;
        self.keep(&graph, loaded)?;
        lay_out(&graph, &mut self.weights).map_err(|error| Failure::outside(error.to_string()))?;
        let parameters = self.weights.iter().filter(|(path, _)| !is_measured(path));
        self.training.parameters = parameters.map(|(path, weight)| (path.clone(), weight.clone())).collect();
        Ok(drawn)
    }

    /// What changes in training, by state-dict path: weights, biases, and the bounds of
    /// learned ranges. An optimizer writes into the memory of these tensors; one may be a
    /// transposed view, and then its gradient is one too. Empty before
    /// [`start_training`](Session::start_training).
    pub fn parameters(&self) -> &BTreeMap<String, Tensor> {
        &self.training.parameters
    }

    /// Computes outputs as [`call`](Session::call) does, in a way that gradients can be had
    /// of. `dropout`: what the numbers that are dropped follow from; without it none is.
    ///
    /// # Errors
    /// As [`call`](Session::call).
    pub fn forward(
        &mut self,
        inputs: &BTreeMap<String, Tensor>,
        request: &BTreeSet<String>,
        dropout: Option<u64>,
    ) -> Result<Pass, Failure> {
        // They may hold what was made of weights before a step.
        self.executors.clear();
        self.packed.clear();
        self.calls.clear();
        self.variants.clear();
        let shapes = renumbered(inputs)?;
        let known = self.training.models.iter().find(|(outputs, known, model)| {
            *outputs == *request && *known == shapes && model.accepts(inputs)
        });
        if let Some((.., model)) = known {
            return model.forward(inputs, dropout);
        }
        let graph = self.compile(exactly(inputs)?, request.clone(), self.engine.quantize)?;
        let graph = self.prepared(graph, Purpose::Run)?;
        let alike = self.training.models.iter().find(|(.., model)| *model.graph() == *graph);
        let model = match alike {
            Some((.., model)) => Arc::clone(model),
            None => {
                let trained = self.training.parameters.keys().cloned().collect();
                Differentiable::new(graph, self.weights_read(), &trained, &self.engine.device)?
            }
        };
        self.training.models.push((request.clone(), shapes, Arc::clone(&model)));
        model.forward(inputs, dropout)
    }

    /// Puts other magnitudes in place of those of a quantizer, as many as it has.
    ///
    /// # Errors
    /// No quantizer in use has this name and measured ranges, or it has another number of them.
    pub fn set_range(&mut self, quantizer: &str, amax: &[f32]) -> Result<(), Failure> {
        let range = self.weights.get_mut(&range_path(quantizer)).ok_or_else(|| {
            Failure::input(format!("there is no quantizer `{quantizer}` whose range can be set"))
        })?;
        let count = range.elem_count();
        if amax.len() != count {
            let message = format!("`{quantizer}` has {count} ranges, and {} are given", amax.len());
            return Err(Failure::input(message));
        }
        *range = Tensor::from_slice(amax, range.shape(), range.device())
            .map_err(|error| Failure::outside(error.to_string()))?;
        self.forget();
        Ok(())
    }

    /// Forgets what was made of weights.
    fn forget(&mut self) {
        self.executors.clear();
        self.packed.clear();
        self.calls.clear();
        self.variants.clear();
        self.training.models.clear();
    }
}

/// The range is measured, not learned.
fn is_measured(path: &str) -> bool {
    path.ends_with("._amax")
}
