//! The file of statistics: safetensors, so that other tools read it too.
//!
//! One entry of the metadata, `qdqc.calibration`, describes the rest as JSON: `version`,
//! `header` (whatever the command that wrote it notes) and `tensors`. Each of these has
//!
//! | tensor | of | what |
//! |---|---|---|
//! | `<name>.counts` | u64 `[channels, 5]` | values, zeros, NaN, infinities, negative values |
//! | `<name>.range` | f32 `[channels, 2]` | the least value, the largest magnitude |
//! | `<name>.bins` | u64 `[channels, bins]` | the histogram |
//! | `<name>.largest` | f32 | each channel's largest magnitudes, in descending order |
//! | `<name>.edges` | f64 | of a histogram as pytorch-quantization makes it, in place of `largest` |
//!
//! Equal statistics and headers give equal bytes.

use super::{
    Collector, Counts, MOST_BINS, ParityHistogram, ParitySettings, Statistics,
    statistics::sizes,
    tally::{Sizes, Tally},
};
use rayon::prelude::*;
use safetensors::{
    Dtype,
    tensor::{Metadata, TensorView, serialize},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    ops::RangeInclusive,
};

const KEY: &str = "qdqc.calibration";
const VERSION: u32 = 1;

/// More values than this are not believed.
const MOST_VALUES: u64 = 1 << 53;

/// Where bins of pytorch-quantization begin and end: those of numpy, where all values are
/// equal, half below them.
const EDGES: RangeInclusive<f64> = -0.5..=f32::MAX as f64;

/// The statistics of all watched tensors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Saved {
    /// What the command that wrote it notes.
    pub header: BTreeMap<String, String>,
    /// Names, each once, and what was seen there.
    pub tensors: Vec<(String, Collector)>,
}

/// Why bytes are no statistics, or statistics cannot be written; without a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileError(pub String);

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FileError {}

#[derive(Serialize, Deserialize)]
struct Description {
    version: u32,
    header: BTreeMap<String, String>,
    tensors: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parity: Option<Parity>,
}

/// The part of a [`ParityHistogram`] that is not numbers.
#[derive(Serialize, Deserialize)]
struct Parity {
    bins: usize,
    skip_zeros: bool,
    numpy: bool,
    double: bool,
}

/// One tensor of the file.
struct Part {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl Saved {
    /// The bytes of the file.
    ///
    /// # Errors
    ///
    /// A name is there twice.
    pub fn to_bytes(&self) -> Result<Vec<u8>, FileError> {
        let mut names = HashSet::new();
        if let Some((name, _)) = self.tensors.iter().find(|(name, _)| !names.insert(name)) {
            return Err(FileError(format!("`{name}` is there twice")));
        }
        let entry = |(name, collector): &(String, Collector)| {
            let parity = match collector {
                Collector::Canonical(_) => None,
                Collector::Parity(ParityHistogram { settings, double, .. }) => {
                    let ParitySettings { bins, skip_zeros, numpy } = *settings;
                    Some(Parity { bins, skip_zeros, numpy, double: *double })
                }
            };
            Entry { name: name.clone(), parity }
        };
        let tensors = self.tensors.iter().map(entry).collect();
        let description = Description { version: VERSION, header: self.header.clone(), tensors };
        let failed = |error: &dyn fmt::Display| FileError(format!("statistics cannot be written: {error}"));
        let description = serde_json::to_string(&description).map_err(|error| failed(&error))?;
        let parts: Vec<Part> =
            self.tensors.par_iter().flat_map_iter(|(name, collector)| parts(name, collector)).collect();
        let views = parts.iter().map(|part| {
            TensorView::new(part.dtype, part.shape.clone(), &part.bytes).map(|view| (&part.name, view))
        });
        let views: Vec<_> = views.collect::<Result<_, _>>().map_err(|error| failed(&error))?;
        // One entry: those of a `HashMap` have no order.
        let metadata = HashMap::from([(KEY.to_owned(), description)]);
        serialize(views, Some(metadata)).map_err(|error| failed(&error))
    }

    /// Reads the bytes of a file, and checks that they could be what was written.
    ///
    /// # Errors
    ///
    /// They could not.
    pub fn from_bytes(bytes: &[u8]) -> Result<Saved, FileError> {
        let file = Reader::new(bytes)?;
        let Some(description) = file.metadata.metadata().as_ref().and_then(|entries| entries.get(KEY)) else {
            return Err(FileError("not a file of calibration statistics".to_owned()));
        };
        let version = serde_json::from_str::<Version>(description).map(|version| version.version);
        let version = version.map_err(|error| damaged(format_args!("its description: {error}")))?;
        if version != VERSION {
            return Err(FileError(format!(
                "its format has version {version}, and this qdqc reads version {VERSION}"
            )));
        }
        let Description { header, tensors, .. } = serde_json::from_str(description)
            .map_err(|error| damaged(format_args!("its description: {error}")))?;
        let mut names = HashSet::new();
        if let Some(twice) = tensors.iter().find(|entry| !names.insert(&entry.name)) {
            return Err(damaged(format_args!("`{}` is there twice", twice.name)));
        }
        if file.metadata.offset_keys().len() != 4 * tensors.len() {
            return Err(damaged("it holds tensors that its description does not name"));
        }
        let collector = |entry: Entry| -> Result<_, FileError> {
            let collector = match &entry.parity {
                None => Collector::Canonical(file.statistics(&entry.name)?),
                Some(parity) => Collector::Parity(file.parity(&entry.name, parity)?),
            };
            Ok((entry.name, collector))
        };
        Ok(Saved { header, tensors: tensors.into_iter().map(collector).collect::<Result<_, _>>()? })
    }
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

fn damaged(what: impl fmt::Display) -> FileError {
    FileError(format!("damaged: {what}"))
}

fn parts(name: &str, collector: &Collector) -> Vec<Part> {
    let part = |kind: &str, dtype, shape: &[usize], bytes| Part {
        name: format!("{name}.{kind}"),
        dtype,
        shape: shape.to_vec(),
        bytes,
    };
    match collector {
        Collector::Canonical(Statistics { tallies }) => {
            let channels = tallies.len();
            let (mut bins, mut largest) = (Vec::new(), Vec::new());
            for tally in tallies {
                bins.extend(tally.bins.iter().map(|count| count.to_le_bytes()));
                largest.extend(tally.largest.sorted().into_iter().map(u32::to_le_bytes));
            }
            let (counts, range) = heads(tallies.iter().map(|tally| &tally.counts));
            vec![
                part("counts", Dtype::U64, &[channels, 5], counts),
                part("range", Dtype::F32, &[channels, 2], range),
                part("bins", Dtype::U64, &[channels, sizes(channels).bins()], bins.into_flattened()),
                part("largest", Dtype::F32, &[largest.len()], largest.into_flattened()),
            ]
        }
        Collector::Parity(histogram) => {
            let (counts, range) = heads([&histogram.seen].into_iter());
            let bins = histogram.counts.iter().flat_map(|count| count.to_le_bytes()).collect();
            let edges = histogram.edges.iter().flat_map(|edge| edge.to_le_bytes()).collect();
            vec![
                part("counts", Dtype::U64, &[1, 5], counts),
                part("range", Dtype::F32, &[1, 2], range),
                part("bins", Dtype::U64, &[1, histogram.counts.len()], bins),
                part("edges", Dtype::F64, &[histogram.edges.len()], edges),
            ]
        }
    }
}

/// The bytes of `counts` and of `range`.
fn heads<'a>(counts: impl Iterator<Item = &'a Counts> + Clone) -> (Vec<u8>, Vec<u8>) {
    let whole = |c: &Counts| [c.values, c.zeros, c.nan, c.infinite, c.negative];
    let range = |c: &Counts| [c.least, c.largest];
    (
        counts.clone().flat_map(whole).flat_map(u64::to_le_bytes).collect(),
        counts.flat_map(range).flat_map(f32::to_le_bytes).collect(),
    )
}

/// A safetensors file whose header was checked against its length.
struct Reader<'a> {
    metadata: Metadata,
    data: &'a [u8],
}

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Result<Reader<'a>, FileError> {
        let short = || damaged("it is cut short");
        let (length, rest) = bytes.split_first_chunk::<8>().ok_or_else(short)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| short())?;
        let (header, data) = rest.split_at_checked(length).ok_or_else(short)?;
        // Offsets without gaps or overlaps that agree with shapes and element types.
        let metadata: Metadata = serde_json::from_slice(header)
            .map_err(|error| damaged(format_args!("its safetensors header: {error}")))?;
        if metadata.data_len() != data.len() {
            return Err(damaged(format_args!(
                "its header describes {} bytes of data, and {} are there",
                metadata.data_len(),
                data.len()
            )));
        }
        Ok(Reader { metadata, data })
    }

    /// The sizes and elements of a tensor of elements of `N` bytes.
    fn elements<const N: usize>(
        &self,
        name: &str,
        kind: &str,
        dtype: Dtype,
    ) -> Result<(&[usize], &'a [[u8; N]]), FileError> {
        let name = format!("{name}.{kind}");
        let info = self.metadata.info(&name).ok_or_else(|| damaged(format_args!("there is no `{name}`")))?;
        if info.dtype != dtype {
            return Err(damaged(format_args!("`{name}` holds {:?}, not {dtype:?}", info.dtype)));
        }
        let (from, to) = info.data_offsets;
        let bytes = self.data.get(from..to).ok_or_else(|| damaged("it is cut short"))?;
        Ok((&info.shape, bytes.as_chunks().0))
    }

    fn counts(&self, name: &str) -> Result<Vec<Counts>, FileError> {
        let (of_counts, counts) = self.elements(name, "counts", Dtype::U64)?;
        let (of_range, range) = self.elements(name, "range", Dtype::F32)?;
        let channels = match (of_counts, of_range) {
            ([channels, 5], [same, 2]) if channels == same && *channels > 0 => *channels,
            _ => return Err(damaged(format_args!("the sizes of `{name}` do not agree"))),
        };
        let both = counts.as_chunks().0.iter().zip(range.as_chunks().0).take(channels);
        let both = both.map(|(counts, range)| {
            let [values, zeros, nan, infinite, negative] = counts.map(u64::from_le_bytes);
            let [least, largest] = range.map(f32::from_le_bytes);
            Counts { values, zeros, nan, infinite, negative, least, largest }
        });
        let both: Vec<Counts> = both.collect();
        if both.iter().any(|counts| counts.values > MOST_VALUES) {
            return Err(damaged(format_args!("`{name}` saw too many values")));
        }
        Ok(both)
    }

    fn statistics(&self, name: &str) -> Result<Statistics, FileError> {
        let counts = self.counts(name)?;
        let sizes = sizes(counts.len());
        let (shape, bins) = self.elements(name, "bins", Dtype::U64)?;
        if shape != [counts.len(), sizes.bins()] {
            return Err(damaged(format_args!("the sizes of `{name}` do not agree")));
        }
        let (_, mut largest) = self.elements(name, "largest", Dtype::F32)?;
        let channels = counts.iter().zip(bins.chunks_exact(sizes.bins()));
        let tally = |(counts, bins)| {
            tally(sizes, counts, bins, &mut largest)
                .ok_or_else(|| damaged(format_args!("the parts of `{name}` contradict each other")))
        };
        let tallies = channels.map(tally).collect::<Result<_, _>>()?;
        if !largest.is_empty() {
            return Err(damaged(format_args!("`{name}.largest` is too long")));
        }
        Ok(Statistics { tallies })
    }

    fn parity(&self, name: &str, parity: &Parity) -> Result<ParityHistogram, FileError> {
        let counts = self.counts(name)?;
        let (shape, bins) = self.elements(name, "bins", Dtype::U64)?;
        let (_, edges) = self.elements(name, "edges", Dtype::F64)?;
        let bins: Vec<u64> = bins.iter().map(|count| u64::from_le_bytes(*count)).collect();
        let edges: Vec<f64> = edges.iter().map(|edge| f64::from_le_bytes(*edge)).collect();
        let &Parity { bins: of_settings, skip_zeros, numpy, double } = parity;
        let settings = ParitySettings { bins: of_settings, skip_zeros, numpy };
        let total = bins.iter().try_fold(0_u64, |sum, count| sum.checked_add(*count));
        match counts[..] {
            [seen]
                if shape == [1, bins.len()]
                    && (1..=MOST_BINS).contains(&settings.bins)
                    && bins.len() <= MOST_BINS
                    && bins.is_empty() == edges.is_empty()
                    && edges.len() != 1
                    && edges.iter().all(|edge| EDGES.contains(edge))
                    && (0.0..=f32::MAX).contains(&seen.largest)
                    && (-seen.largest..=0.0).contains(&seen.least)
                    && edges.is_sorted()
                    && total.is_some_and(|total| total <= seen.values) =>
            {
                Ok(ParityHistogram { settings, counts: bins, edges, double, seen })
            }
            _ => Err(damaged(format_args!("the parts of `{name}` contradict each other"))),
        }
    }
}

/// One channel; takes its largest magnitudes from the front of `largest`.
fn tally(sizes: Sizes, counts: &Counts, bins: &[[u8; 8]], largest: &mut &[[u8; 4]]) -> Option<Tally> {
    let kept = counts.finite().checked_sub(counts.zeros)?.min(sizes.keep as u64);
    let (kept, rest) = largest.split_at_checked(usize::try_from(kept).ok()?)?;
    *largest = rest;
    let kept: Vec<u32> = kept.iter().map(|bits| u32::from_le_bytes(*bits)).collect();
    if !kept.is_sorted_by(|a, b| a >= b) {
        return None;
    }
    let bins = bins.iter().map(|count| u64::from_le_bytes(*count)).collect();
    Tally::from_parts(sizes, *counts, bins, kept)
}
