//! The range of each quantizer, and what it costs.

use super::{Calibrator, axis, with_values};
use crate::{
    calibration::{Collector, Fault, Quality, Request, quality_of, weight_range},
    checkpoint::Range,
    codes,
    diagnostic::{Diagnostic, Diagnostics},
    failure::Failure,
    graph::{Graph, Quantizer},
    quant::{Calibration, RangeSource},
    ranges::{Ranges, constrain},
    session::Session,
    span::Span,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How ranges are chosen where the spec leaves it open.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    /// In place of the spec's method, for everything but weights.
    pub method: Option<Calibration>,
    /// Leaves out values that are exactly zero, for everything but weights.
    pub skip_zeros: bool,
}

/// What calibration found.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// By quantizer, as a state dict holds them.
    pub ranges: BTreeMap<String, Range>,
    /// One for each quantizer whose range is not measured at every call, in the
    /// graph's order.
    pub rows: Vec<Row>,
}

/// One quantizer and what was found of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Its state-dict path.
    pub name: String,
    /// How the range was chosen: `percentile(99.99)`, `fixed`.
    pub method: String,
    /// What the spec demands besides: `tie`, `limit`, if it changed the range.
    pub changed_by: Option<String>,
    /// The magnitude of the largest code.
    pub amax: Amax,
    /// How many values were seen.
    pub values: u64,
    /// What rounding costs; `None` where only what pytorch-quantization counts is known.
    pub quality: Option<Quality>,
}

/// A range for people.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Amax {
    /// One for the tensor.
    One(f32),
    /// One for each channel.
    Channels {
        /// How many.
        channels: usize,
        /// The smallest.
        least: f32,
        /// The largest.
        largest: f32,
    },
}

impl Outcome {
    /// Chooses the range of every quantizer of the model's usual call, with what other
    /// inputs the calibrator was shown: of weights from the checkpoint, of everything else from what the calibrator counted.
    /// Then ties and limits are held to.
    ///
    /// # Errors
    /// Quantizers that are on and have no range, all together, at their rules; or
    /// the weights cannot be read.
    pub fn of(session: &mut Session, calibrator: &Calibrator, choice: &Choice) -> Result<Outcome, Failure> {
        let graph = session.graph_with(calibrator.inputs())?.into_inner();
        let mut found = Found::default();
        let mut weights = BTreeSet::new();
        observe_weights(session, calibrator.inputs(), &mut |quantizer, weight| {
            weights.insert(quantizer.name.clone());
            let find =
                |request: &Request| weight_range(weight.values, weight.channels, weight.inner, request);
            found.choose(quantizer, &method(quantizer, true, choice), find);
        })?;
        for quantizer in graph.quantizers.iter().filter(|quantizer| !weights.contains(&quantizer.name)) {
            let collector = calibrator.of(&quantizer.name);
            let find = |request: &Request| {
                let collector = collector.ok_or(Fault::NothingSeen)?;
                let (counted, wanted) = (collector.channels(), channels(&graph, quantizer));
                match wanted.filter(|wanted| *wanted != counted) {
                    Some(wanted) => Err(Fault::Channels { counted, wanted }),
                    None => collector.range(request),
                }
            };
            found.choose(quantizer, &method(quantizer, false, choice), find);
        }
        found.refuse()?;
        let changed = constrain(&graph.quantizers, &mut found.ranges);

        let mut rows = BTreeMap::new();
        let mut add = |quantizer: &Quantizer, is_weight: bool, values: u64, cost: Cost<'_>| {
            let Some(amax) = found.ranges.get(&quantizer.name) else { return };
            let method = method(quantizer, is_weight, choice);
            let changed = changed.contains(&quantizer.name.as_str());
            let quality = cost(&quantizer.scheme.used(amax));
            let row = row(quantizer, amax, &method, changed, values, quality);
            rows.insert(quantizer.name.clone(), row);
        };
        observe_weights(session, calibrator.inputs(), &mut |quantizer, weight| {
            let storage = &quantizer.scheme.storage;
            let cost = |amax: &[f32]| Some(quality_of(weight.values, weight.inner, amax, storage));
            add(quantizer, true, weight.values.len() as u64, &cost);
        })?;
        for quantizer in graph.quantizers.iter().filter(|quantizer| !weights.contains(&quantizer.name)) {
            let collector = calibrator.of(&quantizer.name);
            let values = collector.map_or(0, |collector| collector.total().values);
            let cost = |amax: &[f32]| match collector {
                Some(Collector::Canonical(seen)) => Some(seen.quality(amax, &quantizer.scheme.storage)),
                _ => None,
            };
            add(quantizer, false, values, &cost);
        }
        let range = |quantizer: &Quantizer| {
            let amax = found.ranges.get(&quantizer.name)?.clone();
            let shape = shape(&graph, quantizer, amax.len());
            Some((quantizer.name.clone(), Range { shape, amax }))
        };
        let ranges = graph.quantizers.iter().filter_map(range).collect();
        let rows = graph.quantizers.iter().filter_map(|quantizer| rows.remove(&quantizer.name)).collect();
        Ok(Outcome { ranges, rows })
    }
}

/// How a quantizer's range is chosen.
struct Method {
    /// `None`: it is written in the spec.
    calibration: Option<Calibration>,
    skip_zeros: bool,
}

fn method(quantizer: &Quantizer, is_weight: bool, choice: &Choice) -> Method {
    let own = match &quantizer.scheme.range {
        RangeSource::Calibrated(method) | RangeSource::Learned(method) => Some(method.clone()),
        RangeSource::Fixed(_) | RangeSource::Dynamic => None,
    };
    let instead = choice.method.clone().filter(|_| !is_weight);
    let calibration = own.map(|own| instead.unwrap_or(own));
    Method { calibration, skip_zeros: choice.skip_zeros && !is_weight }
}

#[derive(Default)]
struct Found {
    ranges: Ranges,
    /// Quantizers without a range, by rule and reason.
    faults: BTreeMap<(Span, String), (Fault, Vec<String>)>,
}

impl Found {
    fn choose(
        &mut self,
        quantizer: &Quantizer,
        method: &Method,
        find: impl FnOnce(&Request) -> Result<Vec<f32>, Fault>,
    ) {
        let range = match (&quantizer.scheme.range, &method.calibration) {
            (RangeSource::Fixed(amax), _) => Ok(vec![*amax as f32]),
            (_, None) => return,
            (_, Some(calibration)) => find(&Request {
                method: calibration.clone(),
                storage: quantizer.scheme.storage,
                skip_zeros: method.skip_zeros,
                limit: quantizer.limit,
            }),
        };
        match range.and_then(magnitudes) {
            Ok(range) => {
                self.ranges.insert(quantizer.name.clone(), range);
            }
            Err(fault) => {
                let key = (quantizer.rule, fault.to_string());
                self.faults.entry(key).or_insert((fault, Vec::new())).1.push(quantizer.name.clone());
            }
        }
    }

    /// One problem for each rule and reason.
    fn refuse(&self) -> Result<(), Failure> {
        let mut problems = Diagnostics::default();
        for ((rule, _), (fault, names)) in &self.faults {
            let name = names.first().map_or("", String::as_str);
            let mut problem =
                Diagnostic::error(codes::NO_RANGE_FOUND, *rule, format!("`{name}` has no range: {fault}"))
                    .mark("attached here")
                    .help(mend(fault));
            if names.len() > 1 {
                problem = problem.note(format!("so it is with {} quantizers of this rule", names.len()));
            }
            problems.push(problem);
        }
        if problems.is_empty() { Ok(()) } else { Err(Failure::Diagnostics(problems)) }
    }
}

/// Refuses what no quantizer can have as its range.
fn magnitudes(ranges: Vec<f32>) -> Result<Vec<f32>, Fault> {
    match ranges.iter().find(|range| !(0.0..=f32::MAX).contains(*range)) {
        Some(range) => Err(Fault::NoMagnitude { range: *range }),
        None => Ok(ranges),
    }
}

/// What to do about a quantizer without a range.
fn mend(fault: &Fault) -> &'static str {
    match fault {
        Fault::Negative { .. } => "make it signed (`int8`), or attach it where nothing is negative",
        Fault::NotANumber { .. } | Fault::Infinite { .. } => {
            "look for damaged weights, and for masks that hide every token of a text"
        }
        Fault::Channels { .. } => "observe the data anew: another spec was given when it was observed",
        Fault::Undefined { .. } | Fault::NoMagnitude { .. } => "choose another method",
        Fault::Parity(_) => "calibrate without `--parity`",
        Fault::NothingSeen | Fault::OnlyZeros => {
            "calibrate with data that reaches it, give it a fixed range (`amax: 1.0`), or attach none there"
        }
    }
}

/// A weight, as `[outer, channels, inner]`.
pub(super) struct Weight<'a> {
    pub(super) values: &'a [f32],
    pub(super) channels: usize,
    pub(super) inner: usize,
}

/// What a range costs.
type Cost<'a> = &'a dyn Fn(&[f32]) -> Option<Quality>;

/// Shows each quantizer of a weight what it sees.
pub(super) fn observe_weights(
    session: &mut Session,
    inputs: &BTreeSet<String>,
    take: &mut dyn FnMut(&Quantizer, Weight<'_>),
) -> Result<(), Failure> {
    session.observe_weights(inputs, &mut |quantizers, value| {
        for quantizer in quantizers {
            let axis = axis(quantizer, value.rank());
            let channels = axis.and_then(|axis| value.dims().get(axis).copied()).unwrap_or(1);
            let inner = axis.map_or(1, |axis| value.dims().iter().skip(axis + 1).product());
            with_values(value, axis.is_none(), |values| take(quantizer, Weight { values, channels, inner }))?;
        }
        Ok(())
    })
}

fn row(
    quantizer: &Quantizer,
    amax: &[f32],
    method: &Method,
    changed: bool,
    values: u64,
    quality: Option<Quality>,
) -> Row {
    let reasons = [(quantizer.tie.is_some(), "tie"), (quantizer.limit.is_some(), "limit")];
    let reasons: Vec<&str> = reasons.iter().filter(|(holds, _)| *holds).map(|(_, name)| *name).collect();
    Row {
        name: quantizer.name.clone(),
        method: method.calibration.as_ref().map_or_else(|| "fixed".to_owned(), Calibration::to_string),
        changed_by: changed.then(|| reasons.join(" and ")),
        amax: Amax::of(amax),
        values,
        quality,
    }
}

impl Amax {
    /// From the range of each channel.
    pub fn of(amax: &[f32]) -> Amax {
        match amax {
            [only] => Amax::One(*only),
            all => Amax::Channels {
                channels: all.len(),
                least: all.iter().copied().fold(f32::INFINITY, f32::min),
                largest: all.iter().copied().fold(0.0, f32::max),
            },
        }
    }
}

/// How many ranges a quantizer has; `None` where its site does not say.
fn channels(graph: &Graph, quantizer: &Quantizer) -> Option<usize> {
    let shape = &graph.sites.get(quantizer.site)?.ty.shape;
    match axis(quantizer, shape.len()) {
        None => Some(1),
        Some(axis) => usize::try_from(shape.get(axis)?.as_known()?).ok(),
    }
}

/// The shape of a range in the state dict: `[]`, or the site's with every axis but
/// the kept one 1. A single channel is `[]`, as pytorch-quantization squeezes it.
fn shape(graph: &Graph, quantizer: &Quantizer, count: usize) -> Vec<usize> {
    let rank = graph.sites.get(quantizer.site).map_or(0, |site| site.ty.rank());
    match axis(quantizer, rank).filter(|_| count > 1) {
        Some(axis) => (0..rank).map(|at| if at == axis { count } else { 1 }).collect(),
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_finite_and_not_negative() {
        assert_eq!(magnitudes(vec![0.0, 1.5, f32::MAX]), Ok(vec![0.0, 1.5, f32::MAX]));
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1e-9] {
            assert!(matches!(magnitudes(vec![1.0, wrong]), Err(Fault::NoMagnitude { .. })), "{wrong}");
        }
    }
}
