//! How the learning rate changes in the course of training.

use std::f64::consts::PI;

/// What becomes of the learning rate after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decay {
    /// It falls to 0 evenly.
    Linear,
    /// It falls to 0 as half a cosine does, slowly at both ends.
    Cosine,
    /// It stays.
    Constant,
}

/// The learning rate of each step: it rises evenly from 0 to its peak, and then decays,
/// as in HuggingFace's `get_linear_schedule_with_warmup` and its kin.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    decay: Decay,
    peak: f64,
    warmup: u64,
    total: u64,
}

impl Schedule {
    /// A schedule of `total` steps, of which the share `warmup`, from 0 to 1 and rounded down
    /// to whole steps, is the rise to `peak`: a run of few steps has none, since the first
    /// step of a rise does nothing.
    pub fn new(decay: Decay, peak: f64, warmup: f64, total: u64) -> Schedule {
        // What is a whole number but for the rounding of the product is one.
        let warmup = (warmup.clamp(0.0, 1.0) * total as f64 + 1e-6).floor() as u64;
        Schedule { decay, peak, warmup, total }
    }

    /// The learning rate of a step; the first of a rise is 0. After the last step it is what it is at
    /// the end.
    pub fn rate(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.peak * step as f64 / self.warmup as f64;
        }
        let after = self.total.saturating_sub(self.warmup).max(1) as f64;
        let progress = ((step - self.warmup) as f64 / after).min(1.0);
        self.peak
            * match self.decay {
                Decay::Linear => 1.0 - progress,
                Decay::Cosine => 0.5 * (1.0 + (PI * progress).cos()),
                Decay::Constant => 1.0,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(decay: Decay, warmup: f64, total: u64, steps: impl IntoIterator<Item = u64>) -> Vec<f64> {
        let schedule = Schedule::new(decay, 8.0, warmup, total);
        steps.into_iter().map(|step| (schedule.rate(step) * 1e6).round() / 1e6).collect()
    }

    #[test]
    fn as_in_huggingface() {
        // `scheduler.get_last_lr()` before each step, of 2 steps of warm-up and 10 in all.
        let linear = [0.0, 4.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 1.0, 0.0];
        assert_eq!(rates(Decay::Linear, 0.2, 10, 0..=10), linear);
        let cosine = [0.0, 4.0, 8.0, 7.695518, 6.828427, 5.530734, 4.0, 2.469266, 1.171573, 0.304482, 0.0];
        assert_eq!(rates(Decay::Cosine, 0.2, 10, 0..=10), cosine);
        assert_eq!(rates(Decay::Constant, 0.2, 10, [0, 1, 2, 9, 10]), [0.0, 4.0, 8.0, 8.0, 8.0]);
    }

    #[test]
    fn the_ends_of_what_can_be_asked_for() {
        assert_eq!(rates(Decay::Linear, 0.0, 4, [0, 3, 4, 99]), [8.0, 2.0, 0.0, 0.0]);
        assert_eq!(rates(Decay::Linear, 1.0, 4, [0, 3, 4]), [0.0, 6.0, 8.0]);
        assert_eq!(rates(Decay::Linear, 0.01, 10, [0, 1]), [8.0, 7.2], "a part of a step is none");
        assert_eq!(rates(Decay::Linear, 0.29, 100, [28, 29]), [7.724138, 8.0], "0.29 * 100 is below 29");
        for decay in [Decay::Linear, Decay::Cosine, Decay::Constant] {
            assert_eq!(rates(decay, f64::NAN, 0, [0]), [8.0]);
        }
    }
}
