//! A spec and a checkpoint made ready, for every command that runs a model.

use super::{Stop, args, screen::Screen, settings, spec};
use crate::{
    answer::Answer,
    config::Config,
    failure::Failure,
    session::{Engine, Integers, Session},
    tasks::Tokenizer,
    types::DType,
};
use candle_core::Device;
use std::{path::Path, thread};

/// A model as the command line names it.
#[derive(Clone, Copy, Debug)]
pub struct Named<'a> {
    /// A spec file, or the name of a bundled spec.
    pub spec: &'a str,
    /// A folder, a weights file, or a hub id.
    pub checkpoint: &'a str,
    /// Values laid over the config, each `field=value`.
    pub set: &'a [String],
    /// A file of `quantize` blocks in place of the spec's.
    pub recipe: Option<&'a Path>,
}

impl<'a> From<&'a args::Model> for Named<'a> {
    fn from(model: &'a args::Model) -> Named<'a> {
        let args::Model { spec, checkpoint, set, recipe } = model;
        Named { spec, checkpoint, set, recipe: recipe.as_deref() }
    }
}

/// The spec and the checkpoint. Starts the processor threads that the engine asks
/// for; to be called once in a program where it asks for any.
///
/// # Errors
/// The spec has errors, there is no such checkpoint, or the engine is not there.
pub fn open(named: Named<'_>, engine: &args::Engine, screen: Screen) -> Result<Session, Stop> {
    let mut computed = computing(&engine.machine, !engine.float)?;
    computed.integers = integers(engine, &computed)?;
    let spec = spec::read(named.spec)?;
    let program = spec::load(&spec, named.recipe)?;
    let mut checkpoint = settings::checkpoint(named.checkpoint, screen)?;
    settings::lay_over(&mut checkpoint.config, named.set)?;
    settings::warn_unread(named.set, &program, screen);
    if let Some(ranges) = &engine.amax {
        checkpoint.overlay(ranges)?;
    }
    Ok(Session::new(program, checkpoint, computed))
}

/// What a machine is to compute with. Starts its processor threads, as [`open`] does.
///
/// # Errors
/// There is no such device, or it cannot be used.
pub fn computing(machine: &args::Machine, quantize: bool) -> Result<Engine, Failure> {
    use_threads(machine.threads)?;
    let device = device(machine.device.as_deref().unwrap_or("cpu"))?;
    Ok(Engine { device, dtype: dtype(machine.dtype), quantize, integers: Integers::Never })
}

/// Reads the weights, and the vocabulary meanwhile. Gives how the outputs are
/// read, which is nothing where the spec has no `answer`.
///
/// # Errors
/// The spec does not fit the config, the checkpoint does not fit the spec, or the
/// tokenizer is missing or broken.
pub fn prepare(session: &mut Session, config: &Config) -> Result<(Vec<Answer>, Tokenizer), Failure> {
    let folder = session.folder().clone();
    thread::scope(|scope| {
        let tokenizer = scope.spawn(|| Tokenizer::load(folder, config));
        let answers = session.prepare()?;
        let tokenizer = tokenizer.join();
        let tokenizer =
            tokenizer.unwrap_or_else(|_| Err(Failure::outside("the tokenizer could not be read")));
        Ok((answers, tokenizer?))
    })
}

/// What there is to know of the checkpoint, once.
pub fn show_notes(session: &mut Session, screen: Screen) {
    for note in session.take_notes() {
        screen.note(&note.0);
    }
}

/// Whether the engine that was asked for, or else the best, computes in integers.
fn integers(engine: &args::Engine, computed: &Engine) -> Result<Integers, Failure> {
    let possible = computed.device.is_cpu() && computed.dtype == DType::F32 && computed.quantize;
    match engine.engine {
        Some(args::EngineKind::Candle) => Ok(Integers::Never),
        None | Some(args::EngineKind::Auto) if possible => Ok(Integers::WherePossible),
        None | Some(args::EngineKind::Auto) => Ok(Integers::Never),
        Some(args::EngineKind::Int8) if possible => Ok(Integers::Required),
        Some(args::EngineKind::Int8) => Err(Failure::usage("the engine `int8` computes on a CPU, in f32")
            .help("leave out `--device` and `--dtype`, or say `--engine candle`")),
    }
}

/// `cpu`, `cuda` or `cuda:1`.
fn device(name: &str) -> Result<Device, Failure> {
    let number = match name {
        "cpu" => return Ok(Device::Cpu),
        "cuda" => Some(0),
        _ => name.strip_prefix("cuda:").and_then(|number| number.parse().ok()),
    };
    let Some(number) = number else {
        return Err(Failure::usage(format!("there is no device `{name}`"))
            .help("the devices are cpu, cuda and cuda:N"));
    };
    if !cfg!(feature = "cuda") {
        return Err(Failure::usage(format!("this qdqc was built without support for `{name}`"))
            .help("build it with `cargo build --release --features cuda`"));
    }
    Device::new_cuda(number).map_err(|error| Failure::outside(format!("`{name}` cannot be used: {error}")))
}

fn dtype(given: Option<args::FloatType>) -> DType {
    match given {
        None | Some(args::FloatType::F32) => DType::F32,
        Some(args::FloatType::F16) => DType::F16,
        Some(args::FloatType::Bf16) => DType::BF16,
    }
}

fn use_threads(threads: Option<usize>) -> Result<(), Failure> {
    let Some(count) = threads else { return Ok(()) };
    rayon::ThreadPoolBuilder::new()
        .num_threads(count)
        .build_global()
        .map_err(|error| Failure::outside(format!("{count} threads cannot be started: {error}")))
}
