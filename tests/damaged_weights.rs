//! Files of weights, by their bytes: what `torch.save` writes is read, and damaged
//! or hostile files are refused without a panic.

#![cfg(test)]

use candle_core::{DType, Device};
use proptest::prelude::*;
use qdqc::checkpoint::TensorFile;
use std::{
    fs,
    io::{Cursor, Write},
    path::Path,
};
use zip::{ZipWriter, write::SimpleFileOptions};

/// A tensor as torch's pickles describe it. Its storage is one of [`STORAGES`].
struct Saved {
    name: &'static str,
    storage: usize,
    offset: u8,
    shape: &'static [u8],
    strides: &'static [u8],
}

/// The storages of the test files: class and elements.
const STORAGES: [(&str, &[f32]); 2] =
    [("FloatStorage", &[0., 1., 2., 3., 4., 5.]), ("BFloat16Storage", &[7., 8.])];

const SAVED: [Saved; 4] = [
    Saved { name: "plain", storage: 0, offset: 0, shape: &[2, 3], strides: &[3, 1] },
    Saved { name: "transposed", storage: 0, offset: 0, shape: &[3, 2], strides: &[1, 3] },
    Saved { name: "part", storage: 0, offset: 2, shape: &[2, 2], strides: &[2, 1] },
    Saved { name: "halves", storage: 1, offset: 1, shape: &[], strides: &[] },
];

/// Bytes of a storage's elements.
fn elements((class, values): (&str, &[f32])) -> Vec<u8> {
    let bytes = values.iter().map(|value| value.to_bits().to_le_bytes());
    let width = if class == "FloatStorage" { 0 } else { 2 };
    bytes.flat_map(|bytes| bytes[width..].to_vec()).collect()
}

fn text(pickle: &mut Vec<u8>, text: &str) {
    pickle.push(b'X');
    pickle.extend((text.len() as u32).to_le_bytes());
    pickle.extend(text.as_bytes());
}

fn sizes(pickle: &mut Vec<u8>, sizes: &[u8]) {
    pickle.push(b'(');
    sizes.iter().for_each(|size| pickle.extend([b'K', *size]));
    pickle.push(b't');
}

/// The pickle of an ordered dict of tensors.
fn state_dict(tensors: &[Saved]) -> Vec<u8> {
    let mut pickle = b"\x80\x02ccollections\nOrderedDict\n)Rq\x00(".to_vec();
    for tensor in tensors {
        let (class, values) = STORAGES[tensor.storage];
        text(&mut pickle, tensor.name);
        pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut pickle, "storage");
        pickle.extend(format!("ctorch\n{class}\n").as_bytes());
        text(&mut pickle, &tensor.storage.to_string());
        text(&mut pickle, "cpu");
        pickle.extend([b'K', values.len() as u8]);
        pickle.extend(b"tQ");
        pickle.extend([b'K', tensor.offset]);
        sizes(&mut pickle, tensor.shape);
        sizes(&mut pickle, tensor.strides);
        pickle.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    }
    pickle.extend(b"u.");
    pickle
}

/// A file as torch writes it since 1.6, around this pickle.
fn zipped(pickle: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default();
    zip.start_file("archive/data.pkl", options).unwrap();
    zip.write_all(pickle).unwrap();
    for (key, storage) in STORAGES.into_iter().enumerate() {
        zip.start_file(format!("archive/data/{key}"), options).unwrap();
        zip.write_all(&elements(storage)).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// A file as torch wrote it before 1.6, around this pickle.
fn legacy(pickle: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.".to_vec();
    bytes.extend(b"\x80\x02M\xe9\x03.");
    let mut system = b"\x80\x02}(".to_vec();
    text(&mut system, "little_endian");
    system.extend(b"\x88u.");
    bytes.extend(system);
    bytes.extend(pickle);
    let mut keys = b"\x80\x02](".to_vec();
    (0..STORAGES.len()).for_each(|key| text(&mut keys, &key.to_string()));
    keys.extend(b"e.");
    bytes.extend(keys);
    for storage in STORAGES {
        bytes.extend((storage.1.len() as u64).to_le_bytes());
        bytes.extend(elements(storage));
    }
    bytes
}

fn file(content: &[u8]) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), content).unwrap();
    file
}

fn read(tensors: &TensorFile, name: &str) -> Vec<f32> {
    let tensor = tensors.read(name, &Device::Cpu, DType::F32).unwrap();
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn what_torch_saves_is_read_with_strides_and_offsets() {
    let training = {
        let mut pickle = b"\x80\x02}(".to_vec();
        text(&mut pickle, "epoch");
        pickle.extend(b"K\x03");
        text(&mut pickle, "state_dict");
        let inner = state_dict(&SAVED);
        pickle.extend(&inner[2..inner.len() - 1]);
        pickle.extend(b"u.");
        pickle
    };
    for pickle in [state_dict(&SAVED), training] {
        for content in [zipped(&pickle), legacy(&pickle)] {
            let file = file(&content);
            let tensors = TensorFile::open(file.path()).unwrap();
            assert_eq!(tensors.names().count(), SAVED.len());
            assert_eq!(read(&tensors, "plain"), [0., 1., 2., 3., 4., 5.]);
            assert_eq!(read(&tensors, "transposed"), [0., 3., 1., 4., 2., 5.]);
            assert_eq!(read(&tensors, "part"), [2., 3., 4., 5.]);
            assert_eq!(read(&tensors, "halves"), [8.]);
        }
    }
}

#[test]
fn tensors_that_leave_their_storage_are_refused() {
    for (shape, strides) in [
        (&[7u8][..], &[1u8][..]),
        (&[2, 3], &[4, 1]),
        (&[2, 4], &[0, 0]),
        (&[255, 255, 255, 255, 255, 255, 255, 255, 255], &[1, 1, 1, 1, 1, 1, 1, 1, 1]),
    ] {
        let tensor = Saved { name: "x", storage: 0, offset: 0, shape, strides };
        let file = file(&zipped(&state_dict(&[tensor])));
        let tensors = TensorFile::open(file.path()).unwrap();
        assert!(tensors.read("x", &Device::Cpu, DType::F32).is_err(), "{shape:?} {strides:?}");
    }
    let beyond = Saved { name: "x", storage: 0, offset: 7, shape: &[1], strides: &[1] };
    assert!(refused(file(&zipped(&state_dict(&[beyond]))).path()).contains("beyond its storage"));
}

#[test]
fn nothing_in_a_pickle_is_executed() {
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().join("ran");
    let mut pickle = b"\x80\x02cos\nmkdir\n(".to_vec();
    text(&mut pickle, marker.to_str().unwrap());
    pickle.extend(b"tR.");
    assert!(refused(file(&zipped(&pickle)).path()).contains("is not a state dict"));
    assert!(!marker.exists());
}

#[test]
fn two_tensors_of_one_name_are_refused() {
    let twice = [0, 0].map(|_| Saved { name: "x", storage: 0, offset: 0, shape: &[1], strides: &[1] });
    assert!(refused(file(&zipped(&state_dict(&twice))).path()).contains("two tensors are named `x`"));
}

fn refused(path: &Path) -> String {
    let failure = TensorFile::open(path).unwrap_err();
    assert_eq!(failure.exit_code(), 1);
    failure.to_string()
}

/// A safetensors file with this header and this many bytes of data.
fn with_header(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

#[test]
fn damaged_safetensors_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let one = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    fs::write(&path, with_header(one, 8)).unwrap();
    TensorFile::open(&path).unwrap();
    let twice = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
    let overlapping = r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#;
    let enormous =
        r#"{"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,18446744073709551615]}}"#;
    let overflowing =
        r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,8]}}"#;
    let disagreeing = r#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#;
    for (bytes, expected) in [
        (vec![], "the file is empty"),
        (vec![1, 2, 3], "too short"),
        (with_header(one, 7), "cut short: its header describes 8 bytes of data, and 7 are there"),
        (with_header(one, 9), "1 bytes at its end belong to no tensor"),
        ([&u64::MAX.to_le_bytes()[..], one.as_bytes()].concat(), "cut short: its header is"),
        (with_header(twice, 8), "two tensors are named `a`"),
        (with_header(overlapping, 12), "not valid"),
        (with_header(enormous, 8), "cut short"),
        (with_header(overflowing, 8), "not valid"),
        (with_header(disagreeing, 8), "not valid"),
        (with_header(&"[".repeat(5000), 8), "not valid"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n".to_vec(), "a git-lfs pointer"),
        (b"  <!DOCTYPE html><html>".to_vec(), "a web page"),
        (b"PK\x03\x04 and then nothing".to_vec(), "the zip archive is damaged or cut short"),
        (b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02".to_vec(), "ends too early"),
        (b"plainly something else".to_vec(), "neither a safetensors file nor"),
    ] {
        fs::write(&path, bytes).unwrap();
        let message = refused(&path);
        assert!(message.contains(expected), "{message}");
    }
    assert!(refused(folder.path()).ends_with("is not a file"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Random bytes, bare and after each format's beginning, and real files with
    /// bytes changed, are read or refused.
    #[test]
    fn nothing_in_a_file_makes_a_panic(
        start in 0usize..6,
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let old = legacy(&state_dict(&SAVED));
        let mut content = match start {
            0 => bytes,
            1 => with_header(&String::from_utf8_lossy(&bytes), 8),
            2 => [&b"PK\x03\x04"[..], &bytes].concat(),
            3 => [&old[..15], &bytes].concat(),
            4 => zipped(&state_dict(&SAVED)),
            _ => old,
        };
        if start >= 4 {
            for (index, byte) in changes {
                let at = index.index(content.len());
                content[at] = byte;
            }
            if cut.index(3) == 0 {
                content.truncate(cut.index(content.len()));
            }
        }
        let file = file(&content);
        if let Ok(tensors) = TensorFile::open(file.path()) {
            for (name, _, _) in tensors.names() {
                let _ = tensors.read(name, &Device::Cpu, DType::F32);
            }
        }
    }
}
