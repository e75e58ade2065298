//! `qdqc run --tensors`: named tensors in, named tensors out.

use super::output::{Existing, WholeFile, cannot_write};
use crate::{failure::Failure, session::Session};
use candle_core::{DType, Device, Tensor, safetensors::Load};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

/// Runs the model once on the tensors of a file and writes its outputs to
/// another: those always made, and those requested.
pub fn run(
    session: &mut Session,
    given: &Path,
    results: &Path,
    request: &[&str],
) -> Result<ExitCode, Failure> {
    let inputs = read(given)?;
    // A folder that is not there shows before the work, not after it.
    let mut file = WholeFile::create(results, Existing::Replace)?;
    let outputs = session.call(&inputs, &wanted(session, &inputs, request))?;
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let bytes = safetensors::serialize(&outputs, Some(metadata))
        .map_err(|error| Failure::outside(format!("the outputs cannot be written: {error}")))?;
    file.write_all(&bytes).map_err(|error| cannot_write(results, &error))?;
    file.finish()?;
    Ok(ExitCode::SUCCESS)
}

/// What is requested. `attentions` are those of cross-attention too, where a
/// call has any.
fn wanted(session: &Session, inputs: &BTreeMap<String, Tensor>, request: &[&str]) -> BTreeSet<String> {
    let mut wanted: BTreeSet<String> = request.iter().map(|name| (*name).to_owned()).collect();
    let crosses = session.config().get("add_cross_attention").and_then(Value::as_bool) == Some(true);
    if wanted.contains("attentions") && crosses && inputs.contains_key("encoder_hidden_states") {
        wanted.insert("cross_attentions".to_owned());
    }
    wanted
}

/// The tensors of a safetensors file, on the CPU; truth values as bytes.
pub fn read(path: &Path) -> Result<BTreeMap<String, Tensor>, Failure> {
    let name = path.display();
    let bytes = fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::input(format!("there is no file `{name}`")),
        io::ErrorKind::IsADirectory => Failure::input(format!("`{name}` is a folder, not a file of tensors")),
        _ => Failure::outside(format!("`{name}` cannot be read: {error}")),
    })?;
    decode(&format!("`{name}`"), &bytes)
}

/// The tensors in the bytes of a safetensors file, which messages call `name`.
pub fn decode(name: &str, bytes: &[u8]) -> Result<BTreeMap<String, Tensor>, Failure> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|error| Failure::input(format!("{name} is not a safetensors file: {error}")))?;
    let mut tensors = BTreeMap::new();
    for (key, view) in file.tensors() {
        let tensor = match view.dtype() {
            Dtype::BOOL => Tensor::from_raw_buffer(view.data(), DType::U8, view.shape(), &Device::Cpu),
            _ => view.load(&Device::Cpu),
        };
        let tensor =
            tensor.map_err(|error| Failure::input(format!("`{key}` in {name} cannot be used: {error}")))?;
        tensors.insert(key, tensor);
    }
    Ok(tensors)
}
