//! `qdqc calibrate`.

use super::shared::{Format, Machine, Model, count};
use crate::quant::Calibration;
use clap::{ArgGroup, Args};
use std::path::PathBuf;

/// `qdqc calibrate`
#[derive(Args, Clone, Debug)]
#[command(
    override_usage = "qdqc calibrate [OPTIONS] --checkpoint <CKPT> --output <OUT> <--input <FILE>|--tensors <FILE>|--merge <FILE>...> <SPEC>",
    after_help = "Examples:\n  \
    qdqc calibrate question-answering -c my-bert --input train.json --max-samples 512 -o my-int8\n  \
    qdqc calibrate mine.qdq -c my-bert --input texts.txt --method percentile=99.99 -o my-int8\n  \
    qdqc calibrate mine.qdq -c my-bert --merge my-int8/statistics.safetensors --method mse -o other\n  \
    qdqc calibrate mine.qdq -c my-bert --input texts.txt --shard 2/8 -o part2.safetensors\n  \
    qdqc calibrate mine.qdq -c my-bert --merge part*.safetensors -o my-int8"
)]
#[command(group(ArgGroup::new("source").args(["file", "tensors", "merge"]).required(true)))]
pub struct Calibrate {
    /// The model.
    #[command(flatten)]
    pub model: Model,

    /// The folder to write: weights with ranges, config, tokenizer, calibration.ron, statistics
    ///
    /// With `--shard` it is the file of statistics.
    #[arg(short, long, value_name = "OUT")]
    pub output: PathBuf,

    /// Write over what is there
    #[arg(long, conflicts_with = "resume")]
    pub force: bool,

    /// A file of records, `-` for standard input
    #[arg(long = "input", id = "file", value_name = "FILE", help_heading = "Data")]
    pub file: Option<String>,

    /// How the records are written; the file's ending says it unless given
    #[arg(long, value_name = "FORMAT", requires = "file", conflicts_with_all = ["tensors", "merge"], help_heading = "Data")]
    pub format: Option<Format>,

    /// Which columns to read: `--columns text=question,pair=context`
    #[arg(long, value_name = "COLUMNS", requires = "file", conflicts_with_all = ["tensors", "merge"], help_heading = "Data")]
    pub columns: Option<String>,

    /// Take at most this many records
    #[arg(long, value_name = "N", value_parser = count, requires = "file", conflicts_with_all = ["tensors", "merge"], help_heading = "Data")]
    pub max_samples: Option<usize>,

    /// A safetensors file of named inputs, one batch (repeatable)
    #[arg(long, value_name = "FILE", help_heading = "Data")]
    pub tensors: Vec<PathBuf>,

    /// Files of statistics to put together in place of data; one alone is taken as it is
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = ["shard", "resume"], help_heading = "Data")]
    pub merge: Vec<PathBuf>,

    /// Choose ranges by this method, weights aside, in place of the spec's: max, percentile,
    /// percentile=99.9, entropy or mse
    #[arg(long, value_name = "METHOD", value_parser = method, conflicts_with = "shard", help_heading = "Ranges")]
    pub method: Option<Calibration>,

    /// Leave values that are exactly zero out, weights aside
    #[arg(long, conflicts_with = "shard", help_heading = "Ranges")]
    pub skip_zeros: bool,

    /// Count as pytorch-quantization's histograms do, to compare with it; such statistics do not merge
    ///
    /// Weights and quantizers with an axis are counted as ever: by `max`, their ranges are the same.
    #[arg(long, conflicts_with_all = ["shard", "merge"], help_heading = "Ranges")]
    pub parity: bool,

    /// Observe only every Nth batch from the Ith on, and write the statistics alone
    #[arg(long, value_name = "I/N", value_parser = shard, help_heading = "Work")]
    pub shard: Option<Shard>,

    /// Go on where an interrupted calibration stopped
    #[arg(long, help_heading = "Work")]
    pub resume: bool,

    /// Give what was found of each quantizer as one JSON document
    #[arg(long, conflicts_with = "shard")]
    pub json: bool,

    /// What it runs on.
    #[command(flatten)]
    pub machine: Machine,
}

/// One of several parts that batches are dealt to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which, from 1.
    pub part: u64,
    /// Of how many.
    pub of: u64,
}

fn method(text: &str) -> Result<Calibration, String> {
    let percentile = |text: &str| {
        let percent: f64 = text.parse().map_err(|_| format!("`{text}` is not a percentage"))?;
        let fits = percent > 0.0 && percent <= 100.0;
        if fits {
            Ok(Calibration::Percentile(percent))
        } else {
            Err("expected a percentage above 0, at most 100".into())
        }
    };
    match text {
        "max" => Ok(Calibration::Max),
        "percentile" => Ok(Calibration::Percentile(99.99)),
        "entropy" => Ok(Calibration::Entropy),
        "mse" => Ok(Calibration::MeanSquaredError),
        _ => match text.strip_prefix("percentile") {
            Some(rest) => percentile(rest.trim_start_matches(['=', ':', '(']).trim_end_matches(')')),
            None => Err("expected max, percentile, percentile=99.9, entropy or mse".into()),
        },
    }
}

/// Parts that work is dealt to, at most.
const MOST_SHARDS: u64 = 65_536;

fn shard(text: &str) -> Result<Shard, String> {
    let parts = text.split_once('/').and_then(|(part, of)| part.parse().ok().zip(of.parse().ok()));
    match parts {
        Some((_, of)) if of > MOST_SHARDS => Err(format!("at most {MOST_SHARDS} parts")),
        Some((part, of)) if (1..=of).contains(&part) => Ok(Shard { part, of }),
        _ => Err("expected a part and their number, such as 2/8".into()),
    }
}
