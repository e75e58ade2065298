//! What training needs beside the model: optimizers, learning rates, which parameters
//! change, and a state to go on from.

mod optimizer;
mod schedule;
mod selection;

pub use optimizer::{AdamW, AdamWOptions, Sgd, clipping, norm};
pub use schedule::{Decay, Schedule};
pub use selection::{decayed, frozen};
