//! How a range is chosen from what was seen, one method a file.

mod entropy;
mod max;
mod mean_squared_error;
pub(super) mod percentile;

use super::{
    Fault, Statistics,
    tally::{Counts, Tally},
};
use crate::quant::{Calibration, Storage};
use rayon::prelude::*;

/// Which range is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// How it is chosen.
    pub method: Calibration,
    /// The codes it is for.
    pub storage: Storage,
    /// Leaves out values that are exactly zero.
    pub skip_zeros: bool,
    /// No range is larger than this.
    pub limit: Option<f64>,
}

impl Statistics {
    /// The range of each channel. A channel of zeros alone has range 0 where others
    /// have not.
    ///
    /// # Errors
    ///
    /// See [`Fault`]; the first of those that holds for any channel.
    pub fn range(&self, request: &Request) -> Result<Vec<f32>, Fault> {
        self.refuse(&request.storage)?;
        Ok(self.tallies.par_iter().map(|tally| range(tally, request)).collect())
    }

    /// Says why there is no range for such codes.
    fn refuse(&self, storage: &Storage) -> Result<(), Fault> {
        refuse(&self.total(), storage)
    }
}

/// Says why values of which this was counted have no range for such codes.
pub(super) fn refuse(total: &Counts, storage: &Storage) -> Result<(), Fault> {
    let unsigned = matches!(storage, Storage::Integer { signed: false, .. });
    let fault = match total {
        Counts { values: 0, .. } => Fault::NothingSeen,
        Counts { nan: 1.., .. } => Fault::NotANumber { count: total.nan },
        Counts { infinite: 1.., .. } => Fault::Infinite { count: total.infinite },
        _ if total.largest == 0.0 => Fault::OnlyZeros,
        Counts { negative: 1.., .. } if unsigned => {
            Fault::Negative { count: total.negative, least: total.least }
        }
        _ => return Ok(()),
    };
    Err(fault)
}

/// What a method is given: a channel with values that are not zero.
struct Seen<'a> {
    tally: &'a Tally,
    skip_zeros: bool,
}

impl Seen<'_> {
    /// The histogram up to its last bin that is not empty, without values that are
    /// exactly zero: every code has them at no loss.
    fn used(&self) -> Vec<u64> {
        let used = self.tally.bins.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
        let mut counts = self.tally.bins.get(..used).unwrap_or_default().to_vec();
        if let Some(first) = counts.first_mut() {
            *first = first.saturating_sub(self.tally.counts.zeros);
        }
        counts
    }
}

fn range(tally: &Tally, request: &Request) -> f32 {
    if tally.counts.largest == 0.0 {
        return 0.0;
    }
    let seen = Seen { tally, skip_zeros: request.skip_zeros };
    let limit = request.limit.unwrap_or(f64::INFINITY);
    let range = match request.method {
        Calibration::Max => max::range(&seen),
        Calibration::Percentile(percent) => percentile::range(&seen, percent),
        Calibration::Entropy => entropy::range(&seen, &request.storage, limit),
        Calibration::MeanSquaredError => mean_squared_error::range(&seen, &request.storage, limit),
    };
    range.min(limit) as f32
}
