//! `qdqc train`.

use super::shared::{FloatType, Format, Machine, Model, count};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// `qdqc train`
#[derive(Args, Clone, Debug)]
#[command(
    override_usage = "qdqc train [OPTIONS] --checkpoint <CKPT> --input <FILE> --output <DIR> <SPEC>",
    after_help = "Examples:\n  \
    qdqc train sequence-classification -c my-bert --float --input train.tsv --eval dev.tsv -o tuned\n  \
    qdqc train sequence-classification -c tuned --input train.tsv --eval dev.tsv -o tuned-int8\n  \
    qdqc train question-answering -c my-bert --float --input train-v1.1.json --epochs 2 -o answers\n  \
    qdqc train mine.qdq -c tuned --input train.tsv --teacher tuned --distillation 0.9 -o taught\n  \
    qdqc train masked-lm -c my-bert --float --input articles.txt --steps 10000 --resume -o own-words\n\n\
    DIR becomes the best model by the first metric on `--eval`, the last one without it; DIR/last holds\n\
    what `--resume` goes on from, and DIR/metrics.jsonl a line for every step and every evaluation."
)]
pub struct Train {
    /// The model.
    #[command(flatten)]
    pub model: Model,

    /// The folder to write: the model, last/ to go on from, and metrics.jsonl
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,

    /// Go on from DIR/last where an interrupted run stopped, to the same bits
    #[arg(long)]
    pub resume: bool,

    /// Turn every quantizer off
    ///
    /// Without it a model with quantizers is trained with them on. A checkpoint without ranges then
    /// gets them first, from training records by the spec's own methods.
    #[arg(long)]
    pub float: bool,

    /// Give what was trained as one JSON document at the end
    #[arg(long)]
    pub json: bool,

    /// What it learns from.
    #[command(flatten)]
    pub data: TrainingData,

    /// How it learns.
    #[command(flatten)]
    pub course: Course,

    /// Whom it learns from besides.
    #[command(flatten)]
    pub teacher: TeacherFlags,

    /// What it runs on.
    #[command(flatten)]
    pub machine: TrainingMachine,
}

/// The files of records.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Data")]
pub struct TrainingData {
    /// A file of records to learn from, `-` for standard input
    #[arg(long, value_name = "FILE", required = true)]
    pub input: String,

    /// How the records are written, those of `--eval` too; the file's ending says it unless given
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Format>,

    /// Which columns to read: `--columns text=question,pair=context,label=gold`
    #[arg(long, value_name = "COLUMNS")]
    pub columns: Option<String>,

    /// Learn from this many records at most, from the first
    #[arg(long, value_name = "N", value_parser = count)]
    pub max_samples: Option<usize>,

    /// The longest sequence, in tokens [default: what the model takes; question answering: 384]
    #[arg(long, value_name = "N", value_parser = count)]
    pub max_length: Option<usize>,

    /// A file of records to score the model on while it learns
    #[arg(long, value_name = "FILE")]
    pub eval: Option<String>,

    /// The columns of that file [default: those of --columns]
    #[arg(long, value_name = "COLUMNS", requires = "eval")]
    pub eval_columns: Option<String>,

    /// Score it every N steps [default: at the end of each epoch]
    #[arg(long, value_name = "N", value_parser = whole, requires = "eval")]
    pub eval_every: Option<u64>,
}

/// How a model learns.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Training")]
pub struct Course {
    /// How many times to go through the records [default: 3; with quantizers 0.3]
    #[arg(long, value_name = "F", value_parser = positive, conflicts_with = "steps", allow_negative_numbers = true)]
    pub epochs: Option<f64>,

    /// How many steps to make instead
    #[arg(long, value_name = "N", value_parser = whole, allow_negative_numbers = true)]
    pub steps: Option<u64>,

    /// Records learnt from together [default: 16]
    #[arg(long, value_name = "N", value_parser = count)]
    pub batch: Option<usize>,

    /// Batches that make one step, as if they were one
    #[arg(long, value_name = "N", value_parser = count, default_value_t = 1)]
    pub accumulate: usize,

    /// The highest learning rate [default: 5e-5; with quantizers 5e-7]
    #[arg(long, value_name = "RATE", value_parser = positive, allow_negative_numbers = true)]
    pub learning_rate: Option<f64>,

    /// How the learning rate falls: linear, cosine or constant [default: linear; with quantizers cosine]
    #[arg(long, value_name = "SHAPE")]
    pub schedule: Option<Fall>,

    /// The share of the steps in which the learning rate rises, from 0 to 1
    #[arg(long, allow_negative_numbers = true, value_name = "SHARE", value_parser = share, default_value_t = 0.1)]
    pub warmup: f64,

    /// The share of a weight that a learning rate of 1 takes off at each step; biases and norms keep theirs
    #[arg(long, allow_negative_numbers = true, value_name = "SHARE", value_parser = not_negative, default_value_t = 0.01)]
    pub weight_decay: f64,

    /// The largest norm of all gradients together, to which larger ones are scaled down; 0 for no bound
    #[arg(long, allow_negative_numbers = true, value_name = "NORM", value_parser = not_negative, default_value_t = 1.0)]
    pub clip: f64,

    /// Leave parameters as they are: `--freeze bert.embeddings` (repeatable)
    #[arg(long, value_name = "PATTERN")]
    pub freeze: Vec<String>,

    /// Draw parameters anew, though the checkpoint has them: `--fresh classifier` (repeatable)
    ///
    /// A head that the checkpoint does not have is drawn in any case.
    #[arg(long, value_name = "PATTERN")]
    pub fresh: Vec<String>,

    /// Train without dropout
    #[arg(long)]
    pub no_dropout: bool,

    /// Quantizers' ranges: fixed, or estimated anew every N steps
    ///
    /// Estimated ranges follow the weights, and what the last batches showed. A quantizer with
    /// `learn: true` in the spec learns its range in either case.
    #[arg(long, value_name = "fixed|N", value_parser = ranges, default_value = "fixed", conflicts_with = "float")]
    pub ranges: EstimateRanges,

    /// What all that is random is drawn by
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub seed: u64,

    /// Write DIR/last every N steps [default: at the end of each epoch]
    #[arg(long, value_name = "N", value_parser = whole, allow_negative_numbers = true)]
    pub save_every: Option<u64>,
}

/// A model to learn from.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Teacher")]
pub struct TeacherFlags {
    /// Learn what this float model says of the records, besides their labels
    #[arg(long, value_name = "CKPT")]
    pub teacher: Option<String>,

    /// The teacher's spec [default: the model's own]
    #[arg(long, value_name = "SPEC", requires = "teacher")]
    pub teacher_spec: Option<String>,

    /// What logits are divided by before they are compared
    #[arg(long, allow_negative_numbers = true, value_name = "T", value_parser = positive, requires = "teacher", default_value_t = 2.0)]
    pub temperature: f64,

    /// The share of the loss that is the teacher's, from 0 to 1
    #[arg(long, allow_negative_numbers = true, value_name = "SHARE", value_parser = share, requires = "teacher", default_value_t = 0.5)]
    pub distillation: f64,

    /// Learn the teacher's hidden states too
    #[arg(long, requires = "teacher")]
    pub match_hidden: bool,
}

/// Where a model is trained.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Engine")]
pub struct TrainingMachine {
    /// Where to compute: `cpu`, `cuda` or `cuda:1` [default: cpu]
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,

    /// The element type to compute in: f32 or bf16 [default: f32]
    #[arg(long, value_name = "DTYPE")]
    pub dtype: Option<FloatType>,

    /// How many processor threads to use [default: one a core]
    #[arg(long, value_name = "N", value_parser = count)]
    pub threads: Option<usize>,
}

impl TrainingMachine {
    /// The same for what runs models.
    pub fn machine(&self) -> Machine {
        let TrainingMachine { device, dtype, threads } = self.clone();
        Machine { device, dtype, batch: None, threads }
    }
}

/// How the learning rate falls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fall {
    /// Evenly
    Linear,
    /// As half a cosine
    Cosine,
    /// Not at all
    Constant,
}

/// When ranges are estimated anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EstimateRanges {
    /// Never.
    #[default]
    Fixed,
    /// Every so many steps.
    Every(u64),
}

impl std::fmt::Display for EstimateRanges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            EstimateRanges::Fixed => f.write_str("fixed"),
            EstimateRanges::Every(steps) => write!(f, "{steps}"),
        }
    }
}

fn ranges(text: &str) -> Result<EstimateRanges, String> {
    match text {
        "fixed" => Ok(EstimateRanges::Fixed),
        "learned" => Err("a spec says which ranges are learned: `learn: true` of a quantizer".into()),
        _ => whole(text)
            .map(EstimateRanges::Every)
            .map_err(|_| "expected `fixed`, or a number of steps from 1".into()),
    }
}

fn whole(text: &str) -> Result<u64, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "expected a whole number from 1".into())
}

fn number(text: &str, what: &str, fits: impl Fn(f64) -> bool) -> Result<f64, String> {
    text.parse().ok().filter(|number: &f64| number.is_finite() && fits(*number)).ok_or_else(|| what.into())
}

fn positive(text: &str) -> Result<f64, String> {
    number(text, "expected a number above 0", |number| number > 0.0)
}

fn not_negative(text: &str) -> Result<f64, String> {
    number(text, "expected a number from 0", |number| number >= 0.0)
}

fn share(text: &str) -> Result<f64, String> {
    number(text, "expected a number from 0 to 1", |number| (0.0..=1.0).contains(&number))
}
