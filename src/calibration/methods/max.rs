//! The largest magnitude.

use super::Seen;

pub(super) fn range(seen: &Seen) -> f64 {
    f64::from(seen.tally.counts.largest)
}
