//! Text to tree and back.

pub mod ast;
mod limits;
mod parse;
mod scan;

pub use parse::parse;
