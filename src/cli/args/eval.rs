//! `qdqc eval`.

use super::shared::{Data, Engine};
use clap::Args;
use std::path::PathBuf;

/// `qdqc eval`
#[derive(Args, Clone, Debug)]
#[command(
    override_usage = "qdqc eval [OPTIONS] --checkpoint <CKPT> --input <FILE> <SPEC>\n       \
        qdqc eval --predictions <FILE> --input <FILE>",
    after_help = "Examples:\n  \
    qdqc eval sequence-classification -c my-bert --input dev.tsv --columns text=sentence,label=label\n  \
    qdqc eval question-answering -c my-bert --input dev-v1.1.json --compare\n  \
    qdqc eval token-classification -c my-bert --input test.conll --float\n  \
    qdqc eval sentence-embedding -c my-encoder --input sts.tsv --columns text=6,pair=7,label=5\n  \
    qdqc eval masked-lm -c my-bert --input articles.txt --max-samples 1000\n  \
    qdqc eval --predictions predictions.json --input dev-v1.1.json\n\n\
    What is scored follows from the spec's `answer`. Shares and correlations are given x 100."
)]
pub struct Eval {
    /// A spec file, or the name of a bundled spec
    #[arg(value_name = "SPEC", required_unless_present = "predictions")]
    pub spec: Option<String>,

    /// The weights: a HuggingFace folder, a weights file beside its config.json, a hub id, or `demo`
    #[arg(short, long, value_name = "CKPT", required_unless_present = "predictions")]
    pub checkpoint: Option<String>,

    /// Lay a value over a field of the config: `--set num_labels=3` (repeatable)
    ///
    /// The value is JSON where it can be read as JSON, and text otherwise.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    pub set: Vec<String>,

    /// A file of `quantize` blocks to put in place of the spec's
    #[arg(long, value_name = "FILE")]
    pub recipe: Option<PathBuf>,

    /// Score the float model and the quantized one in one pass, and how near they are to each other
    #[arg(long, conflicts_with = "float")]
    pub compare: bool,

    /// Score these answers instead of a model's: a JSON object from SQuAD's question ids to texts
    #[arg(long, value_name = "FILE", conflicts_with_all = ["spec", "checkpoint", "set", "recipe", "compare"])]
    pub predictions: Option<PathBuf>,

    /// Give the figures as one JSON document
    #[arg(long)]
    pub json: bool,

    /// What it is scored on.
    #[command(flatten)]
    pub data: Data,

    /// Question answering: how many tokens the windows of a long context share [default: 128]
    #[arg(long, value_name = "N", help_heading = "Answers")]
    pub doc_stride: Option<usize>,

    /// Question answering: the longest answer, in tokens [default: 30]
    #[arg(long, value_name = "N", help_heading = "Answers")]
    pub max_answer_length: Option<usize>,

    /// Question answering: the context may hold no answer; understood where the data has such questions
    #[arg(long, help_heading = "Answers")]
    pub no_answer: bool,

    /// Masked words: start the drawing of masks here [default: 0]
    ///
    /// Of every hundred tokens of a text 15 are masked. A text that has masks already keeps them,
    /// and its label is the word or the words that belong there.
    #[arg(long, value_name = "N", help_heading = "Answers")]
    pub seed: Option<u64>,

    /// What it runs on.
    #[command(flatten)]
    pub engine: Engine,
}
