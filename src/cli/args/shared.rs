//! What several commands take: an engine, and data.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// A spec and a checkpoint.
#[derive(Args, Clone, Debug, Default)]
pub struct Model {
    /// A spec file, or the name of a bundled spec
    #[arg(value_name = "SPEC")]
    pub spec: String,

    /// The weights: a HuggingFace folder, a weights file beside its config.json, a hub id, or `demo`
    ///
    /// A hub id is `org/name` or `org/name@revision`; it is fetched once, into HuggingFace's own
    /// cache. HF_HOME, HF_TOKEN and HF_ENDPOINT are honoured. `demo` is what comes with qdqc, a
    /// small model of sentiment; a folder of that name is `./demo`.
    #[arg(short, long, value_name = "CKPT", required = true)]
    pub checkpoint: String,

    /// Lay a value over a field of the config: `--set problem_type=regression` (repeatable)
    ///
    /// The value is JSON where it can be read as JSON, and text otherwise.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    pub set: Vec<String>,

    /// A file of `quantize` blocks to put in place of the spec's
    #[arg(long, value_name = "FILE")]
    pub recipe: Option<PathBuf>,
}

/// What the model runs on, and in which numbers.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Engine")]
pub struct Engine {
    /// Turn every quantizer off
    #[arg(long)]
    pub float: bool,

    /// What computes: `int8` in integers, `candle` in float [default: auto]
    ///
    /// `int8` computes products of quantized values as products of their codes, on a CPU, and in
    /// float what the recipe leaves there; `candle` simulates quantizers in float. `auto` is `int8`
    /// where that is possible.
    #[arg(long, value_name = "ENGINE", conflicts_with = "float")]
    pub engine: Option<EngineKind>,

    /// Lay the `_amax` entries of a safetensors file over the checkpoint's
    #[arg(long, value_name = "FILE", conflicts_with = "float")]
    pub amax: Option<PathBuf>,

    /// Where.
    #[command(flatten)]
    pub machine: Machine,
}

/// Where a model is computed.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Engine")]
pub struct Machine {
    /// Where to compute: `cpu`, `cuda` or `cuda:1` [default: cpu]
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,

    /// The element type to compute in: f32, f16 or bf16 [default: f32]
    #[arg(long, value_name = "DTYPE")]
    pub dtype: Option<FloatType>,

    /// How many records to run at a time [default: 8]
    #[arg(long, value_name = "N", value_parser = count)]
    pub batch: Option<usize>,

    /// How many processor threads to use [default: one a core]
    #[arg(long, value_name = "N", value_parser = count)]
    pub threads: Option<usize>,
}

/// What models are computed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum EngineKind {
    /// `int8` where it can be
    Auto,
    /// In float, quantizers simulated
    Candle,
    /// In integers
    Int8,
}

/// The element types that models compute in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FloatType {
    /// 32 bits
    F32,
    /// 16 bits
    F16,
    /// 16 bits with the range of 32
    Bf16,
}

/// A file of records, with what is right.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Input")]
pub struct Data {
    /// A file of records, `-` for standard input
    #[arg(long, value_name = "FILE", required = true)]
    pub input: String,

    /// How the records are written; the file's ending says it unless given
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Format>,

    /// Which columns to read: `--columns text=question,pair=context,label=gold`
    ///
    /// `text`, `pair`, `choices` (as `choices=a+b+c`) and `label` each name the column of a csv or
    /// tsv file, or the field of a jsonl record; numbers count the columns of a file without a
    /// header, from 1. Without this flag the names that data sets use are known.
    #[arg(long, value_name = "COLUMNS")]
    pub columns: Option<String>,

    /// Read this many records at most, from the first
    #[arg(long, value_name = "N", value_parser = count)]
    pub max_samples: Option<usize>,
}

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON object a line
    Jsonl,
    /// Fields between commas, with a header
    Csv,
    /// Fields between tabs
    Tsv,
    /// One text a line
    Txt,
    /// A word and its tag a line, a blank line after each sentence
    Conll,
    /// The JSON document of SQuAD
    Squad,
}

/// A whole number from 1.
pub(super) fn count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "expected a whole number from 1".into())
}
