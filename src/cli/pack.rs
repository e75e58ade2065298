//! `qdqc pack`: a checkpoint whose quantized weights are int8.

use super::{
    Stop,
    args::{self, EngineKind},
    calibrated::Folder,
    interrupt, model, output,
    screen::Screen,
};
use crate::{checkpoint::Checkpoint, failure::Failure};
use std::{path::Path, process::ExitCode};

/// Packs the weights, and says what that came to.
pub fn pack(arguments: &args::Pack, screen: Screen) -> Result<ExitCode, Stop> {
    interrupt::install();
    let engine = args::Engine {
        engine: Some(EngineKind::Int8),
        amax: arguments.amax.clone(),
        ..args::Engine::default()
    };
    let mut session = model::open((&arguments.model).into(), &engine, screen)?;
    let folder = Folder::new(&arguments.output, session.folder())?;
    let path = arguments.output.join("model.safetensors");
    if path.exists() && !arguments.force {
        let message = format!("`{}` holds a checkpoint already", arguments.output.display());
        return Err(Failure::usage(message)
            .help("choose another folder, or write over it by `--force`")
            .into());
    }
    let sources = session.program().sources.clone();
    let packed = session.packed().map_err(Stop::within(&sources))?;
    let before = size(session.checkpoint())?;
    folder.make()?;
    session.checkpoint().save_packed(&arguments.output, &packed)?;
    let after = size_of(&path)?;
    output::print(&format!(
        "{}: {} weights in int8, {} ({:.0} % of {})\n",
        arguments.output.display(),
        packed.len(),
        megabytes(after),
        after as f64 / before.max(1) as f64 * 100.0,
        megabytes(before),
    ))?;
    Ok(ExitCode::SUCCESS)
}

/// Bytes of a checkpoint's tensors.
fn size(checkpoint: &Checkpoint) -> Result<u64, Failure> {
    let weights = checkpoint.weights()?;
    let bytes = weights.tensors().filter_map(|(name, file)| file.bytes(name).ok().map(|bytes| bytes.len()));
    Ok(bytes.sum::<usize>() as u64)
}

fn size_of(path: &Path) -> Result<u64, Failure> {
    let metadata = std::fs::metadata(path);
    let metadata = metadata.map_err(|error| Failure::outside(format!("{}: {error}", path.display())))?;
    Ok(metadata.len())
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
