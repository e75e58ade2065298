//! Training: a model's parameters are changed until its outputs are what records say is right, or what a
//! teacher says.
//!
//! [`Trainer`] makes one step after the other: batches of a [`Dataset`](crate::tasks::training::Dataset), the
//! loss of the spec or of a [`Teacher`], gradients, and an optimizer with a learning rate by [`Schedule`].
//! Whoever runs it evaluates, reports, and keeps a [`State`] between steps; nothing else here touches files.

mod best;
mod course;
mod distillation;
mod fault;
mod folder;
mod optimizer;
pub mod ranges;
mod schedule;
mod selection;
mod state;
mod trainer;

pub use best::improved;
pub use course::{Every, Length, Place};
pub use distillation::{Distillation, Student, Teacher, is_named};
pub use folder::{recover, replace};
pub use optimizer::{AdamW, AdamWOptions, Sgd, clipping, norm};
pub use schedule::{Decay, Schedule};
pub use selection::{decayed, frozen};
pub use state::{CHECKSUM, State};
pub use trainer::{Options, Step, Trainer};
