//! The largest magnitudes, exactly.

/// The largest magnitudes that were offered, as a multiset: which they are does not
/// depend on the order of the offers. Magnitudes are the bits of non-negative floats,
/// which order as the numbers do. Zeros are not kept.
#[derive(Clone, Debug)]
pub(super) struct Largest {
    /// How many are kept at most.
    keep: usize,
    /// Only what is above this can be among the largest.
    threshold: u32,
    /// Holds all of the largest, and at most as many others.
    kept: Vec<u32>,
}

impl Largest {
    pub(super) fn new(keep: usize) -> Largest {
        Largest { keep, threshold: if keep == 0 { u32::MAX } else { 0 }, kept: Vec::new() }
    }

    /// The same kind without magnitudes, for some that are then [merged](Largest::merge)
    /// with these: what cannot be among the largest here is passed over there.
    pub(super) fn fresh(&self) -> Largest {
        Largest { keep: self.keep, threshold: self.threshold, kept: Vec::new() }
    }

    /// From magnitudes that are the largest, at most `keep`.
    pub(super) fn from_sorted(keep: usize, kept: Vec<u32>) -> Largest {
        let threshold = if kept.len() < keep { 0 } else { kept.last().copied().unwrap_or(u32::MAX) };
        Largest { keep, threshold, kept }
    }

    /// What is not above this need not be offered.
    #[inline(always)]
    pub(super) fn threshold(&self) -> u32 {
        self.threshold
    }

    #[inline(always)]
    pub(super) fn offer(&mut self, magnitude: u32) {
        if magnitude > self.threshold {
            self.kept.push(magnitude);
            if self.kept.len() >= 2 * self.keep {
                self.shrink();
            }
        }
    }

    pub(super) fn merge(&mut self, other: &Largest) {
        other.kept.iter().for_each(|magnitude| self.offer(*magnitude));
    }

    /// Drops what is not among the largest.
    #[cold]
    fn shrink(&mut self) {
        let Some(last) = self.keep.checked_sub(1).filter(|last| *last < self.kept.len()) else { return };
        let (_, threshold, _) = self.kept.select_nth_unstable_by(last, |a, b| b.cmp(a));
        self.threshold = *threshold;
        self.kept.truncate(self.keep);
    }

    /// The largest, in descending order.
    pub(super) fn sorted(&self) -> Vec<u32> {
        let mut sorted = self.kept.clone();
        sorted.sort_unstable_by(|a, b| b.cmp(a));
        sorted.truncate(self.keep);
        sorted
    }
}
