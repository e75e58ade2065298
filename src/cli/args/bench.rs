//! `qdqc bench`.

use super::shared::{Engine, EngineKind, FloatType, Machine, Model};
use clap::Args;
use std::{path::PathBuf, str::FromStr};

/// `qdqc bench`
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  \
    qdqc bench question-answering -c my-int8\n  \
    qdqc bench question-answering -c my-int8 --shapes 1x128,8x128,32x128 --threads 4\n  \
    qdqc bench sequence-classification -c my-int8 --engine candle --profile")]
pub struct Bench {
    /// The model.
    #[command(flatten)]
    pub model: Model,

    /// What is run: so many texts of so many tokens, `8x128`
    #[arg(long, value_name = "TEXTSxTOKENS", value_delimiter = ',', default_value = "1x128,8x128,1x384")]
    pub shapes: Vec<Shape>,

    /// How long each is run, after it has been run twice
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    pub seconds: f64,

    /// Show where the time goes: what part of it each kind of step takes, and how near products
    /// of codes come to the most that the machine does
    #[arg(long)]
    pub profile: bool,

    /// Give one JSON document
    #[arg(long)]
    pub json: bool,

    /// Turn every quantizer off
    #[arg(long, help_heading = "Engine")]
    pub float: bool,

    /// What computes: `int8` in integers, `candle` in float [default: auto]
    #[arg(long, value_name = "ENGINE", conflicts_with = "float", help_heading = "Engine")]
    pub engine: Option<EngineKind>,

    /// Lay the `_amax` entries of a safetensors file over the checkpoint's
    #[arg(long, value_name = "FILE", conflicts_with = "float", help_heading = "Engine")]
    pub amax: Option<PathBuf>,

    /// Where to compute: `cpu`, `cuda` or `cuda:1` [default: cpu]
    #[arg(long, value_name = "DEVICE", help_heading = "Engine")]
    pub device: Option<String>,

    /// The element type to compute in: f32, f16 or bf16 [default: f32]
    #[arg(long, value_name = "DTYPE", help_heading = "Engine")]
    pub dtype: Option<FloatType>,

    /// How many processor threads to use [default: one a core]
    #[arg(long, value_name = "N", value_parser = super::shared::count, help_heading = "Engine")]
    pub threads: Option<usize>,
}

impl Bench {
    /// What it runs on.
    pub fn engine(&self) -> Engine {
        Engine {
            float: self.float,
            engine: self.engine,
            amax: self.amax.clone(),
            machine: Machine {
                device: self.device.clone(),
                dtype: self.dtype,
                batch: None,
                threads: self.threads,
            },
        }
    }
}

/// How many texts of how many tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Texts.
    pub texts: usize,
    /// Tokens of each.
    pub tokens: usize,
}

impl FromStr for Shape {
    type Err = String;

    fn from_str(text: &str) -> Result<Shape, String> {
        let number = |text: &str| text.parse().ok().filter(|number| (1..=1 << 20).contains(number));
        let shape = text
            .split_once('x')
            .and_then(|(texts, tokens)| Some(Shape { texts: number(texts)?, tokens: number(tokens)? }));
        shape.ok_or_else(|| "expected texts and tokens, such as 8x128".to_owned())
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "expected a number of seconds")?;
    (number > 0.0 && number <= 3600.0)
        .then_some(number)
        .ok_or_else(|| "expected a number above 0, at most 3600".into())
}
