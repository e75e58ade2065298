//! What runs in integers: steps over buffers.

use crate::{
    checkpoint,
    graph::NodeId,
    ops::kernels::integer::{Matrix, Quantizer},
    types::Dim,
};
use candle_core::Tensor;
use std::{collections::BTreeMap, sync::Arc};

/// Which buffer of a [`Program`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct BufferId(pub(super) usize);

/// Memory for one value: rows of numbers, one after the other.
#[derive(Clone, Debug)]
pub(super) struct Buffer {
    /// The value's axes but the last; their product is how many rows there are.
    pub(super) leading: Vec<Dim>,
    /// Numbers in a row.
    pub(super) columns: usize,
    /// What a number is kept as.
    pub(super) form: Form,
}

/// What a number is kept as.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Form {
    /// f32.
    Float,
    /// The code of this quantizer.
    Codes(Quantizer),
}

impl Form {
    /// Bytes of a number.
    pub(super) fn bytes(self) -> usize {
        match self {
            Form::Float => size_of::<f32>(),
            Form::Codes(_) => 1,
        }
    }
}

/// The integer part of a graph.
#[derive(Debug, Default)]
pub(super) struct Program {
    pub(super) buffers: Vec<Buffer>,
    /// In an order in which they can be run.
    pub(super) steps: Vec<Step>,
    /// Float values that come from elsewhere, and where they are put.
    pub(super) imports: Vec<(NodeId, BufferId)>,
    /// Float values that are needed elsewhere, and where they are.
    pub(super) exports: Vec<(NodeId, BufferId)>,
    /// Where the codes of fake quantizers are, by node.
    pub(super) codes: BTreeMap<NodeId, Place>,
}

/// Where the codes of a fake quantizer are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// In a buffer, in the order of the quantizer's value.
    Whole(BufferId),
    /// In a buffer, with the heads of a value that has them: as many, and of what size.
    Heads {
        buffer: BufferId,
        heads: usize,
        size: usize,
        /// As [`Heads::is_split`].
        is_split: bool,
        /// The value has positions last.
        is_turned: bool,
    },
    /// Nowhere but in the attention that ends in this node.
    Inside(NodeId),
}

/// One fused step.
#[derive(Debug)]
pub(super) struct Step {
    /// The last of the nodes that it computes.
    pub(super) node: NodeId,
    pub(super) work: Work,
    /// Where its result is kept, and how; as often as others need it.
    pub(super) results: Vec<BufferId>,
}

/// What a step computes.
#[derive(Debug)]
pub(super) enum Work {
    Linear(Linear),
    Attention(Box<Attention>),
    AddNorm(AddNorm),
    Embedding(Embedding),
    /// A float value, kept in another form.
    Quantize(BufferId),
}

/// `input @ weight + bias`, and then GELU.
#[derive(Debug)]
pub(super) struct Linear {
    /// Codes.
    pub(super) input: BufferId,
    pub(super) weight: Arc<Matrix>,
    /// What the sum of products in each column is multiplied by; 0 in padding.
    pub(super) scales: Vec<f32>,
    /// What is then added in each column; 0 in padding.
    pub(super) bias: Vec<f32>,
    /// Then takes the GELU.
    pub(super) gelu: bool,
}

/// Softmax of `query @ keyᵀ * scale / divisor + mask`, quantized, times `value`: head by head, and
/// the heads' results side by side.
#[derive(Debug)]
pub(super) struct Attention {
    pub(super) query: Heads,
    pub(super) key: Heads,
    pub(super) value: Heads,
    /// A float value of four axes, added to the scores.
    pub(super) mask: Option<NodeId>,
    /// What sums of products of queries with keys are multiplied by.
    pub(super) scale: f32,
    /// What scores are then changed by.
    pub(super) factor: Factor,
    /// Of the softmax.
    pub(super) probabilities: Quantizer,
    /// What sums of products of probabilities with values are multiplied by.
    pub(super) value_scale: f32,
    pub(super) heads: usize,
    pub(super) size: usize,
}

/// A number that the graph multiplies scores by, or divides them by. What it rounds is rounded.
#[derive(Clone, Copy, Debug)]
pub(super) enum Factor {
    Times(f32),
    Over(f32),
}

impl Factor {
    /// Divides by a number; multiplies, where that is the same to the bit and faster.
    pub(super) fn over(divisor: f32) -> Factor {
        let is_power_of_two = divisor.is_normal() && divisor.to_bits().trailing_zeros() >= 23;
        let inverse = 1.0 / divisor;
        if is_power_of_two && inverse.is_normal() { Factor::Times(inverse) } else { Factor::Over(divisor) }
    }
}

/// Codes of every head.
#[derive(Clone, Debug)]
pub(super) struct Heads {
    pub(super) buffer: BufferId,
    /// Rows are `[batch, heads, position]` with the numbers of one head; else they are
    /// `[batch, position]` with those of all heads side by side.
    pub(super) is_split: bool,
    /// The positions.
    pub(super) length: Dim,
    /// How many texts.
    pub(super) batch: Dim,
}

/// The layer norm of a value, or of a sum of two.
#[derive(Debug)]
pub(super) struct AddNorm {
    pub(super) addends: Vec<BufferId>,
    pub(super) norm: Norm,
}

/// A layer norm.
#[derive(Clone, Debug)]
pub(super) struct Norm {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
    pub(super) eps: f32,
}

/// The layer norm of a sum of rows of tables, added from left to right.
#[derive(Debug)]
pub(super) struct Embedding {
    pub(super) terms: Vec<Rows>,
    pub(super) norm: Norm,
}

/// Rows of a table.
#[derive(Debug)]
pub(super) struct Rows {
    /// The `gather`.
    pub(super) node: NodeId,
    pub(super) table: Table,
    /// Which rows: a value of whole numbers, of two axes.
    pub(super) ids: NodeId,
}

/// A matrix whose rows are read.
#[derive(Clone, Debug)]
pub(super) enum Table {
    /// f32 in one piece, on a CPU.
    Loaded(Tensor),
    Stored(Arc<checkpoint::Table>),
}

impl Table {
    /// How many rows there are.
    pub(super) fn rows(&self) -> usize {
        match self {
            Table::Loaded(table) => table.dims().first().copied().unwrap_or(0),
            Table::Stored(table) => table.rows(),
        }
    }
}

impl Work {
    /// The buffers that it reads.
    pub(super) fn reads(&self) -> Vec<BufferId> {
        match self {
            Work::Linear(linear) => vec![linear.input],
            Work::Attention(attention) => {
                [&attention.query, &attention.key, &attention.value].map(|heads| heads.buffer).to_vec()
            }
            Work::AddNorm(norm) => norm.addends.clone(),
            Work::Embedding(_) => Vec::new(),
            Work::Quantize(from) => vec![*from],
        }
    }

    /// The values that it reads from elsewhere as they are.
    pub(super) fn values(&self) -> Vec<NodeId> {
        match self {
            Work::Attention(attention) => attention.mask.into_iter().collect(),
            Work::Embedding(embedding) => embedding.terms.iter().map(|rows| rows.ids).collect(),
            _ => Vec::new(),
        }
    }
}
