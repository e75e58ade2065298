//! Commands on specs: `list`, `new`, `check`, `fmt`, `show`, `explain`.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// `qdqc list`
#[derive(Args, Clone, Debug)]
pub struct List {
    /// List the parts that the specs are made of, too
    #[arg(long)]
    pub all: bool,

    /// Give one JSON document
    #[arg(long)]
    pub json: bool,
}

/// `qdqc new`
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  qdqc new question-answering -o mine.qdq && qdqc check mine.qdq")]
pub struct New {
    /// The bundled spec, as `qdqc list` calls it
    #[arg(value_name = "NAME")]
    pub name: String,

    /// The file to write, `-` for standard output [default: NAME.qdq]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// Overwrite the file if it is there
    #[arg(long)]
    pub force: bool,
}

/// `qdqc check`
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  \
    qdqc check mine.qdq\n  \
    qdqc check mine.qdq -c my-bert              with the sizes of a checkpoint\n  \
    qdqc check mine.qdq --set hidden_act=relu")]
pub struct Check {
    /// Spec files, or names of bundled specs; `-` is standard input
    #[arg(value_name = "SPEC", required = true)]
    pub specs: Vec<String>,

    /// Where its sizes and choices come from.
    #[command(flatten)]
    pub settings: Settings,

    /// Give the problems as one JSON document
    #[arg(long)]
    pub json: bool,
}

/// `qdqc fmt`
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "Examples:\n  qdqc fmt mine.qdq\n  qdqc fmt --check specs/*.qdq\n  qdqc fmt - < mine.qdq"
)]
pub struct Fmt {
    /// Spec files to rewrite in place; `-` goes from standard input to standard output
    #[arg(value_name = "SPEC", required = true)]
    pub specs: Vec<String>,

    /// Rewrite nothing: list the files that would change, and exit with 1 if there are any
    #[arg(long)]
    pub check: bool,
}

/// Where the sizes and choices of a model come from.
#[derive(Args, Clone, Debug, Default)]
pub struct Settings {
    /// The checkpoint whose config.json to use, and its ranges where these are shown: a folder, a
    /// weights file, a hub id, or `demo`
    #[arg(short, long, value_name = "CKPT")]
    pub checkpoint: Option<String>,

    /// Lay a value over a field of the config: `--set num_labels=3` (repeatable)
    ///
    /// The value is JSON where it can be read as JSON, and text otherwise.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    pub set: Vec<String>,

    /// A file of `quantize` blocks to put in place of the spec's
    #[arg(long, value_name = "FILE")]
    pub recipe: Option<PathBuf>,
}

/// `qdqc show`
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  \
    qdqc show question-answering                      the graph that engines take\n  \
    qdqc show question-answering --sites              every quantizer and the rule that put it there\n  \
    qdqc show question-answering --sites -c my-int8   the same with ranges, and what they clip\n  \
    qdqc show mine.qdq --stage resolve --as ron\n  \
    qdqc show mine.qdq --set num_hidden_layers=1 --as dot | dot -Tsvg > mine.svg")]
pub struct Show {
    /// A spec file, or the name of a bundled spec; `-` is standard input
    #[arg(value_name = "SPEC")]
    pub spec: String,

    /// Where its sizes and choices come from.
    #[command(flatten)]
    pub settings: Settings,

    /// The stage of the pipeline to show; the last one unless given
    ///
    /// `syntax`, `resolve`, `prune`, `place`, `attach`, `unwrap`; and `plan`, with a calibrated
    /// checkpoint: what runs in integers, what does not, and why.
    #[arg(long, value_name = "NAME", conflicts_with = "sites")]
    pub stage: Option<String>,

    /// The form to show it in
    #[arg(long = "as", value_name = "FORM", default_value = "text", conflicts_with = "sites")]
    pub form: Form,

    /// Show the table of quantizer sites: each with its quantizer and the rule's line
    #[arg(long)]
    pub sites: bool,

    /// Leave every quantizer out
    #[arg(long)]
    pub float: bool,

    /// Ask for an output that is made on request: `--output hidden_states` (repeatable)
    #[arg(long = "output", value_name = "NAME")]
    pub outputs: Vec<String>,

    /// Give the table of sites as one JSON document
    #[arg(long, requires = "sites")]
    pub json: bool,
}

/// How a stage is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For reading
    Text,
    /// For programs: Rust object notation
    Ron,
    /// For drawing: Graphviz
    Dot,
}

/// `qdqc explain`
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  \
    qdqc explain E0203\n  \
    qdqc explain T08\n  \
    qdqc explain softmax\n  \
    qdqc explain matmul_q_input_quantizer\n  \
    qdqc explain bert.encoder.layer.3.output.dense._input_quantizer\n  \
    qdqc explain layer.3.output.dense._input_quantizer --spec question-answering -c my-int8")]
pub struct Explain {
    /// An error code, a rule of `qdqc lint`, an operator, or the name of a quantizer
    #[arg(value_name = "WHAT")]
    pub what: String,

    /// The spec whose quantizers to look among
    #[arg(long, value_name = "SPEC", default_value = "base-model")]
    pub spec: String,

    /// Where sizes and choices come from; a calibrated checkpoint has the range, too.
    #[command(flatten)]
    pub settings: Settings,

    /// Give one JSON document
    #[arg(long)]
    pub json: bool,
}
