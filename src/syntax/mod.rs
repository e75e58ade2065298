//! Text to tree and back.
//!
//! [`parse`] gives the tree of one spec file or the first place where the text
//! stops making sense; [`print()`] gives the one layout of a tree. Nothing is
//! looked up: names, sizes and sites are `resolve`'s. Any text is safe to parse:
//! what is too large or nested too deeply is refused before the grammar runs.

pub mod ast;
mod limits;
mod parse;
mod print;
mod scan;

pub use parse::parse;
pub use print::print;

#[cfg(test)]
mod tests;
