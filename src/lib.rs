//! qdqc: a declarative model-spec compiler and interpreter for quantized BERT.
//!
//! A `.qdq` spec says in one readable file what a BERT is and where its quantizers
//! attach. This page is the map: what each module is for, and how a spec becomes
//! answers.
//!
//! # How a spec travels
//!
//! ```text
//! text --parse--> syntax tree --resolve--> typed graph --passes--> checked graph --> candle
//!                                                                                |-> integers
//!                                                                                 \-> text, RON, DOT
//! ```
//!
//! [`compile`] is that pipeline in one file. Each phase gives what it made and every
//! problem that it found, not only the first. A pass has a name, is listed in one
//! place, and is followed by a check of the whole graph; engines take only a graph
//! that was checked.
//!
//! # How a quantizer gets its range
//!
//! ```text
//! texts --tasks--> batches --session--> values seen --calibration--> statistics
//!     --calibrator--> ranges --checkpoint--> a folder that the same spec runs on
//! ```
//!
//! A float run of the graph is observed where quantizers attach. [`calibration`] counts
//! what it is shown and knows no model; [`calibrator`] chooses each range from the counts,
//! by the spec's method, and [`ranges`] holds them to the spec's ties and limits.
//!
//! # How a model runs in integers
//!
//! ```text
//! checked graph, ranges --lower--> steps over buffers of codes --schedule--> parts, by candle
//!     and in integers in turn --memory, team--> outputs
//! ```
//!
//! A quantized product is a product of codes, scaled. [`backends::integer`] finds such products
//! and what is done with their results until they are codes again, makes one step of each, and
//! leaves the rest to candle. Weights are packed once; a packed checkpoint has them so, and rows
//! of its embeddings are read from the file.
//!
//! Candle's simulation multiplies codes too, as whole numbers in f32: sums are exact in both, and
//! so every result is the same to the bit.
//!
//! # How a model learns
//!
//! ```text
//! records --tasks--> batches --session--> a pass: loss --backwards--> gradients
//!     --training--> weights, changed where they are, for the next pass
//! ```
//!
//! A pass runs the steps of a call, keeps their values, and goes back through them; each operator
//! says what the gradient of its result means for those of its operands. Products have gradients
//! in float only, so quantized values are multiplied as they are and not by their codes.
//!
//! # The modules
//!
//! A module uses only those above it. `tests/layers.rs` holds the table and fails
//! where it does not hold.
//!
//! | module | what it is for |
//! |---|---|
//! | [`span`] | a place in a source file |
//! | [`types`] | what a tensor is: element type and sizes, known or symbolic, with their arithmetic |
//! | [`quant`] | what a quantizer does to numbers |
//! | [`config`] | a checkpoint's settings, by HuggingFace's names |
//! | [`answer`] | how outputs are read for people |
//! | [`names`] | lists of names in messages, and near misses |
//! | [`stack`] | room for deep recursion |
//! | [`source`] | source files, and where `use` finds them |
//! | [`diagnostic`] | a problem as data: code, message, places, help, suggestion |
//! | [`codes`] | every diagnostic code, and what `qdqc explain` says of it |
//! | [`failure`] | why a command stopped, and its exit code |
//! | [`files`] | files that are written whole or not at all |
//! | [`specs`] | the specs that the binary carries |
//! | [`calibration`] | what quantizers saw of data, and the ranges that follow from it |
//! | [`comparison`] | how far two runtimes' tensors are apart, and where their codes part |
//! | [`ops`] | the operators, one file each: documentation, attributes, type rule, meaning, gradients |
//! | [`graph`] | the typed graph, its checks, and its dumps |
//! | [`ranges`] | what a spec demands of ranges: ties and limits |
//! | [`syntax`] | text to tree and back |
//! | `resolve` | tree to typed graph, for one config and one way of calling the model |
//! | [`passes`] | graph to graph: quantizer rules find their sites, quantizers are put there |
//! | [`compile`] | the pipeline |
//! | [`checkpoint`] | settings, weights and ranges from folders, files and the hub |
//! | [`backends`] | a checked graph run, in float and in integers, and gone back through for gradients |
//! | [`onnx`] | a checked graph as an ONNX model, and what its targets make of one |
//! | [`tasks`] | text records to tensors, outputs to answers |
//! | [`sensitivity`] | which quantizers cost accuracy, and a recipe without them |
//! | [`session`] | a spec and a checkpoint, called in any way the spec allows, and its weights changed |
//! | [`calibrator`] | ranges from data: a float run observed, and each quantizer's range chosen |
//! | [`training`] | a model's parameters changed step by step: optimizers, teachers, and what a run goes on from |
//! | [`page`] | the report on a calibrated model: a page of HTML |
//! | [`report`] | diagnostics drawn for people and programs |
//! | [`cli`] | the command line, one file a command |
//!
//! # What never happens
//!
//! - The grammar lists no operators, and no head has Rust code of its own.
//! - Only [`cli`], [`checkpoint`], [`files`], the readers of [`tasks`] and the state of [`training`]
//!   touch files; the compiler is given texts and a [`Library`](source::Library).
//! - No pass knows an engine. Only [`report`] draws.
//! - A dump of a graph holds names, never indices or places in a file.
//! - No input makes the program panic: what a file says is bounded and checked.

pub mod answer;
pub mod backends;
pub mod calibration;
pub mod calibrator;
pub mod checkpoint;
pub mod cli;
pub mod codes;
pub mod comparison;
pub mod compile;
pub mod config;
pub mod diagnostic;
pub mod failure;
pub mod files;
pub mod graph;
pub mod names;
pub mod onnx;
pub mod ops;
pub mod page;
pub mod passes;
pub mod quant;
pub mod ranges;
pub mod report;
mod resolve;
pub mod sensitivity;
pub mod session;
pub mod source;
pub mod span;
pub mod specs;
pub mod stack;
pub mod syntax;
pub mod tasks;
pub mod training;
pub mod types;
