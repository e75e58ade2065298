//! What can be typed: every command and flag, with the text of `--help`.

use crate::quant::Calibration;
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

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
    /// Give every quantizer its range, from data
    Calibrate(Box<Calibrate>),
    /// Write a page on what each quantizer saw, its range, and what it costs
    Report(Report),
    /// Find which quantizers cost accuracy, and a recipe without them
    Sensitivity(Box<Sensitivity>),
    /// Score a model on labelled data: float, quantized, or both side by side
    Eval(Box<Eval>),
}

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
    /// weights file, or a hub id
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
    qdqc explain softmax\n  \
    qdqc explain matmul_q_input_quantizer\n  \
    qdqc explain bert.encoder.layer.3.output.dense._input_quantizer\n  \
    qdqc explain layer.3.output.dense._input_quantizer --spec question-answering -c my-int8")]
pub struct Explain {
    /// An error code, an operator, or the name of a quantizer
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

/// `qdqc run`
#[derive(Args, Clone, Debug)]
#[command(
    override_usage = "qdqc run [OPTIONS] --checkpoint <CKPT> <--text <TEXT>|--input <FILE>|--tensors <FILE>> <SPEC>",
    after_help = "Examples:\n  \
    qdqc run masked-lm -c my-bert --text \"Paris is the [MASK] of France.\"\n  \
    qdqc run question-answering -c my-bert --text \"Who wrote it?\" --text-pair \"Ada wrote it.\"\n  \
    qdqc run sequence-classification -c my-bert --input reviews.csv --columns text=review --json\n  \
    qdqc run base-model -c my-bert --float --tensors in.safetensors -o out.safetensors"
)]
pub struct Run {
    /// A spec file, or the name of a bundled spec
    #[arg(value_name = "SPEC")]
    pub spec: String,

    /// The weights: a HuggingFace folder, a weights file beside its config.json, or a hub id
    ///
    /// A hub id is `org/name` or `org/name@revision`; it is fetched once, into HuggingFace's own
    /// cache. HF_HOME, HF_TOKEN and HF_ENDPOINT are honoured.
    #[arg(short, long, value_name = "CKPT", required = true)]
    pub checkpoint: String,

    /// Lay a value over a field of the config: `--set problem_type=regression` (repeatable)
    ///
    /// The value is JSON where it can be read as JSON, and text otherwise.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    pub set: Vec<String>,

    /// A file of `quantize` blocks to put in place of the spec's
    #[arg(long, value_name = "FILE")]
    pub recipe: Option<PathBuf>,

    /// What it is run on.
    #[command(flatten)]
    pub input: Input,

    /// What is shown of the outputs.
    #[command(flatten)]
    pub reading: Reading,

    /// What it runs on.
    #[command(flatten)]
    pub engine: Engine,
}

// One of a group stands in for every other where `requires` names it, so that what
// goes with one alone says which it does not go with.

/// What a model is run on.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Input")]
#[group(skip)]
#[command(group(ArgGroup::new("source").args(["text", "file", "tensors"]).required(true)))]
pub struct Input {
    /// A text; for question answering, the question (repeatable)
    #[arg(long, value_name = "TEXT")]
    pub text: Vec<String>,

    /// The second text of each `--text`, in order; for question answering, the context
    #[arg(long, value_name = "TEXT", requires = "text", conflicts_with_all = ["file", "tensors"])]
    pub text_pair: Vec<String>,

    /// One way that `--text` may go on, for multiple choice (repeatable)
    #[arg(long, value_name = "TEXT", requires = "text", conflicts_with_all = ["file", "tensors"])]
    pub choice: Vec<String>,

    /// A file of records, `-` for standard input
    #[arg(long = "input", id = "file", value_name = "FILE")]
    pub file: Option<String>,

    /// How the records are written; the file's ending says it unless given
    #[arg(long, value_name = "FORMAT", requires = "file", conflicts_with_all = ["text", "tensors"])]
    pub format: Option<Format>,

    /// Which columns to read: `--columns text=question,pair=context`
    ///
    /// `text`, `pair` and `choices` (as `choices=a+b+c`) each name the column of a csv or tsv file,
    /// or the field of a jsonl record; numbers count the columns of a file without a header, from 1.
    /// Without this flag the names that data sets use are known.
    #[arg(long, value_name = "COLUMNS", requires = "file", conflicts_with_all = ["text", "tensors"])]
    pub columns: Option<String>,

    /// A safetensors file of named inputs, under HuggingFace's names; needs `-o`
    #[arg(long, value_name = "FILE", requires = "output")]
    pub tensors: Option<PathBuf>,

    /// The safetensors file to write the named outputs to
    #[arg(short, long, value_name = "FILE", requires = "tensors", conflicts_with_all = ["text", "file"])]
    pub output: Option<PathBuf>,
}

/// How the outputs are read, and what is shown of them.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Answers")]
pub struct Reading {
    /// Give one JSON record a line
    #[arg(long)]
    pub json: bool,

    /// Show at most this many labels, words or options [default: 5]
    #[arg(long, value_name = "N")]
    pub top_k: Option<usize>,

    /// Question answering: how many tokens the windows of a long context share [default: 128]
    #[arg(long, value_name = "N")]
    pub doc_stride: Option<usize>,

    /// Question answering: the longest answer, in tokens [default: 30]
    #[arg(long, value_name = "N")]
    pub max_answer_length: Option<usize>,

    /// Question answering: show this many answers [default: 1]
    #[arg(long, value_name = "N")]
    pub n_best: Option<usize>,

    /// Question answering: the context may hold no answer
    #[arg(long)]
    pub no_answer: bool,

    /// Continuation: write this many tokens at most [default: 32]
    #[arg(long, value_name = "N")]
    pub max_new_tokens: Option<usize>,

    /// Continuation: draw tokens at this temperature rather than take the likeliest
    #[arg(long, value_name = "T", value_parser = positive)]
    pub temperature: Option<f32>,

    /// Continuation: draw only from the likeliest tokens that make up this share
    #[arg(long, value_name = "P", value_parser = share, requires = "temperature")]
    pub top_p: Option<f32>,

    /// Continuation: start the drawing of tokens here [default: 0]
    #[arg(long, value_name = "N", requires = "temperature")]
    pub seed: Option<u64>,

    /// With `--tensors`: give the hidden states of every layer, too
    #[arg(long, requires = "tensors", conflicts_with_all = ["text", "file"])]
    pub hidden_states: bool,

    /// With `--tensors`: give the attention weights of every layer, too
    #[arg(long, requires = "tensors", conflicts_with_all = ["text", "file"])]
    pub attentions: bool,

    /// With `--tensors`: give the keys and values of every layer, too, as `present.0.key` and so on
    #[arg(long, requires = "tensors", conflicts_with_all = ["text", "file"])]
    pub cache: bool,
}

/// What the model runs on, and in which numbers.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Engine")]
pub struct Engine {
    /// Turn every quantizer off
    #[arg(long)]
    pub float: bool,

    /// Lay the `_amax` entries of a safetensors file over the checkpoint's
    #[arg(long, value_name = "FILE", conflicts_with = "float")]
    pub amax: Option<PathBuf>,

    /// Where.
    #[command(flatten)]
    pub machine: Machine,
}

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
    /// A spec file, or the name of a bundled spec
    #[arg(value_name = "SPEC")]
    pub spec: String,

    /// The weights in float: a HuggingFace folder, a weights file beside its config.json, or a hub id
    #[arg(short, long, value_name = "CKPT", required = true)]
    pub checkpoint: String,

    /// Lay a value over a field of the config: `--set hidden_act=relu` (repeatable)
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    pub set: Vec<String>,

    /// A file of `quantize` blocks to put in place of the spec's
    #[arg(long, value_name = "FILE")]
    pub recipe: Option<PathBuf>,

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

/// `qdqc report`
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:\n  \
    qdqc report question-answering -c my-int8\n  \
    qdqc report mine.qdq --recipe lean.qdq -c my-lean -o lean.html")]
pub struct Report {
    /// The spec that was calibrated: a spec file, or the name of a bundled spec
    #[arg(value_name = "SPEC")]
    pub spec: String,

    /// The calibrated weights: a folder that `qdqc calibrate` wrote, or any checkpoint with ranges
    #[arg(short, long, value_name = "CKPT", required = true)]
    pub checkpoint: String,

    /// Lay a value over a field of the config: `--set hidden_act=relu` (repeatable)
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    pub set: Vec<String>,

    /// A file of `quantize` blocks to put in place of the spec's
    #[arg(long, value_name = "FILE")]
    pub recipe: Option<PathBuf>,

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
    /// A spec file, or the name of a bundled spec
    #[arg(value_name = "SPEC")]
    pub spec: String,

    /// The calibrated weights: a folder that `qdqc calibrate` wrote, or any checkpoint with ranges
    #[arg(short, long, value_name = "CKPT", required = true)]
    pub checkpoint: String,

    /// Lay a value over a field of the config: `--set problem_type=regression` (repeatable)
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    pub set: Vec<String>,

    /// A file of `quantize` blocks to put in place of the spec's
    #[arg(long, value_name = "FILE")]
    pub recipe: Option<PathBuf>,

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
    /// [default: the first score where the records say what is right, else the nearness]
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

/// One of several parts that batches are dealt to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which, from 1.
    pub part: u64,
    /// Of how many.
    pub of: u64,
}

/// Where a model is computed.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Engine")]
pub struct Machine {
    /// Where to compute: `cpu`, `cuda` or `cuda:1` [default: cpu]
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<String>,

    /// The element type to compute in: f32, f16 or bf16 [default: f32]
    #[arg(long, value_name = "DTYPE")]
    pub dtype: Option<FloatType>,

    /// How many records to run at a time [default: 8]
    #[arg(long, value_name = "N", value_parser = count)]
    pub batch: Option<usize>,

    /// How many processor threads to use [default: one a core]
    #[arg(long, value_name = "N", value_parser = count)]
    pub threads: Option<usize>,
}

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

    /// The weights: a HuggingFace folder, a weights file beside its config.json, or a hub id
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

/// A file of records, with what is right.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Input")]
pub struct Data {
    /// A file of records, `-` for standard input
    #[arg(long, value_name = "FILE", required = true)]
    pub input: String,

    /// How the records are written; the file's ending says it unless given
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<Format>,

    /// Which columns to read: `--columns text=question,pair=context,label=gold`
    ///
    /// `text`, `pair`, `choices` (as `choices=a+b+c`) and `label` each name the column of a csv or
    /// tsv file, or the field of a jsonl record; numbers count the columns of a file without a
    /// header, from 1. Without this flag the names that data sets use are known.
    #[arg(long, value_name = "COLUMNS")]
    pub columns: Option<String>,

    /// Read this many records at most, from the first
    #[arg(long, value_name = "N", value_parser = count)]
    pub max_samples: Option<usize>,
}

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON object a line
    Jsonl,
    /// Fields between commas, with a header
    Csv,
    /// Fields between tabs
    Tsv,
    /// One text a line
    Txt,
    /// A word and its tag a line, a blank line after each sentence
    Conll,
    /// The JSON document of SQuAD
    Squad,
}

/// The element types that models compute in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FloatType {
    /// 32 bits
    F32,
    /// 16 bits
    F16,
    /// 16 bits with the range of 32
    Bf16,
}

fn count(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "expected a whole number from 1".into())
}

fn loss(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| "expected a number from 0".into())
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

fn shard(text: &str) -> Result<Shard, String> {
    let parts = text.split_once('/').and_then(|(part, of)| part.parse().ok().zip(of.parse().ok()));
    match parts {
        Some((part, of)) if (1..=of).contains(&part) => Ok(Shard { part, of }),
        _ => Err("expected a part and their number, such as 2/8".into()),
    }
}

fn positive(text: &str) -> Result<f32, String> {
    let number: f32 = text.parse().map_err(|_| "expected a number")?;
    (number.is_finite() && number > 0.0).then_some(number).ok_or_else(|| "expected a number above 0".into())
}

fn share(text: &str) -> Result<f32, String> {
    positive(text)
        .ok()
        .filter(|number| *number <= 1.0)
        .ok_or_else(|| "expected a number above 0, at most 1".into())
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
