//! Graph to graph: each pass has a name, is listed here, and is followed by
//! [`verify`](crate::graph::verify).

mod attach;
mod observe;
mod place;
mod prune;
mod recast;
mod unwrap;

pub(crate) use attach::range_shape;
pub use observe::observe;
pub use recast::recast;

use crate::{diagnostic::Diagnostics, graph::Graph};

/// A pass: the graph it makes, and what it found wrong.
pub type Pass = fn(Graph) -> (Graph, Diagnostics);

/// Every pass, in order: its name, what it does, whether `--float` leaves it out.
pub const ALL: &[(&str, &str, Pass, bool)] = &[
    ("prune", "drops what no output needs", prune::prune, false),
    ("place", "finds the sites of every quantizer rule", place::place, false),
    ("attach", "puts fake quantizers at their sites", attach::attach, true),
    ("unwrap", "removes the boundaries of modules", unwrap::unwrap, false),
];
