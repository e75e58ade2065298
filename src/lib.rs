//! qdqc: a declarative model-spec compiler and interpreter for quantized BERT.

pub mod answer;
pub mod codes;
pub mod config;
pub mod diagnostic;
pub mod failure;
pub mod quant;
pub mod report;
pub mod source;
pub mod span;
pub mod syntax;
pub mod types;
