//! qdqc: a declarative model-spec compiler and interpreter for quantized BERT.

pub mod answer;
pub mod backends;
pub mod checkpoint;
pub mod cli;
pub mod codes;
pub mod compile;
pub mod config;
pub mod diagnostic;
pub mod failure;
pub mod graph;
pub mod names;
pub mod ops;
pub mod passes;
pub mod quant;
pub mod report;
mod resolve;
pub mod session;
pub mod source;
pub mod span;
pub mod specs;
pub mod syntax;
pub mod tasks;
pub mod types;
