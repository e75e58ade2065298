//! The directory of a file that `torch.save` wrote: a pickle that describes
//! tensors, and beside it the storages that hold their elements.
//!
//! Since torch 1.6 the file is a zip archive, uncompressed, with the pickle as
//! `*/data.pkl` and each storage as `*/data/KEY`. Before, it was five pickles
//! in a row (magic number, version, system, object, list of storage keys)
//! followed by every storage: its number of elements in eight bytes, then the
//! elements (`torch/serialization.py`, `_legacy_save`).

use super::{
    pickle::{Id, Object, Pickle},
    tensor_file::{Directory, Stored},
};
use safetensors::Dtype;
use std::{collections::HashMap, io::Cursor, ops::Range};
use zip::{CompressionMethod, ZipArchive};

/// What a zip archive starts with.
pub(super) const ZIP: &[u8] = b"PK\x03\x04";

/// `0x1950a86a20f9469cfc6c`, as the pickle of an integer after its two bytes of
/// protocol.
const LEGACY_MAGIC: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// Keys under which a training checkpoint keeps the model's state dict.
const NESTED: [&str; 4] = ["state_dict", "model_state_dict", "model", "module"];

/// Byte ranges of storages in the file, by key.
type Storages = HashMap<String, Range<usize>>;

/// The file has the form of before torch 1.6.
pub(super) fn is_legacy(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0x80) && bytes.get(2..).is_some_and(|rest| rest.starts_with(LEGACY_MAGIC))
}

/// Where the tensors of a zip archive lie.
pub(super) fn zip_directory(bytes: &[u8]) -> Result<Directory, String> {
    let files = zip_files(bytes)?;
    let pickles = || files.keys().filter(|name| name.as_str() == "data.pkl" || name.ends_with("/data.pkl"));
    let name = pickles().min().ok_or("a zip archive without the `data.pkl` that `torch.save` writes")?;
    let root = name.strip_suffix("data.pkl").unwrap_or_default();
    if files.contains_key(&format!("{root}constants.pkl")) {
        return Err("a TorchScript program, which would have to be run; save its state dict".into());
    }
    let content = |name: &str| files.get(&format!("{root}{name}")).and_then(|range| bytes.get(range.clone()));
    if content("byteorder").is_some_and(|order| order != b"little") {
        return Err("saved on a big-endian machine, which is not read".into());
    }
    let pickle = Pickle::read(content("data.pkl").unwrap_or_default())?;
    let prefix = format!("{root}data/");
    let storages = files
        .iter()
        .filter_map(|(name, range)| Some((name.strip_prefix(&prefix)?.to_owned(), range.clone())))
        .collect();
    directory(&pickle, &storages)
}

/// The byte range of every file of the archive. All lie in it uncompressed, so
/// they are read in place.
fn zip_files(bytes: &[u8]) -> Result<HashMap<String, Range<usize>>, String> {
    let broken = |error: zip::result::ZipError| format!("the zip archive is damaged or cut short: {error}");
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(broken)?;
    let mut files = HashMap::with_capacity(archive.len());
    for index in 0..archive.len() {
        let file = archive.by_index_raw(index).map_err(broken)?;
        let name = file.name().map_err(broken)?.into_owned();
        if file.compression() != CompressionMethod::Stored || file.encrypted() {
            return Err(format!("`{name}` in the zip archive is compressed, which `torch.save` never does"));
        }
        let range = file.data_start().and_then(|start| {
            let start = usize::try_from(start).ok()?;
            let end = start.checked_add(usize::try_from(file.size()).ok()?)?;
            (end <= bytes.len()).then_some(start..end)
        });
        let range = range.ok_or_else(|| format!("`{name}` ends beyond the zip archive"))?;
        files.insert(name, range);
    }
    Ok(files)
}

/// Where the tensors of a file of before torch 1.6 lie.
pub(super) fn legacy_directory(bytes: &[u8]) -> Result<Directory, String> {
    let mut at = 0;
    let mut pickles = Vec::new();
    for _ in 0..5 {
        let pickle = Pickle::read(bytes.get(at..).unwrap_or_default())?;
        at += pickle.length;
        pickles.push(pickle);
    }
    let [_magic, _version, system, object, keys] = pickles.as_slice() else {
        return Err("cut short".into());
    };
    if lookup(system, system.root, "little_endian").and_then(|id| system.size(id)) == Some(0) {
        return Err("saved on a big-endian machine, which is not read".into());
    }
    let types = storage_types(object);
    let mut storages = Storages::new();
    for key in keys.elements(keys.root).unwrap_or_default() {
        let key = keys.text(*key).ok_or("a storage has no key")?;
        let dtype =
            types.get(key).ok_or_else(|| format!("storage `{key}` has no element type that is read"))?;
        let range = storage(bytes, at, *dtype).ok_or_else(|| format!("cut short in storage `{key}`"))?;
        at = range.end;
        storages.insert(key.to_owned(), range);
    }
    directory(object, &storages)
}

/// The elements of the storage that starts at `at` with their number.
fn storage(bytes: &[u8], at: usize, dtype: Dtype) -> Option<Range<usize>> {
    let count = bytes.get(at..)?.first_chunk::<8>()?;
    let count = usize::try_from(u64::from_le_bytes(*count)).ok()?;
    let start = at.checked_add(8)?;
    let end = start.checked_add(count.checked_mul(dtype.bitsize() / 8)?)?;
    (end <= bytes.len()).then_some(start..end)
}

/// The element type of every storage that a pickle mentions, by key.
fn storage_types<'a>(pickle: &Pickle<'a>) -> HashMap<&'a str, Dtype> {
    let storages = pickle.objects().filter_map(|object| match object {
        Object::Persistent(id) => storage_key(pickle, *id).ok(),
        _ => None,
    });
    storages.collect()
}

/// Key and element type from `("storage", torch.FloatStorage, KEY, device, ...)`.
fn storage_key<'a>(pickle: &Pickle<'a>, id: Id) -> Result<(&'a str, Dtype), String> {
    let Some([_, class, key, rest @ ..]) = pickle.elements(id) else {
        return Err("a storage is not described as torch does".into());
    };
    if rest.get(2).is_some_and(|view| pickle.elements(*view).is_some()) {
        return Err("a storage is a part of another, as only torch before 0.4 wrote".into());
    }
    let key = pickle.text(*key).ok_or("a storage has no key")?;
    let Object::Global(_, class) = pickle.get(*class) else {
        return Err(format!("storage `{key}` has no element type"));
    };
    Ok((key, element_type(class).ok_or_else(|| format!("elements in a `{class}` are not read"))?))
}

fn element_type(class: &str) -> Option<Dtype> {
    Some(match class {
        "FloatStorage" => Dtype::F32,
        "HalfStorage" => Dtype::F16,
        "BFloat16Storage" => Dtype::BF16,
        "DoubleStorage" => Dtype::F64,
        "LongStorage" => Dtype::I64,
        "IntStorage" => Dtype::I32,
        "ShortStorage" => Dtype::I16,
        "CharStorage" => Dtype::I8,
        "ByteStorage" => Dtype::U8,
        "BoolStorage" => Dtype::BOOL,
        "ComplexFloatStorage" => Dtype::C64,
        _ => return None,
    })
}

/// Where the tensors of a state dict lie.
fn directory(pickle: &Pickle, storages: &Storages) -> Result<Directory, String> {
    let entries = state_dict(pickle).ok_or("its pickle is not a state dict: it holds no tensor by name")?;
    let mut directory = Directory::new();
    for (name, value) in entries {
        let (Some(name), Some(arguments)) = (pickle.text(*name), rebuilt(pickle, *value, 0)) else {
            continue;
        };
        let stored = stored(pickle, arguments, storages).map_err(|problem| format!("`{name}`: {problem}"))?;
        if directory.insert(name.to_owned(), stored).is_some() {
            return Err(format!("two tensors are named `{name}`"));
        }
    }
    Ok(directory)
}

/// The entries of the state dict: the root, or where a training checkpoint
/// keeps it.
fn state_dict<'a>(pickle: &'a Pickle) -> Option<&'a [(Id, Id)]> {
    let nested = NESTED.iter().filter_map(|key| lookup(pickle, pickle.root, key));
    std::iter::once(pickle.root).chain(nested).find_map(|id| match pickle.get(id) {
        Object::Dict(entries) => entries
            .iter()
            .any(|(_, value)| rebuilt(pickle, *value, 0).is_some())
            .then_some(entries.as_slice()),
        _ => None,
    })
}

fn lookup(pickle: &Pickle, dict: Id, key: &str) -> Option<Id> {
    let Object::Dict(entries) = pickle.get(dict) else { return None };
    entries.iter().rfind(|(name, _)| pickle.text(*name) == Some(key)).map(|(_, value)| *value)
}

/// The arguments of the `_rebuild_tensor` that makes a value, through a parameter
/// or a subclass of tensor around it; `None` where the value is no tensor.
fn rebuilt<'a>(pickle: &'a Pickle, value: Id, depth: usize) -> Option<&'a [Id]> {
    let Object::Call(callable, arguments) = pickle.get(value) else { return None };
    let arguments = pickle.elements(*arguments)?;
    match (pickle.get(*callable), arguments) {
        (Object::Global("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor"), _) => Some(arguments),
        (Object::Global("torch._utils", "_rebuild_parameter"), [data, ..]) if depth < 4 => {
            rebuilt(pickle, *data, depth + 1)
        }
        (Object::Global("torch._tensor", "_rebuild_from_type_v2"), [function, _, arguments, ..]) => {
            match pickle.get(*function) {
                Object::Global("torch._utils", "_rebuild_tensor_v2") => pickle.elements(*arguments),
                _ => None,
            }
        }
        _ => None,
    }
}

/// A tensor from storage, offset, sizes and strides, the last three in elements.
fn stored(pickle: &Pickle, arguments: &[Id], storages: &Storages) -> Result<Stored, String> {
    let [storage, offset, shape, strides, ..] = arguments else {
        return Err("its description is not what torch writes".into());
    };
    let Object::Persistent(key) = pickle.get(*storage) else {
        return Err("its storage is not in the file".into());
    };
    let (key, dtype) = storage_key(pickle, *key)?;
    let storage = storages.get(key).ok_or_else(|| format!("its storage `{key}` is not in the file"))?;
    let numbers = (pickle.size(*offset), pickle.sizes(*shape), pickle.sizes(*strides));
    let (Some(offset), Some(shape), Some(strides)) = numbers else {
        return Err("its description is not what torch writes".into());
    };
    if strides.len() != shape.len() {
        return Err(format!("it has {} sizes and {} strides", shape.len(), strides.len()));
    }
    let start = offset.checked_mul(dtype.bitsize() / 8).and_then(|skip| storage.start.checked_add(skip));
    let start = start.filter(|start| *start <= storage.end).ok_or("it starts beyond its storage")?;
    let strides = (!row_major(&shape, &strides)).then_some(strides);
    // A row-major tensor ends where its elements do; a strided one may reach to
    // the end of its storage. What claims to reach further is refused when read.
    let length = shape.iter().try_fold(dtype.bitsize() / 8, |bytes, size| bytes.checked_mul(*size));
    let end = length.filter(|_| strides.is_none()).and_then(|length| start.checked_add(length));
    let end = end.map_or(storage.end, |end| end.min(storage.end));
    Ok(Stored { dtype, shape, bytes: start..end, strides })
}

fn row_major(shape: &[usize], strides: &[usize]) -> bool {
    let mut expected = Some(1usize);
    shape.iter().zip(strides).rev().all(|(size, stride)| {
        let fits = *size <= 1 || expected == Some(*stride);
        expected = expected.and_then(|expected| expected.checked_mul(*size));
        fits
    })
}
