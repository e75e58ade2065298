//! `qdqc export`.

use super::{
    lint,
    shared::{FloatType, Model},
};
use crate::onnx::profile::Profile;
use clap::{ArgGroup, Args, ValueEnum};
use std::path::PathBuf;

/// `qdqc export`
#[derive(Args, Clone, Debug)]
#[command(
    override_usage = "qdqc export [OPTIONS] --checkpoint <CKPT> <--output <FILE>|--triton <DIR>|--as text> <SPEC>",
    after_help = "Examples:\n  \
    qdqc export sequence-classification -c my-bert-int8 -o model.onnx\n  \
    qdqc export sequence-classification -c my-bert-int8 --profile onnxruntime -o model.onnx\n  \
    qdqc export question-answering -c my-bert --float --inputs input_ids,attention_mask -o model.onnx\n  \
    qdqc export causal-lm -c my-bert-int8 --triton models/my-bert"
)]
#[command(group(ArgGroup::new("result").args(["output", "triton", "form"]).required(true).multiple(true)))]
pub struct Export {
    /// The model.
    #[command(flatten)]
    pub model: Model,

    /// Where to write the model
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// How to write it: `onnx`, or `text` for reading, to standard output unless `-o` is given
    #[arg(long = "as", id = "form", value_name = "FORM")]
    pub form: Option<ModelForm>,

    /// Write a folder for the model repository of Triton Inference Server: DIR is the model's own
    ///
    /// Its last part is the model's name. The folder gets config.pbtxt, labels, and the model as
    /// version 1.
    #[arg(long, value_name = "DIR")]
    pub triton: Option<PathBuf>,

    /// What the model is for.
    #[command(flatten)]
    pub target: Target,

    /// What goes in and out.
    #[command(flatten)]
    pub interface: Interface,
}

/// What an exported model is for, and how its numbers are written.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Target")]
pub struct Target {
    /// What is to run it
    #[arg(long, value_name = "TARGET", default_value = "tensorrt", value_parser = lint::profile())]
    pub profile: &'static Profile,

    /// The version of ONNX's operators: 13 to 28, as far as the target reads them [default: by profile, or what the quantizers need]
    #[arg(long, value_name = "N")]
    pub opset: Option<i64>,

    /// Store weights as numbers that a QuantizeLinear rounds, or as codes [default: by profile]
    ///
    /// Codes that are fewer than their type holds, and learned ranges, are always stored as codes.
    #[arg(long, value_name = "FORM")]
    pub weights: Option<WeightForm>,

    /// Store 8-bit codes of activations as int8, or the same ones 128 higher as uint8 [default: by profile]
    #[arg(long, value_name = "TYPE")]
    pub activations: Option<ActivationType>,

    /// Turn every quantizer off
    #[arg(long)]
    pub float: bool,

    /// Lay the `_amax` entries of a safetensors file over the checkpoint's
    #[arg(long, value_name = "FILE", conflicts_with = "float")]
    pub amax: Option<PathBuf>,

    /// The element type of what stays float: f32, f16 or bf16 [default: f32]
    #[arg(long, value_name = "DTYPE")]
    pub dtype: Option<FloatType>,

    /// Write large numbers to a file beside the model, as is done anyway above 2 GiB
    #[arg(long, conflicts_with = "form")]
    pub external_data: bool,
}

/// What goes into an exported model and what comes out.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Interface")]
pub struct Interface {
    /// The inputs, of those that the spec has: `--inputs input_ids,attention_mask`
    ///
    /// What is left out takes the spec's default, written into the model. Without this flag the
    /// model has every input that is not optional.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = name)]
    pub inputs: Vec<String>,

    /// Outputs that are made on request, too: `--outputs hidden_states,attentions`
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = name)]
    pub outputs: Vec<String>,

    /// Take and give the keys and values of earlier tokens, as text generation does anyway
    #[arg(long, overrides_with = "no_cache")]
    pub cache: bool,

    /// Do without them
    #[arg(long, overrides_with = "cache")]
    pub no_cache: bool,
}

/// How a model is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ModelForm {
    /// ONNX's file format
    Onnx,
    /// ONNX's text syntax, large tensors shortened
    Text,
}

/// How weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WeightForm {
    /// Float, with a QuantizeLinear and a DequantizeLinear behind
    Qdq,
    /// Codes, with a DequantizeLinear behind: a quarter of the size
    Folded,
}

/// How 8-bit codes of activations are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ActivationType {
    /// -128 to 127, zero point 0
    Int8,
    /// 0 to 255, zero point 128
    Uint8,
}

/// A name of a list, without the blanks around it.
fn name(text: &str) -> Result<String, String> {
    let name = text.trim();
    if name.is_empty() { Err("a name is empty".into()) } else { Ok(name.to_owned()) }
}
