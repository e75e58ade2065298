//! From a checkpoint's tensors to those that a spec wants.

use super::{
    Checkpoint, Fresh, decode,
    fresh::draw,
    names::{Names, canonical, is_negative_of, is_range},
    packed,
    problems::{Found, Problems},
    surplus,
    tensor_file::{Stored, TensorFile},
};
use crate::{failure::Failure, span::Span};
use candle_core::{DType, Device, Tensor};
use std::collections::{HashMap, HashSet};

/// A tensor that a spec wants from a checkpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// Its name in the state dict: `bert.embeddings.word_embeddings.weight`. A
    /// name that ends in `_amax` is a quantizer's range.
    pub path: String,
    /// Its sizes.
    pub shape: Vec<usize>,
    /// Names of copies of it, which may be in the file too, or instead.
    pub tied: Vec<String>,
    /// Where the spec declares it.
    pub span: Option<Span>,
    /// May be absent.
    pub optional: bool,
    /// Is read from its file when it is needed, not loaded.
    pub stays: bool,
}

/// Something to know about a checkpoint that is no fault: one sentence, lower
/// case, without a full stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note(pub String);

/// Tensors by the names that the spec wants them under, and what is to be known.
pub type Loaded = (HashMap<String, Tensor>, Vec<Note>);

/// A tensor of a file.
struct Entry<'a> {
    name: &'a str,
    file: &'a TensorFile,
    stored: &'a Stored,
}

/// Where tensors are looked for: the ranges laid over, the latest first, then
/// the weights.
struct Layers<'a> {
    entries: Vec<Entry<'a>>,
    layers: Vec<Names>,
}

impl<'a> Layers<'a> {
    fn push(&mut self, tensors: impl Iterator<Item = (&'a str, &'a TensorFile)>) {
        let mut names = Names::default();
        for (name, file) in tensors {
            let Some(stored) = file.get(name) else { continue };
            names.insert(name, self.entries.len());
            self.entries.push(Entry { name, file, stored });
        }
        self.layers.push(names);
    }

    /// The wanted tensor under its own name in any layer, else a tied copy.
    fn find(&self, wanted: &Wanted) -> Option<&Entry<'a>> {
        let place = std::iter::once(&wanted.path)
            .chain(&wanted.tied)
            .find_map(|path| self.layers.iter().find_map(|names| names.find(path)))?;
        self.entries.get(place)
    }
}

impl Checkpoint {
    /// Loads the wanted tensors as `dtype` (f32, f16, bf16 or f64) onto a device,
    /// one after the other. Ranges (`_amax`) stay f32: scales are derived from them
    /// in f32. Names are found with or without the prefixes `bert.`
    /// and `module.`, with `gamma` and `beta` for `weight` and `bias`, and through
    /// tied copies.
    ///
    /// # Errors
    /// Missing, misshapen and unreadable tensors, all together, as diagnostics at
    /// the wanted tensors' spans; or a file that cannot be read.
    pub fn load(&self, wanted: &[Wanted], device: &Device, dtype: DType) -> Result<Loaded, Failure> {
        self.load_with(wanted, device, dtype, None).map(|(loaded, _)| loaded)
    }

    /// Loads the wanted tensors as [`load`](Checkpoint::load) does, to be trained: heads that
    /// the checkpoint does not have are drawn by chance, and so is what `fresh` demands.
    /// Gives the paths of those too.
    ///
    /// # Errors
    /// As [`load`](Checkpoint::load), where what is missing is not a whole head, or most is
    /// missing; and a weight that cannot be drawn.
    pub fn load_or_draw(
        &self,
        wanted: &[Wanted],
        device: &Device,
        dtype: DType,
        fresh: &Fresh,
    ) -> Result<(Loaded, Vec<String>), Failure> {
        self.load_with(wanted, device, dtype, Some(fresh))
    }

    /// Loads, and draws where that is allowed; gives the paths of what was drawn.
    fn load_with(
        &self,
        wanted: &[Wanted],
        device: &Device,
        dtype: DType,
        fresh: Option<&Fresh>,
    ) -> Result<(Loaded, Vec<String>), Failure> {
        let weights = self.weights()?;
        let mut layers = Layers { entries: Vec::new(), layers: Vec::new() };
        for overlay in self.overlays.iter().rev() {
            let ranges = overlay.names().filter(|(name, ..)| is_range(name));
            layers.push(ranges.map(|(name, ..)| (name, overlay)));
        }
        layers.push(weights.tensors());
        let names: Vec<&str> = layers.entries.iter().map(|entry| entry.name).collect();

        let demanded = |wanted: &&Wanted| fresh.is_some_and(|fresh| fresh.demands(wanted));
        let (mut drawn, sought): (Vec<&Wanted>, Vec<&Wanted>) = wanted.iter().partition(demanded);
        let mut problems = Problems::new(&weights.name, &self.config, fresh.is_some());
        let mut matches = Vec::with_capacity(sought.len());
        let mut packed = Vec::new();
        for wanted in sought.iter().filter(|wanted| !wanted.stays) {
            match layers.find(wanted) {
                None if packed::has(&weights, wanted) => packed.push((*wanted).clone()),
                None if wanted.optional => {}
                None => problems.missing.push(wanted),
                Some(entry) => {
                    let found = Found { wanted, file: entry.file.name(), stored: entry.stored };
                    if !fits(wanted, &entry.stored.shape) {
                        problems.misshapen.push(found);
                    } else if !decode::readable(entry.stored.dtype) {
                        problems.unreadable.push(found);
                    } else {
                        matches.push((*wanted, entry));
                    }
                }
            }
        }
        if fresh.is_some() {
            drawn.extend(problems.take_heads(&sought, &names));
        }
        if !problems.is_empty() {
            return Err(Failure::Diagnostics(problems.diagnostics(&sought, &names)));
        }
        let known: HashSet<String> = wanted.iter().flat_map(known_names).collect();
        let mut tensors = read(matches, device, dtype)?;
        tensors.extend(self.unpacked(&packed, device, dtype)?);
        for wanted in &drawn {
            let seed = fresh.map_or(0, |fresh| fresh.seed);
            tensors.insert(wanted.path.clone(), draw(wanted, &self.config, seed, device, dtype)?);
        }
        let drawn = drawn.iter().map(|wanted| wanted.path.clone()).collect();
        Ok(((tensors, surplus::notes(&weights.name, &known, &names)), drawn))
    }
}

fn known_names(wanted: &Wanted) -> impl Iterator<Item = String> {
    std::iter::once(&wanted.path).chain(&wanted.tied).map(|name| canonical(name))
}

/// Reads in the order of the files, so that pages are touched once and in order.
fn read(
    mut matches: Vec<(&Wanted, &Entry)>,
    device: &Device,
    dtype: DType,
) -> Result<HashMap<String, Tensor>, Failure> {
    matches.sort_by_key(|(_, entry)| (entry.file.name(), entry.stored.bytes.start));
    let mut tensors = HashMap::with_capacity(matches.len());
    for (wanted, entry) in matches {
        let dtype = if is_range(&wanted.path) { DType::F32 } else { dtype };
        let tensor = entry.file.read(entry.name, device, dtype)?;
        if is_range(&wanted.path) {
            refuse_no_range(entry, &tensor)?;
        }
        let negative = is_negative_of(&wanted.path, entry.name);
        let tensor = tensor
            .reshape(wanted.shape.as_slice())
            .and_then(|tensor| if negative { tensor.neg() } else { Ok(tensor) })
            .map_err(|error| Failure::input(format!("`{}` in {}: {error}", entry.name, entry.file.name())))?;
        tensors.insert(wanted.path.clone(), tensor);
    }
    Ok(tensors)
}

/// Refuses a range that is not finite: it would make NaN of everything.
fn refuse_no_range(entry: &Entry, range: &Tensor) -> Result<(), Failure> {
    let (name, file) = (entry.name, entry.file.name());
    let values = range.flatten_all().and_then(|flat| flat.to_vec1::<f32>());
    let values = values.map_err(|error| Failure::input(format!("`{name}` in {file}: {error}")))?;
    match values.iter().find(|value| !value.is_finite()) {
        Some(value) => Err(Failure::input(format!("`{name}` in {file} holds {value}, which is no range"))
            .help("calibrate again; if that finds no range either, look for NaN in the weights")),
        None => Ok(()),
    }
}

/// Shapes agree. A range agrees whether or not its axes of size 1 are written:
/// `[]` and `[1]`, `[768]` and `[768, 1]`.
fn fits(wanted: &Wanted, shape: &[usize]) -> bool {
    let squeezed = |shape: &[usize]| shape.iter().copied().filter(|size| *size != 1).collect::<Vec<_>>();
    wanted.shape == shape || is_range(&wanted.path) && squeezed(&wanted.shape) == squeezed(shape)
}
