//! A model as a file, or as two where its numbers lie beside it.

use super::{
    constant,
    lint::{self, Finding, Summary},
    profile::Profile,
    proto::{ModelProto, StringStringEntryProto, TensorProto, tensor_proto::DataLocation},
    text::text,
};
use crate::{failure::Failure, ops::form::Constant};
use prost::{
    Message,
    encoding::{WireType, encode_key, encode_varint, encoded_len_varint},
};
use std::io::{self, Write};

/// An ONNX model. Large constants become bytes only when they are written.
#[derive(Clone, Debug)]
pub struct Model {
    pub(super) proto: ModelProto,
    pub(super) pending: Vec<Pending>,
}

/// The numbers of an initializer.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// Which initializer.
    pub(super) at: usize,
    pub(super) constant: Constant,
}

/// Why a model could not be written.
#[derive(Debug)]
pub enum WriteError {
    /// By the writer.
    Io(io::Error),
    /// Its numbers could not be computed.
    Numbers(candle_core::Error),
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> WriteError {
        WriteError::Io(error)
    }
}

impl From<candle_core::Error> for WriteError {
    fn from(error: candle_core::Error) -> WriteError {
        WriteError::Numbers(error)
    }
}

/// Where numbers begin in a file of their own: what can be mapped into memory on every
/// system (64 KiB on Windows, and more than a page elsewhere).
const ALIGNMENT: u64 = 64 * 1024;

/// Bytes of a protobuf message, at most, with room for all but the numbers.
const LARGEST: u64 = (1 << 31) - (64 << 20);

/// Field numbers of `onnx.proto`: `ModelProto.graph`, `GraphProto.initializer`,
/// `TensorProto.raw_data`.
const GRAPH: u32 = 7;
const INITIALIZER: u32 = 5;
const RAW_DATA: u32 = 9;

impl Model {
    /// Bytes of all numbers that are turned into bytes on writing.
    fn pending_size(&self) -> u64 {
        self.pending.iter().map(|pending| constant::size(&pending.constant) as u64).sum()
    }

    /// The numbers must lie in a file of their own: protobuf ends at 2 GiB.
    pub fn needs_data_file(&self) -> bool {
        self.pending_size() > LARGEST
    }

    /// Some numbers are many enough for a file of their own.
    pub fn has_large_numbers(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Every place where a rule of the profile is broken, and how much of the model runs
    /// in integers.
    pub fn lint(&self, profile: &Profile) -> (Vec<Finding>, Summary) {
        let findings = lint::lint(&self.proto, profile);
        let summary = lint::summary(&self.proto, &findings);
        (findings, summary)
    }

    /// How many initializers there are, and their bytes.
    pub fn initializers(&self) -> (usize, u64) {
        let all = self.proto.graph.iter().flat_map(|graph| &graph.initializer);
        let small = all.clone().filter_map(|tensor| tensor.raw_data.as_ref()).map(|raw| raw.len() as u64);
        (all.count(), small.sum::<u64>() + self.pending_size())
    }

    /// Nodes by operator, most of them first.
    pub fn operators(&self) -> Vec<(String, usize)> {
        let mut counts = std::collections::BTreeMap::new();
        for node in self.proto.graph.iter().flat_map(|graph| &graph.node) {
            *counts.entry(node.op_type().to_owned()).or_insert(0) += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts
    }

    /// Writes the model with its numbers. A message is preceded by its length, so that
    /// of each constant is counted first; their bytes are made one after the other.
    ///
    /// # Errors
    /// The writer's, and those of computing codes.
    pub fn write(&self, out: &mut dyn Write) -> Result<(), WriteError> {
        let mut model = self.proto.clone();
        let mut graph = model.graph.take().unwrap_or_default();
        let tensors = std::mem::take(&mut graph.initializer);
        let mut pending = self.pending.iter().peekable();
        let sizes: Vec<usize> = tensors
            .iter()
            .enumerate()
            .map(|(at, tensor)| {
                let numbers = pending.next_if(|pending| pending.at == at);
                let size = numbers.map_or(0, |pending| constant::size(&pending.constant));
                tensor.encoded_len() + if size == 0 { 0 } else { prefixed(RAW_DATA, size) }
            })
            .collect();
        let rest = graph.encode_to_vec();
        let length = rest.len() + sizes.iter().map(|size| prefixed(INITIALIZER, *size)).sum::<usize>();
        out.write_all(&model.encode_to_vec())?;
        out.write_all(&prefix(GRAPH, length))?;
        out.write_all(&rest)?;
        let mut pending = self.pending.iter().peekable();
        for ((at, tensor), size) in tensors.iter().enumerate().zip(sizes) {
            out.write_all(&prefix(INITIALIZER, size))?;
            out.write_all(&tensor.encode_to_vec())?;
            if let Some(pending) = pending.next_if(|pending| pending.at == at) {
                let bytes = constant::bytes(&pending.constant)?;
                out.write_all(&prefix(RAW_DATA, bytes.len()))?;
                out.write_all(&bytes)?;
            }
        }
        Ok(())
    }

    /// Writes large numbers to `data`, each beginning where a file can be mapped, and
    /// the model without them to `out`; it calls the file of numbers `location`.
    ///
    /// # Errors
    /// As [`write`](Model::write).
    pub fn write_with_data(
        &self,
        out: &mut dyn Write,
        data: &mut dyn Write,
        location: &str,
    ) -> Result<(), WriteError> {
        let mut model = Model { proto: self.proto.clone(), pending: Vec::new() };
        let mut offset = 0_u64;
        for pending in &self.pending {
            let gap = offset.next_multiple_of(ALIGNMENT) - offset;
            io::copy(&mut io::Read::take(io::repeat(0), gap), data)?;
            offset += gap;
            let bytes = constant::bytes(&pending.constant)?;
            data.write_all(&bytes)?;
            let graph = model.proto.graph.as_mut();
            if let Some(tensor) = graph.and_then(|graph| graph.initializer.get_mut(pending.at)) {
                outside(tensor, location, offset, bytes.len());
            }
            offset += bytes.len() as u64;
        }
        model.write(out)
    }

    /// The model in ONNX's own text syntax, for reading: tensors of more than 16 numbers
    /// are shortened to their type and a checksum.
    ///
    /// # Errors
    /// Those of computing codes.
    pub fn text(&self) -> Result<String, Failure> {
        Ok(text(&self.whole()?, false).to_string())
    }

    /// The model with the bytes of every constant in it.
    pub(super) fn whole(&self) -> Result<ModelProto, Failure> {
        let mut proto = self.proto.clone();
        for pending in &self.pending {
            let bytes = constant::bytes(&pending.constant)
                .map_err(|error| Failure::outside(format!("the codes could not be computed: {error}")))?;
            let graph = proto.graph.as_mut();
            if let Some(tensor) = graph.and_then(|graph| graph.initializer.get_mut(pending.at)) {
                tensor.raw_data = Some(bytes);
            }
        }
        Ok(proto)
    }
}

/// Says that a tensor's numbers lie in another file.
fn outside(tensor: &mut TensorProto, location: &str, offset: u64, length: usize) {
    let entry =
        |key: &str, value: String| StringStringEntryProto { key: Some(key.to_owned()), value: Some(value) };
    tensor.data_location = Some(DataLocation::External as i32);
    tensor.external_data = vec![
        entry("location", location.to_owned()),
        entry("offset", offset.to_string()),
        entry("length", length.to_string()),
    ];
}

/// The bytes before a field of this length.
fn prefix(field: u32, length: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_key(field, WireType::LengthDelimited, &mut bytes);
    encode_varint(length as u64, &mut bytes);
    bytes
}

/// How many bytes a field of this length takes with what stands before it.
fn prefixed(field: u32, length: usize) -> usize {
    prost::encoding::key_len(field) + encoded_len_varint(length as u64) + length
}
