//! qdqc: a declarative model-spec compiler and interpreter for quantized BERT.

pub mod answer;
pub mod cli;
pub mod config;
pub mod diagnostic;
pub mod failure;
pub mod graph;
pub mod nearest;
pub mod ops;
pub mod quant;
pub mod source;
pub mod span;
pub mod specs;
pub mod syntax;
pub mod types;
