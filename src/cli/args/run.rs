//! `qdqc run`.

use super::shared::{Engine, Format};
use clap::{ArgGroup, Args};
use std::path::PathBuf;

/// `qdqc run`
#[derive(Args, Clone, Debug)]
#[command(
    override_usage = "qdqc run [OPTIONS] <TEXT>...\n       \
        qdqc run [OPTIONS] --checkpoint <CKPT> <SPEC> <<TEXT>...|--input <FILE>|--tensors <FILE>>",
    after_help = "Examples:\n  \
    qdqc run \"a gripping, funny film\"           the demo that comes with qdqc\n  \
    qdqc run masked-lm -c my-bert \"Paris is the [MASK] of France.\"\n  \
    qdqc run question-answering -c my-bert --text \"Who wrote it?\" --text-pair \"Ada wrote it.\"\n  \
    qdqc run sequence-classification -c my-bert --input reviews.csv --columns text=review --json\n  \
    qdqc run base-model -c my-bert --float --tensors in.safetensors -o out.safetensors"
)]
pub struct Run {
    /// A spec file or the name of a bundled spec, then texts to run it on; without `-c` texts alone
    ///
    /// Without `-c` the demo that comes with qdqc answers, a small model of sentiment.
    #[arg(value_name = "SPEC|TEXT")]
    pub words: Vec<String>,

    /// The weights: a HuggingFace folder, a weights file beside its config.json, a hub id, or `demo`
    ///
    /// A hub id is `org/name` or `org/name@revision`; it is fetched once, into HuggingFace's own
    /// cache. HF_HOME, HF_TOKEN and HF_ENDPOINT are honoured. `demo` is what comes with qdqc, a
    /// small model of sentiment; a folder of that name is `./demo`.
    #[arg(short, long, value_name = "CKPT")]
    pub checkpoint: Option<String>,

    /// Lay a value over a field of the config: `--set problem_type=regression` (repeatable)
    ///
    /// The value is JSON where it can be read as JSON, and text otherwise.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    pub set: Vec<String>,

    /// A file of `quantize` blocks to put in place of the spec's
    #[arg(long, value_name = "FILE")]
    pub recipe: Option<PathBuf>,

    /// What it is run on.
    #[command(flatten)]
    pub input: Input,

    /// What is shown of the outputs.
    #[command(flatten)]
    pub reading: Reading,

    /// What it runs on.
    #[command(flatten)]
    pub engine: Engine,
}

// One of a group stands in for every other where `requires` names it, so that what
// goes with one alone says which it does not go with.

/// What a model is run on.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Input")]
#[group(skip)]
#[command(group(ArgGroup::new("source").args(["text", "file", "tensors"])))]
pub struct Input {
    /// A text, like one without a flag; for question answering, the question (repeatable)
    #[arg(long, value_name = "TEXT")]
    pub text: Vec<String>,

    /// The second text of each text, in order; for question answering, the context
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["file", "tensors"])]
    pub text_pair: Vec<String>,

    /// One way that the text may go on, for multiple choice (repeatable)
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["file", "tensors"])]
    pub choice: Vec<String>,

    /// A file of records, `-` for standard input
    #[arg(long = "input", id = "file", value_name = "FILE")]
    pub file: Option<String>,

    /// How the records are written; the file's ending says it unless given
    #[arg(long, value_name = "FORMAT", requires = "file", conflicts_with_all = ["text", "tensors"])]
    pub format: Option<Format>,

    /// Which columns to read: `--columns text=question,pair=context`
    ///
    /// `text`, `pair` and `choices` (as `choices=a+b+c`) each name the column of a csv or tsv file,
    /// or the field of a jsonl record; numbers count the columns of a file without a header, from 1.
    /// Without this flag the names that data sets use are known.
    #[arg(long, value_name = "COLUMNS", requires = "file", conflicts_with_all = ["text", "tensors"])]
    pub columns: Option<String>,

    /// A safetensors file of named inputs, under HuggingFace's names; needs `-o`
    #[arg(long, value_name = "FILE", requires = "output")]
    pub tensors: Option<PathBuf>,

    /// The safetensors file to write the named outputs to
    #[arg(short, long, value_name = "FILE", requires = "tensors", conflicts_with_all = ["text", "file"])]
    pub output: Option<PathBuf>,
}

/// How the outputs are read, and what is shown of them.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Answers")]
pub struct Reading {
    /// Give one JSON record a line
    #[arg(long)]
    pub json: bool,

    /// Show at most this many labels, words or options [default: 5]
    #[arg(long, value_name = "N")]
    pub top_k: Option<usize>,

    /// Question answering: how many tokens the windows of a long context share [default: 128]
    #[arg(long, value_name = "N")]
    pub doc_stride: Option<usize>,

    /// Question answering: the longest answer, in tokens [default: 30]
    #[arg(long, value_name = "N")]
    pub max_answer_length: Option<usize>,

    /// Question answering: show this many answers [default: 1]
    #[arg(long, value_name = "N")]
    pub n_best: Option<usize>,

    /// Question answering: the context may hold no answer
    #[arg(long)]
    pub no_answer: bool,

    /// Continuation: write this many tokens at most [default: 32]
    #[arg(long, value_name = "N")]
    pub max_new_tokens: Option<usize>,

    /// Continuation: draw tokens at this temperature rather than take the likeliest
    #[arg(long, value_name = "T", value_parser = positive)]
    pub temperature: Option<f32>,

    /// Continuation: draw only from the likeliest tokens that make up this share
    #[arg(long, value_name = "P", value_parser = share, requires = "temperature")]
    pub top_p: Option<f32>,

    /// Continuation: start the drawing of tokens here [default: 0]
    #[arg(long, value_name = "N", requires = "temperature")]
    pub seed: Option<u64>,

    /// With `--tensors`: give the hidden states of every layer, too
    #[arg(long, requires = "tensors", conflicts_with_all = ["text", "file"])]
    pub hidden_states: bool,

    /// With `--tensors`: give the attention weights of every layer, too
    #[arg(long, requires = "tensors", conflicts_with_all = ["text", "file"])]
    pub attentions: bool,

    /// With `--tensors`: give the keys and values of every layer, too, as `present.0.key` and so on
    #[arg(long, requires = "tensors", conflicts_with_all = ["text", "file"])]
    pub cache: bool,
}

fn positive(text: &str) -> Result<f32, String> {
    let number: f32 = text.parse().map_err(|_| "expected a number")?;
    (number.is_finite() && number > 0.0).then_some(number).ok_or_else(|| "expected a number above 0".into())
}

fn share(text: &str) -> Result<f32, String> {
    positive(text)
        .ok()
        .filter(|number| *number <= 1.0)
        .ok_or_else(|| "expected a number above 0, at most 1".into())
}
