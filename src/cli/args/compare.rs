//! `qdqc compare`.

use super::shared::{Engine, Format, Model, count};
use clap::{ArgGroup, Args};
use std::path::PathBuf;

/// `qdqc compare`
#[derive(Args, Clone, Debug)]
#[command(
    override_usage = "qdqc compare [OPTIONS] --checkpoint <CKPT> <--text <TEXT>|--input <FILE>|--tensors <FILE>> \
        <--onnx <FILE>|--outputs <FILE>> <SPEC>",
    after_help = "Examples:\n  \
    qdqc compare question-answering -c my-int8 --input dev.json --max-samples 16 --onnx my-int8.onnx\n  \
    qdqc compare masked-lm -c my-int8 --text \"Paris is the [MASK] of France.\" --onnx my-int8.onnx --optimize\n  \
    qdqc compare base-model -c my-bert --float --tensors in.safetensors --outputs theirs.safetensors\n\n\
    The table has the quantizers whose codes differ by themselves. `differ`: codes that differ, both run as\n\
    they are; `input apart`: how far what they see is, as a share of its largest magnitude. `given codes`: those\n\
    that differ where ours is computed from their codes before each quantizer; `by rounding`: of these, those\n\
    whose inputs are the same but for rounding; `from tie`: how far these lie from the middle between the two\n\
    codes, in steps from one code to the next.\n\n\
    `--onnx` runs the model in ONNX Runtime, which must be installed: `python3 -m pip install onnxruntime numpy`.\n\
    The exit code is 0 if every output agrees, or would if no number before a quantizer lay at a tie\n\
    between two codes, where rounding decides; and 1 otherwise.",
    group(ArgGroup::new("source").args(["text", "file", "tensors"]).required(true)),
    group(ArgGroup::new("other").args(["onnx", "outputs"]).required(true))
)]
pub struct Compare {
    /// The model.
    #[command(flatten)]
    pub model: Model,

    /// A text (repeatable)
    #[arg(long, value_name = "TEXT", help_heading = "Input")]
    pub text: Vec<String>,

    /// The second text of each `--text`, in order
    #[arg(long, value_name = "TEXT", requires = "text", conflicts_with_all = ["file", "tensors"], help_heading = "Input")]
    pub text_pair: Vec<String>,

    /// One way that `--text` may go on, for multiple choice (repeatable)
    #[arg(long, value_name = "TEXT", requires = "text", conflicts_with_all = ["file", "tensors"], help_heading = "Input")]
    pub choice: Vec<String>,

    /// A file of records, `-` for standard input
    #[arg(long = "input", id = "file", value_name = "FILE", help_heading = "Input")]
    pub file: Option<String>,

    /// How the records are written; the file's ending says it unless given
    #[arg(long, value_name = "FORMAT", requires = "file", conflicts_with_all = ["text", "tensors"], help_heading = "Input")]
    pub format: Option<Format>,

    /// Which columns to read: `--columns text=question,pair=context`
    #[arg(long, value_name = "COLUMNS", requires = "file", conflicts_with_all = ["text", "tensors"], help_heading = "Input")]
    pub columns: Option<String>,

    /// Take at most this many records
    #[arg(long, value_name = "N", value_parser = count, requires = "file", conflicts_with_all = ["text", "tensors"], help_heading = "Input")]
    pub max_samples: Option<usize>,

    /// A safetensors file of named inputs, under HuggingFace's names
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    pub tensors: Option<PathBuf>,

    /// The other: an ONNX model, which an installed ONNX Runtime runs on the same inputs
    #[arg(long, value_name = "FILE", help_heading = "Other runtime")]
    pub onnx: Option<PathBuf>,

    /// The other: a safetensors file of its outputs for these inputs, under the spec's names
    ///
    /// It may hold inner values besides: what a quantizer made, under the quantizer's name, and what
    /// it saw, under that value's name in the spec.
    #[arg(long, value_name = "FILE", help_heading = "Other runtime")]
    pub outputs: Option<PathBuf>,

    /// The Python interpreter that has `onnxruntime` and `numpy`
    /// [default: that of QDQC_PYTHON, or `python3`]
    #[arg(
        long,
        value_name = "PATH",
        requires = "onnx",
        conflicts_with = "outputs",
        help_heading = "Other runtime"
    )]
    pub python: Option<PathBuf>,

    /// Let ONNX Runtime optimize the model; outputs alone are compared then, as inner values may be gone
    #[arg(long, requires = "onnx", conflicts_with = "outputs", help_heading = "Other runtime")]
    pub optimize: bool,

    /// Outputs agree that differ by at most this share of their largest magnitude
    #[arg(long, value_name = "SHARE", default_value_t = 1e-4, value_parser = share)]
    pub tolerance: f64,

    /// List every quantizer, not only those that differ by themselves
    #[arg(long)]
    pub all: bool,

    /// Give everything as one JSON document
    #[arg(long)]
    pub json: bool,

    /// What it runs on.
    #[command(flatten)]
    pub engine: Engine,
}

fn share(text: &str) -> Result<f64, String> {
    let share: Option<f64> = text.parse().ok().filter(|share| *share >= 0.0);
    share.ok_or_else(|| "expected a number from 0".into())
}
