//! What each quantizer saw, what its range costs, and what every method would have
//! chosen in its place.

use super::{Calibrator, outcome::observe_weights};
use crate::{
    calibration::weight_range,
    calibration::{Collector, Fault, Histogram, ParityHistogram, Quality, Request, Statistics, quality_of},
    failure::Failure,
    graph::{Graph, Quantizer},
    quant::{Calibration, RangeSource},
    ranges::{Ranges, constrain},
    session::Session,
};
use std::collections::{BTreeMap, BTreeSet};

/// The methods that are compared.
pub const METHODS: [Calibration; 4] =
    [Calibration::Max, Calibration::Percentile(99.99), Calibration::Entropy, Calibration::MeanSquaredError];

/// Bins of the histograms, at most.
pub const PICTURE_BINS: usize = 128;

/// What is known of one quantizer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Surveyed {
    /// How many values were seen.
    pub values: u64,
    /// The width of a bin, and how many magnitudes each bin holds.
    pub histogram: Option<(f64, Vec<u64>)>,
    /// What rounding to its range costs.
    pub quality: Option<Quality>,
    /// What each of [`METHODS`] would have chosen, and what rounding to that would cost.
    pub choices: Vec<(Option<Vec<f32>>, Option<Quality>)>,
}

/// Surveys the quantizers of the model's usual call whose range is not measured at
/// every call: those of weights from the checkpoint, the others from what was counted.
/// Those of which nothing is known are left out. What a method would have chosen is
/// held to the spec's ties and limits, as if all quantizers were calibrated by it.
/// `advance` is called for each quantizer whose methods were asked, which takes most of
/// the time.
///
/// # Errors
/// The checkpoint does not fit the spec.
pub fn survey(
    session: &mut Session,
    calibrator: Option<&Calibrator>,
    ranges: &Ranges,
    advance: &mut dyn FnMut(),
) -> Result<BTreeMap<String, Surveyed>, Failure> {
    let usual = BTreeSet::new();
    let graph = session.graph_with(&usual)?.into_inner();
    let mut survey = Survey { ranges, wished: Default::default(), found: BTreeMap::new() };
    let mut weights = BTreeSet::new();
    observe_weights(session, &usual, &mut |quantizer, weight| {
        weights.insert(quantizer.name.clone());
        let mut channels = Statistics::new(weight.channels);
        channels.add(weight.values, weight.inner);
        survey.wish(quantizer, |request| match request.method {
            Calibration::Percentile(_) => weight_range(weight.values, weight.channels, weight.inner, request),
            _ => channels.range(request),
        });
        let mut whole = Statistics::new(1);
        whole.add(weight.values, 1);
        survey.see(quantizer, weight.values.len() as u64, of_statistics(&whole));
        advance();
    })?;
    let others = || activations(&graph, &weights, calibrator);
    for (quantizer, collector) in others() {
        survey.wish(quantizer, |request| collector.range(request));
        let histogram = match collector {
            Collector::Canonical(statistics) => of_statistics(statistics),
            Collector::Parity(histogram) => of_parity(histogram),
        };
        survey.see(quantizer, collector.total().values, histogram);
        advance();
    }
    for wished in &mut survey.wished {
        constrain(&graph.quantizers, wished);
    }
    observe_weights(session, &usual, &mut |quantizer, weight| {
        let storage = &quantizer.scheme.storage;
        survey.cost(quantizer, &|amax| Some(quality_of(weight.values, weight.inner, amax, storage)));
    })?;
    for (quantizer, collector) in others() {
        survey.cost(quantizer, &|amax| match collector {
            Collector::Canonical(seen) => Some(seen.quality(amax, &quantizer.scheme.storage)),
            Collector::Parity(_) => None,
        });
    }
    Ok(survey.found)
}

/// The quantizers that are not of weights, and what was counted of them.
fn activations<'a>(
    graph: &'a Graph,
    weights: &'a BTreeSet<String>,
    calibrator: Option<&'a Calibrator>,
) -> impl Iterator<Item = (&'a Quantizer, &'a Collector)> {
    let others = graph.quantizers.iter().filter(|quantizer| {
        !weights.contains(&quantizer.name) && quantizer.scheme.range != RangeSource::Dynamic
    });
    others.filter_map(move |quantizer| Some((quantizer, calibrator?.of(&quantizer.name)?)))
}

struct Survey<'a> {
    ranges: &'a Ranges,
    /// What each method would choose.
    wished: [Ranges; METHODS.len()],
    found: BTreeMap<String, Surveyed>,
}

impl Survey<'_> {
    /// Asks every method; one that has no range for what was seen has none here.
    fn wish(&mut self, quantizer: &Quantizer, find: impl Fn(&Request) -> Result<Vec<f32>, Fault>) {
        for (method, wished) in METHODS.iter().zip(&mut self.wished) {
            let request = Request {
                method: method.clone(),
                storage: quantizer.scheme.storage,
                skip_zeros: false,
                limit: quantizer.limit,
            };
            if let Ok(range) = find(&request) {
                wished.insert(quantizer.name.clone(), range);
            }
        }
    }

    fn see(&mut self, quantizer: &Quantizer, values: u64, histogram: Option<(f64, Vec<u64>)>) {
        let surveyed = Surveyed { values, histogram, ..Surveyed::default() };
        self.found.insert(quantizer.name.clone(), surveyed);
    }

    /// Measures each range once.
    fn cost(&mut self, quantizer: &Quantizer, cost: &dyn Fn(&[f32]) -> Option<Quality>) {
        let Some(found) = self.found.get_mut(&quantizer.name) else { return };
        let cost = |amax: &[f32]| cost(&quantizer.scheme.used(amax));
        let own = self.ranges.get(&quantizer.name);
        found.quality = own.and_then(|own| cost(own));
        let mut known: Vec<(&[f32], Option<Quality>)> =
            own.map(|own| (own.as_slice(), found.quality)).into_iter().collect();
        for wished in &self.wished {
            let Some(range) = wished.get(&quantizer.name) else {
                found.choices.push((None, None));
                continue;
            };
            let measured = known.iter().find(|(known, _)| *known == range).map(|(_, quality)| *quality);
            let quality = measured.unwrap_or_else(|| cost(range));
            known.push((range, quality));
            found.choices.push((Some(range.clone()), quality));
        }
    }
}

/// The histogram of all channels together. Widths are powers of two, so that a bin of
/// one channel lies in one bin of the widest.
fn of_statistics(statistics: &Statistics) -> Option<(f64, Vec<u64>)> {
    let channels = || (0..statistics.channels()).filter_map(|channel| statistics.histogram(channel));
    let width = channels().map(|histogram| histogram.width).fold(0.0, f64::max);
    let mut counts = Vec::new();
    for histogram in channels() {
        counts.resize(counts.len().max(histogram.counts.len()), 0);
        for (at, count) in histogram.counts.iter().enumerate() {
            let into = (at as f64 * (histogram.width / width)) as usize;
            if let Some(sum) = counts.get_mut(into) {
                *sum += count;
            }
        }
    }
    (width > 0.0).then(|| Histogram { width, counts: &counts }.coarse(PICTURE_BINS))
}

/// Bins of equal width, the first of which begins at zero or nearly so.
fn of_parity(histogram: &ParityHistogram) -> Option<(f64, Vec<u64>)> {
    let counts = histogram.counts();
    let width = histogram.edges().last()? / counts.len() as f64;
    (width > 0.0 && width.is_finite()).then(|| Histogram { width, counts }.coarse(PICTURE_BINS))
}
