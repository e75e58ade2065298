//! What a target makes of an ONNX file: `lint`.

use crate::onnx::profile::{self, Profile};
use clap::{
    Args,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};
use std::path::PathBuf;

/// `qdqc lint`
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  \
    qdqc lint model.onnx\n  \
    qdqc lint model.onnx --profile onnxruntime --all\n  \
    qdqc explain T08                                  what a rule is and why")]
pub struct Lint {
    /// An ONNX file; weights that it keeps in other files are not needed
    #[arg(value_name = "MODEL")]
    pub model: PathBuf,

    /// What is to run it
    #[arg(long, value_name = "TARGET", default_value = "tensorrt", value_parser = profile())]
    pub profile: &'static Profile,

    /// Show every place where a rule is broken, not only the first ones
    #[arg(long, conflicts_with = "json")]
    pub all: bool,

    /// Give one JSON document
    #[arg(long)]
    pub json: bool,
}

/// A profile by its name.
pub(super) fn profile() -> impl TypedValueParser<Value = &'static Profile> {
    let names = profile::ALL.iter().map(|profile| PossibleValue::new(profile.name).help(profile.summary));
    PossibleValuesParser::new(names)
        .try_map(|name| Profile::find(&name).ok_or_else(|| format!("there is no profile `{name}`")))
}
