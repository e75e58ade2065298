//! The directory of a safetensors file.
//!
//! The file is eight bytes with the header's length, the header in JSON, and the
//! data. The header is read here, so that a name given twice is refused and no
//! sum of sizes can overflow, and validated by the safetensors crate: offsets
//! without gaps or overlaps that agree with shapes and element types.

use super::tensor_file::{Directory, Stored};
use safetensors::tensor::{Metadata, TensorInfo};
use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny, MapAccess, Visitor},
};
use std::{collections::HashSet, fmt};

/// Where the tensors of a safetensors file lie.
pub(super) fn directory(bytes: &[u8]) -> Result<Directory, String> {
    let (length, rest) = bytes.split_first_chunk::<8>().ok_or("too short for a file of weights")?;
    let length = u64::from_le_bytes(*length);
    let split = usize::try_from(length).ok().and_then(|length| rest.split_at_checked(length));
    let (header, data) = split.ok_or_else(|| not_safetensors(length, rest))?;
    let Header(mut tensors) = serde_json::from_slice(header)
        .map_err(|error| format!("the safetensors header is not valid: {error}"))?;
    tensors.sort_by_key(|(_, info)| info.data_offsets);
    let end = tensors.last().map_or(0, |(_, info)| info.data_offsets.1);
    if end > data.len() {
        return Err(format!(
            "cut short: its header describes {end} bytes of data, and {} are there",
            data.len()
        ));
    }
    let metadata = Metadata::new(None, tensors)
        .map_err(|error| format!("the safetensors header is not valid: {error}"))?;
    if end < data.len() {
        return Err(format!("{} bytes at its end belong to no tensor", data.len() - end));
    }
    let start = bytes.len() - data.len();
    let place = |(name, info): (String, &TensorInfo)| {
        let (from, to) = info.data_offsets;
        // `to` is at most `end`, which is inside `data`, so the sums stay inside the file.
        let bytes = start + from..start + to;
        (name, Stored { dtype: info.dtype, shape: info.shape.clone(), bytes, strides: None })
    };
    Ok(metadata.tensors().into_iter().map(place).collect())
}

fn not_safetensors(length: u64, rest: &[u8]) -> String {
    if rest.first() == Some(&b'{') {
        format!("cut short: its header is {length} bytes long, and {} are there", rest.len())
    } else {
        "neither a safetensors file nor one that `torch.save` wrote".into()
    }
}

/// The tensors that a header lists, each name once.
struct Header(Vec<(String, TensorInfo)>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Header, D::Error> {
        struct Tensors;
        impl<'de> Visitor<'de> for Tensors {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut tensors = Vec::new();
                let mut names = HashSet::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                    } else if names.insert(name.clone()) {
                        tensors.push((name, map.next_value()?));
                    } else {
                        return Err(A::Error::custom(format_args!("two tensors are named `{name}`")));
                    }
                }
                Ok(Header(tensors))
            }
        }
        deserializer.deserialize_map(Tensors)
    }
}
