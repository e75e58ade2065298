//! What becomes of a graph: it is run, or written down.

pub mod candle;
pub mod integer;
