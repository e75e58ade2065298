//! What can be typed: every command and flag, with the text of `--help`.

pub mod bench;
mod calibrate;
mod compare;
mod eval;
mod export;
mod inspect;
mod lint;
mod pack;
mod run;
mod shared;
mod spec;
mod train;

pub use bench::Bench;
pub use calibrate::{Calibrate, Shard};
pub use compare::Compare;
pub use eval::Eval;
pub use export::{ActivationType, Export, Interface, ModelForm, Target, WeightForm};
pub use inspect::{By, Report, Sensitivity};
pub use lint::Lint;
pub use pack::Pack;
pub use run::{Input, Reading, Run};
pub use shared::{Data, Engine, EngineKind, FloatType, Format, Machine, Model};
pub use spec::{Check, Explain, Fmt, Form, List, New, Settings, Show};
pub use train::{Course, EstimateRanges, Fall, TeacherFlags, Train, TrainingData, TrainingMachine};

use clap::{Parser, Subcommand, ValueEnum};

/// The whole command line.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "qdqc",
    version,
    about = "Runs BERT from a model spec you can read, quantizers included",
    long_about = "Runs BERT from a model spec you can read, quantizers included.\n\n\
        A `.qdq` spec says what a model is and where its quantizers sit. qdqc checks it, turns it \
        into a typed graph, and runs that graph on the weights of any HuggingFace BERT folder.",
    after_help = "Examples:\n  \
        qdqc list                                   the specs that come with qdqc\n  \
        qdqc run masked-lm -c my-bert --text \"Paris is the [MASK] of France.\"\n  \
        qdqc new question-answering -o mine.qdq     a copy to edit\n  \
        qdqc check mine.qdq                         every problem in it\n  \
        qdqc show mine.qdq --sites                  where its quantizers sit",
    disable_help_subcommand = true
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// Color messages: when writing to a terminal, always, or never
    ///
    /// `NO_COLOR=1` in the environment is the same as `--color never`.
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true,
        display_order = 100
    )]
    pub color: ColorChoice,
}

/// When to color messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// When standard error is a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// The commands.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// List the specs that come with qdqc
    List(List),
    /// Hand out a bundled spec as a file of your own to edit
    New(New),
    /// Find every problem in specs
    Check(Check),
    /// Lay specs out the one way
    Fmt(Fmt),
    /// Show what the compiler makes of a spec
    Show(Show),
    /// Explain an error code, an operator, or a quantizer
    Explain(Explain),
    /// Run a model on text, on a file of records, or on tensors
    Run(Box<Run>),
    /// Train a model on labelled data: in float, or with its quantizers on
    Train(Box<Train>),
    /// Give every quantizer its range, from data
    Calibrate(Box<Calibrate>),
    /// Write a page on what each quantizer saw, its range, and what it costs
    Report(Report),
    /// Find which quantizers cost accuracy, and a recipe without them
    Sensitivity(Box<Sensitivity>),
    /// Score a model on labelled data: float, quantized, or both side by side
    Eval(Box<Eval>),
    /// Time a model, and show where the time goes
    Bench(Box<Bench>),
    /// Write a calibrated checkpoint with its quantized weights as int8
    Pack(Pack),
    /// Write a model as ONNX, for TensorRT, ONNX Runtime and others
    Export(Box<Export>),
    /// Compare a model with another runtime's outputs, quantizer by quantizer
    Compare(Box<Compare>),
    /// Find what a target would reject of an ONNX file, or run in float
    Lint(Lint),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
