//! One model in two runtimes: how far their outputs are apart, and where their codes part.
//!
//! QuantizeLinear is a function of the float before it. Where two runtimes compute the same floats up to
//! rounding, their codes are the same but for numbers that lie at a tie between two codes, to within
//! rounding. One such code changes every number after it by a little, and so more codes later on; that is
//! why each quantizer is looked at twice. In the run as it is ([`Finding::free`]), the first quantizer whose
//! codes differ shows where the two part. Given their codes before it ([`Finding::given`]), what a quantizer
//! sees is apart by rounding alone, and so are its codes, unless the two compute different things.
//!
//! Here is what is found of tensors, as slices; nothing here runs a model.

mod codes;
mod difference;

pub use codes::{Parting, ROUNDING, Reasons, Rule, Seen};
pub use difference::{Difference, Top};

use serde::Serialize;

/// What was found of a pair of outputs, over all calls.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// The shapes of ours, each once.
    pub shapes: Vec<Vec<usize>>,
    /// Theirs, where it is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub their_shape: Option<Vec<usize>>,
    /// How far they are apart.
    pub free: Difference,
    /// How far they are apart where ours is computed from their codes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given: Option<Difference>,
    /// Where the largest number of each row is.
    pub top: Top,
}

/// What was found of a quantizer that both have, over all calls.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Finding {
    /// Its name.
    pub name: String,
    /// The shapes of what it sees, each once.
    pub shapes: Vec<Vec<usize>>,
    /// Theirs, where it is another; codes are not compared then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub their_shape: Option<Vec<usize>>,
    /// Scales, ours and theirs, where they are not the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scales: Option<(f32, f32)>,
    /// How their codes part, both run as they are.
    pub free: Parting,
    /// How they part where ours is computed from their codes before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given: Option<Parting>,
}

/// Everything that was found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Comparison {
    /// Calls compared.
    pub calls: u64,
    /// Outputs that both have, in our order.
    pub outputs: Vec<Output>,
    /// Quantizers of values that depend on the inputs and that both have, in the graph's order.
    pub quantizers: Vec<Finding>,
    /// Quantizers of ours that they do not have, by name.
    pub missing: Vec<String>,
}

/// The sum over all quantizers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Total {
    /// Codes compared.
    pub codes: u64,
    /// Of them, those that differ.
    pub differ: u64,
    /// Of these, those whose inputs are apart by rounding alone.
    pub by_rounding: u64,
    /// Codes of theirs that do not follow from what they saw.
    pub unexplained: u64,
    /// The largest distance of a differing code's input from the tie, in steps.
    pub farthest: f64,
}

impl Finding {
    /// Something of it is not the same in both, and it does not come from quantizers before it.
    pub fn is_apart(&self) -> bool {
        let unexplained = self.free.reasons.is_some_and(|reasons| reasons.unexplained > 0);
        let differ = self.given.unwrap_or(self.free).differ;
        self.their_shape.is_some() || self.scales.is_some() || unexplained || differ > 0
    }
}

impl Comparison {
    /// What is known of an output.
    pub fn output(&mut self, name: &str, shape: &[usize]) -> &mut Output {
        let new = || Output { name: name.to_owned(), ..Output::default() };
        let known = place(&mut self.outputs, |known| known.name == name, new);
        add_shape(&mut known.shapes, shape);
        known
    }

    /// What is known of a quantizer.
    pub fn quantizer(&mut self, name: &str, shape: &[usize]) -> &mut Finding {
        let new = || Finding { name: name.to_owned(), ..Finding::default() };
        let known = place(&mut self.quantizers, |known| known.name == name, new);
        add_shape(&mut known.shapes, shape);
        known
    }

    /// Notes a quantizer that they do not have.
    pub fn lacks(&mut self, name: &str) {
        place(&mut self.missing, |known| known == name, || name.to_owned());
    }

    /// The first quantizer whose codes differ, both run as they are.
    pub fn first_parting(&self) -> Option<&Finding> {
        self.quantizers.iter().find(|quantizer| quantizer.free.differ > 0)
    }

    /// The sum over all quantizers, both run as they are.
    pub fn free(&self) -> Total {
        total(self.quantizers.iter().map(|quantizer| &quantizer.free))
    }

    /// The sum over all quantizers, ours given their codes.
    pub fn given(&self) -> Option<Total> {
        let given = self.quantizers.iter().filter_map(|quantizer| quantizer.given.as_ref());
        self.quantizers.iter().any(|quantizer| quantizer.given.is_some()).then(|| total(given))
    }

    /// Every output has their shape, and differs by at most this share of its scale.
    pub fn agrees(&self, tolerance: f64) -> bool {
        self.outputs.iter().all(|output| output.their_shape.is_none() && output.free.relative() <= tolerance)
    }

    /// The same of outputs computed from their codes, and every code differs by rounding alone: what is apart
    /// of the outputs comes from numbers that lie at a tie.
    pub fn agrees_but_for_ties(&self, tolerance: f64) -> bool {
        let same_outputs = self.outputs.iter().all(|output| {
            output.their_shape.is_none() && output.given.is_some_and(|given| given.relative() <= tolerance)
        });
        let same_codes = self.quantizers.iter().all(|quantizer| {
            let rounding = |given: Parting| given.differ == 0 || given.is_rounding();
            quantizer.their_shape.is_none()
                && quantizer.scales.is_none()
                && quantizer.given.is_some_and(rounding)
        });
        same_outputs && same_codes && self.free().unexplained == 0
    }
}

fn total<'a>(partings: impl Iterator<Item = &'a Parting>) -> Total {
    let mut total = Total::default();
    for parting in partings {
        let reasons = parting.reasons.unwrap_or_default();
        total.codes += parting.codes;
        total.differ += parting.differ;
        total.by_rounding += reasons.by_rounding;
        total.unexplained += reasons.unexplained;
        total.farthest = total.farthest.max(reasons.farthest);
    }
    total
}

fn add_shape(shapes: &mut Vec<Vec<usize>>, shape: &[usize]) {
    if !shapes.iter().any(|known| known == shape) {
        shapes.push(shape.to_owned());
    }
}

/// The one that is sought, or a new one at the end.
fn place<T>(list: &mut Vec<T>, sought: impl Fn(&T) -> bool, new: impl FnOnce() -> T) -> &mut T {
    let at = list.iter().position(sought).unwrap_or_else(|| {
        list.push(new());
        list.len() - 1
    });
    // Found there, or just put there.
    &mut list[at]
}
