//! `qdqc pack`.

use super::shared::Model;
use clap::Args;
use std::path::PathBuf;

/// `qdqc pack`
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  \
    qdqc pack question-answering -c my-int8 -o my-packed\n  \
    qdqc run question-answering -c my-packed --text \"Who wrote it?\" --text-pair \"Ada wrote it.\"")]
pub struct Pack {
    /// The model.
    #[command(flatten)]
    pub model: Model,

    /// The folder to write
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,

    /// Write over the checkpoint that is there
    #[arg(long)]
    pub force: bool,

    /// Lay the `_amax` entries of a safetensors file over the checkpoint's
    #[arg(long, value_name = "FILE")]
    pub amax: Option<PathBuf>,
}
