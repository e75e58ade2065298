//! The other runtime: an ONNX model that is run, or a file of what came out elsewhere.

use super::{
    args,
    runtime::{Runtime, Setup},
    tensors,
};
use crate::{
    backends::candle::Inspected,
    failure::Failure,
    names::list_of,
    onnx::{Pair, Surface},
};
use candle_core::{DType, Device, Tensor};
use std::{
    collections::{BTreeMap, HashMap},
    fs, io,
    path::Path,
};

/// Another runtime.
#[derive(Debug)]
pub enum Other {
    /// An ONNX model.
    Model {
        /// Its file, for messages.
        file: String,
        /// Where it runs.
        runtime: Box<Runtime>,
        /// Its inputs and outputs.
        surface: Surface,
        /// Its inner values, by the names of quantizers.
        pairs: HashMap<String, Pair>,
    },
    /// What came out elsewhere, of one call.
    File {
        /// For messages.
        file: String,
        /// Outputs and inner values; nothing once they were compared.
        tensors: Option<BTreeMap<String, Tensor>>,
    },
}

/// What the other runtime made at a quantizer.
#[derive(Clone, Copy, Debug)]
pub struct Inner<'a> {
    /// What its quantizer saw, if that is known.
    pub input: Option<&'a Tensor>,
    /// What it made of it.
    pub output: &'a Tensor,
    /// Its scales, if they are known.
    pub scales: Option<&'a [f32]>,
}

impl Other {
    /// Opens what the command line names.
    ///
    /// # Errors
    /// There is no such file, it is not what it should be, or there is no runtime for it.
    pub fn open(arguments: &args::Compare) -> Result<Other, Failure> {
        match (&arguments.onnx, &arguments.outputs) {
            (Some(model), _) => Other::model(model, arguments),
            (None, Some(outputs)) => {
                let tensors = Some(tensors::read(outputs)?);
                Ok(Other::File { file: outputs.display().to_string(), tensors })
            }
            (None, None) => Err(Failure::usage("there is nothing to compare with")
                .help("name an ONNX model by `--onnx`, or outputs by `--outputs`")),
        }
    }

    fn model(path: &Path, arguments: &args::Compare) -> Result<Other, Failure> {
        let file = path.display().to_string();
        let cannot = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => Failure::input(format!("there is no file `{file}`")),
            _ => Failure::outside(format!("`{file}` cannot be read: {error}")),
        };
        let bytes = fs::read(path).map_err(cannot)?;
        let mut surface = Surface::of(&bytes, &format!("`{file}`"))?;
        if arguments.optimize {
            surface.pairs.clear();
        }
        let full = fs::canonicalize(path).map_err(cannot)?;
        let setup = Setup {
            python: arguments.python.as_deref(),
            folder: full.parent().unwrap_or(&full),
            optimize: arguments.optimize,
            threads: arguments.engine.machine.threads,
        };
        let runtime = Box::new(Runtime::start(&surface.with_inner(bytes), &setup)?);
        let pairs = surface.pairs.iter().map(|pair| (pair.name.clone(), pair.clone())).collect();
        Ok(Other::Model { file, runtime, surface, pairs })
    }

    /// What it is called in results.
    pub fn name(&self) -> String {
        match self {
            Other::Model { runtime, .. } => runtime.name.clone(),
            Other::File { file, .. } => file.clone(),
        }
    }

    /// Its file, for messages.
    pub fn file(&self) -> &str {
        match self {
            Other::Model { file, .. } | Other::File { file, .. } => file,
        }
    }

    /// It has this input; of a file nobody knows.
    pub fn takes(&self, input: &str) -> bool {
        match self {
            Other::Model { surface, .. } => surface.inputs.iter().any(|known| known.name == input),
            Other::File { .. } => true,
        }
    }

    /// What it makes of these inputs, by name.
    ///
    /// # Errors
    /// It needs other inputs, or it fails; a file has the results of one call alone.
    pub fn call(&mut self, inputs: &BTreeMap<String, Tensor>) -> Result<BTreeMap<String, Tensor>, Failure> {
        match self {
            Other::Model { file, runtime, surface, .. } => {
                let inputs = with_empty_past(surface, inputs);
                let lacking = surface.inputs.iter().map(|input| input.name.as_str());
                let lacking: Vec<&str> = lacking.filter(|name| !inputs.contains_key(*name)).collect();
                if !lacking.is_empty() {
                    let message = format!("`{file}` needs {}, not given here", list_of(lacking));
                    return Err(
                        Failure::input(message).help("give every input in a safetensors file by `--tensors`")
                    );
                }
                let mut results = runtime.call(&inputs)?;
                // A quantizer may see an input itself.
                for (name, tensor) in inputs {
                    results.entry(name).or_insert(tensor);
                }
                Ok(results)
            }
            Other::File { file, tensors } => tensors.take().ok_or_else(|| {
                Failure::input(format!("`{file}` has the outputs of one call, but these inputs take several"))
                    .help("give the inputs of that call by `--tensors`, or a larger `--batch`")
            }),
        }
    }

    /// What it made at one of these quantizers.
    pub fn inner<'a>(
        &'a self,
        name: &str,
        seen: &Inspected<'_>,
        results: &'a BTreeMap<String, Tensor>,
    ) -> Option<Inner<'a>> {
        match self {
            Other::Model { pairs, .. } => {
                let pair = pairs.get(name)?;
                let output = results.get(&pair.output)?;
                Some(Inner { input: results.get(&pair.input), output, scales: pair.scale.as_deref() })
            }
            Other::File { .. } => {
                Some(Inner { input: results.get(seen.of), output: results.get(name)?, scales: None })
            }
        }
    }
}

/// The inputs, and keys and values of no earlier tokens where the model wants some and none are given: a
/// spec does without, an ONNX model has an axis of size 0.
fn with_empty_past(surface: &Surface, inputs: &BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    let mut all = inputs.clone();
    let batch = inputs.values().next().and_then(|tensor| tensor.dims().first().copied()).unwrap_or(1);
    let past = surface.inputs.iter().filter(|input| input.name.starts_with("past_key_values."));
    for input in past.filter(|input| !inputs.contains_key(&input.name)) {
        let sizes = input.shape.iter().enumerate();
        let sizes = sizes.map(|(axis, size)| size.unwrap_or(if axis == 0 { batch } else { 0 }));
        let empty = Tensor::zeros(sizes.collect::<Vec<_>>(), DType::F32, &Device::Cpu);
        all.extend(empty.ok().map(|empty| (input.name.clone(), empty)));
    }
    all
}
