//! What training needs beside the model: optimizers, learning rates, which parameters
//! change, and a state to go on from.

mod optimizer;
mod selection;

pub use optimizer::{AdamW, AdamWOptions, Sgd, clipping, norm};
pub use selection::decayed;
