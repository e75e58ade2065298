//! How long a run is, and how far it has come.

use crate::{failure::Failure, tasks::training::Dataset};

/// The times that a run can go through its data; more last too long for anyone.
const MOST_EPOCHS: f64 = 1e4;

/// How long a run is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Length {
    /// So many times through the data; a part of a time is rounded up to whole steps.
    Epochs(f64),
    /// So many steps of the optimizer.
    Steps(u64),
}

impl Length {
    /// The steps of a run on this data, each of up to `accumulate` batches. An epoch ends with
    /// a step, of fewer batches where there are no more.
    ///
    /// # Errors
    /// It is no number of steps.
    pub fn steps(self, data: &Dataset<'_>, accumulate: usize) -> Result<u64, Failure> {
        let steps = match self {
            Length::Steps(steps) => steps,
            Length::Epochs(epochs) => {
                if !(0.0..=MOST_EPOCHS).contains(&epochs) {
                    return Err(Failure::usage(format!("{epochs} epochs cannot be counted"))
                        .help("give `--epochs` a number up to 10000, or `--steps`"));
                }
                let steps = |batches: usize| batches.div_ceil(accumulate.max(1)) as u64;
                let whole = epochs.floor() as u64;
                let (before, last) = match data.batches_each() {
                    Some(each) => (whole * steps(each), steps(each)),
                    None => {
                        let steps = |epoch| steps(data.epoch(epoch).len());
                        ((0..whole).map(steps).sum(), steps(whole))
                    }
                };
                // What is a whole number but for the rounding of the product is one.
                before + (epochs.fract() * last as f64 - 1e-6).ceil() as u64
            }
        };
        if steps == 0 {
            return Err(Failure::usage("a run has at least one step"));
        }
        Ok(steps)
    }
}

/// How far a run has come: what is next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Steps made.
    pub step: u64,
    /// Epochs that are over.
    pub epoch: u64,
    /// Batches of this epoch that are done.
    pub batch: usize,
}

/// When something is done that is done again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    /// After so many steps.
    Steps(u64),
    /// At the end of each epoch.
    Epoch,
}

impl Every {
    /// It is due after the step that led here; always after the last.
    pub fn is_due(self, place: Place, total: u64) -> bool {
        let due = match self {
            Every::Steps(steps) => place.step.is_multiple_of(steps.max(1)),
            Every::Epoch => place.batch == 0,
        };
        place.step > 0 && (due || place.step >= total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_again_and_again_is_done_at_the_end_too() {
        let due = |every: Every| -> Vec<u64> {
            let place = |step: u64| Place { step, epoch: step / 3, batch: step as usize % 3 };
            (0..=7).filter(|step| every.is_due(place(*step), 7)).collect()
        };
        assert_eq!(due(Every::Steps(2)), [2, 4, 6, 7]);
        assert_eq!(due(Every::Epoch), [3, 6, 7]);
        assert_eq!(due(Every::Steps(100)), [7]);
    }
}
