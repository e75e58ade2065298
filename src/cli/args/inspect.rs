//! What a calibrated model costs, and where: `report`, `sensitivity`.

use super::shared::{Data, Machine, Model};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// `qdqc report`
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  \
    qdqc report question-answering -c my-int8\n  \
    qdqc report mine.qdq --recipe lean.qdq -c my-lean -o lean.html")]
pub struct Report {
    /// The model.
    #[command(flatten)]
    pub model: Model,

    /// The page to write, one HTML file that needs no other; `-` for standard output
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    pub output: PathBuf,
}

/// `qdqc sensitivity`
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  \
    qdqc sensitivity question-answering -c my-int8 --input dev.json --max-samples 200\n  \
    qdqc sensitivity mine.qdq -c my-int8 --input texts.txt --by site --budget 0.005 --write lean.qdq\n  \
    qdqc calibrate mine.qdq --recipe lean.qdq -c my-bert --input texts.txt -o my-lean")]
pub struct Sensitivity {
    /// The model.
    #[command(flatten)]
    pub model: Model,

    /// What they are measured on; where it says what is right, scores are measured, too.
    #[command(flatten)]
    pub data: Data,

    /// What quantizers are switched together: all of a layer, the same place in every layer, or
    /// none (each site alone; tied ones always together)
    #[arg(
        long,
        value_name = "GROUPS",
        default_value = "kind",
        hide_possible_values = true,
        help_heading = "Search"
    )]
    pub by: By,

    /// What to judge by: a score such as `accuracy`, or the nearness to float, such as `cosine`
    /// [default: the first score where the records say what is right, else the nearness:
    /// `kl`, `cosine` or `difference`]
    #[arg(long, value_name = "NAME", help_heading = "Search")]
    pub metric: Option<String>,

    /// Find few groups without which the metric is at most this much worse than in float
    #[arg(long, value_name = "LOSS", value_parser = loss, help_heading = "Search")]
    pub budget: Option<f64>,

    /// Write a recipe without them, with the reasons, to be given to `--recipe`
    #[arg(long, value_name = "FILE", requires = "budget", help_heading = "Search")]
    pub write: Option<PathBuf>,

    /// Write over the recipe if it is there
    #[arg(long, requires = "write", help_heading = "Search")]
    pub force: bool,

    /// Give one JSON document
    #[arg(long)]
    pub json: bool,

    /// Lay the `_amax` entries of a safetensors file over the checkpoint's
    #[arg(long, value_name = "FILE", help_heading = "Engine")]
    pub amax: Option<PathBuf>,

    /// What it runs on.
    #[command(flatten)]
    pub machine: Machine,
}

/// What quantizers are switched together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// All of one layer
    Layer,
    /// The same place in every layer
    Kind,
    /// Each alone
    Site,
}

fn loss(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| "expected a number from 0".into())
}
