//! A checked graph as an ONNX model.
//!
//! One walk over the graph: each operator says its own form
//! ([`Operator::onnx`](crate::ops::Operator::onnx)), and the walk writes the forms one
//! after the other. What depends on weights alone is computed here. Values keep the
//! names they have in the spec: those of a fake quantizer `q` are `q/codes` before and
//! `q` after its `DequantizeLinear`.

mod constant;
mod emit;
mod layout;
pub mod lint;
mod located;
mod message;
mod model;
pub mod opset;
pub mod profile;
#[expect(clippy::enum_variant_names, reason = "made from ONNX's own schema")]
pub(crate) mod proto;
pub mod read;
mod surface;
#[cfg(test)]
mod tests;
mod text;
pub mod triton;

pub use emit::emit;
pub use located::located;
pub use model::{Model, WriteError};
pub use surface::{Input, Pair, Surface};

use crate::{ops::form::Dialect, source::Sources};

/// How a graph is written down.
#[derive(Clone, Debug)]
pub struct Options {
    /// The opset, and how quantizers are written.
    pub dialect: Dialect,
    /// How numbers are laid out.
    pub layout: Layout,
    /// The spec's files, for what quantizers say of their rules.
    pub sources: Sources,
    /// What the model says of itself.
    pub description: String,
    /// More of that, by name.
    pub metadata: Vec<(String, String)>,
}

/// Forms that mean the same, of which targets run one faster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// The bias of a matrix product has as many axes as the product.
    pub wide_biases: bool,
    /// A reshape that changes nothing stands between a sum and its layer norm.
    pub separate_norms: bool,
}
