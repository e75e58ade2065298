//! Laws of the syntax: no text breaks the parser, and laying out a spec keeps
//! its meaning and its comments and is done after once.

#[cfg(test)]
mod author;
#[cfg(test)]
mod laws;
