//! What training needs beside the model: optimizers, learning rates, which parameters
//! change, and a state to go on from.

mod folder;
mod optimizer;
mod schedule;
mod selection;
mod state;

pub use folder::{recover, replace};
pub use optimizer::{AdamW, AdamWOptions, Sgd, clipping, norm};
pub use schedule::{Decay, Schedule};
pub use selection::{decayed, frozen};
pub use state::State;
