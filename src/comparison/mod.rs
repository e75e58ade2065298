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

pub use codes::{Parting, Reasons, Rule, Seen, rounding};
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

    /// The first quantizer whose codes differ, both run as they are; or that has other codes altogether, in
    /// another shape.
    pub fn first_parting(&self) -> Option<&Finding> {
        self.quantizers.iter().find(|one| one.free.differ > 0 || one.their_shape.is_some())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parting(differ: u64, by_rounding: u64, farthest: f64) -> Parting {
        let reasons = Reasons { by_rounding, farthest, ..Reasons::default() };
        Parting { codes: 100, differ, reasons: Some(reasons) }
    }

    /// Two quantizers, of which the second parts, and an output that is 1% apart and next to nothing where it
    /// is computed from the same codes.
    fn avalanche() -> Comparison {
        let mut comparison = Comparison::default();
        for (name, free, given) in [("first", 0, 0), ("second", 1, 1), ("third", 50, 0)] {
            let finding = comparison.quantizer(name, &[10, 10]);
            finding.free.join(parting(free, free.min(1), 0.1 * free as f64));
            finding.given.get_or_insert_default().join(parting(given, given, 1e-6));
        }
        let output = comparison.output("logits", &[2, 3]);
        output.free.join(Difference { largest: 0.01, scale: 1.0 });
        output.given.get_or_insert_default().join(Difference { largest: 1e-7, scale: 1.0 });
        comparison
    }

    #[test]
    fn ties_alone_are_no_disagreement() {
        let comparison = avalanche();
        assert_eq!(comparison.first_parting().unwrap().name, "second");
        assert!(!comparison.agrees(1e-4) && comparison.agrees(0.02));
        assert!(comparison.agrees_but_for_ties(1e-4) && !comparison.agrees_but_for_ties(1e-8));
        let (free, given) = (comparison.free(), comparison.given().unwrap());
        assert_eq!((free.codes, free.differ, free.by_rounding, free.farthest), (300, 51, 2, 5.0));
        assert_eq!((given.differ, given.by_rounding, given.farthest), (1, 1, 1e-6));
        let apart: Vec<bool> = comparison.quantizers.iter().map(Finding::is_apart).collect();
        assert_eq!(apart, [false, true, false], "the third follows from the second");
    }

    #[test]
    fn anything_else_is() {
        let changes: [fn(&mut Comparison); 5] = [
            |c| c.quantizers[1].given.as_mut().unwrap().differ = 2,
            |c| c.quantizers[0].scales = Some((1.0, 2.0)),
            |c| c.quantizers[0].free.reasons.as_mut().unwrap().unexplained = 1,
            |c| c.quantizers[2].their_shape = Some(vec![1]),
            |c| c.outputs[0].their_shape = Some(vec![1]),
        ];
        for (at, change) in changes.into_iter().enumerate() {
            let mut comparison = avalanche();
            change(&mut comparison);
            assert!(!comparison.agrees_but_for_ties(1e-4), "{at}");
        }
        let mut comparison = avalanche();
        comparison.outputs[0].their_shape = Some(vec![1]);
        assert!(!comparison.agrees(1.0));
    }

    #[test]
    fn calls_add_up() {
        let mut comparison = avalanche();
        comparison.quantizer("second", &[10, 10]).free.join(parting(2, 0, 7.0));
        comparison.quantizer("second", &[9, 10]).free.join(parting(0, 0, 0.0));
        comparison.lacks("fourth");
        comparison.lacks("fourth");
        let second = &comparison.quantizers[1];
        assert_eq!((second.free.codes, second.free.differ), (300, 3));
        assert_eq!(
            (&second.shapes, second.free.reasons.unwrap().farthest),
            (&vec![vec![10, 10], vec![9, 10]], 7.0)
        );
        assert_eq!(comparison.missing, ["fourth"]);
    }
}
