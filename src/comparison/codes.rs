//! The codes that two runtimes make of what a quantizer sees, and why they differ.

use super::difference::{Difference, magnitude};
use crate::{
    quant::{
        Mode, RangeSource, Scheme, Storage,
        codes::{Codes, Grid, e4m3},
    },
    types::DType,
};
use serde::Serialize;

/// How far two floats may be apart by rounding alone, as a share of the largest magnitude beside them. Of the
/// 24 bits of f32, sums as long as a BERT's rows lose up to eight when they are computed in another order:
/// `2^-16`. f16 and bf16 have 11 and 8, and their sums are computed in f32: it is the last two that are lost.
pub fn rounding(dtype: DType) -> f32 {
    match dtype {
        DType::F16 => 1.0 / 512.0,
        DType::BF16 => 1.0 / 64.0,
        _ => 1.0 / 65_536.0,
    }
}

/// How a quantizer makes codes: ONNX's rule with its scales.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    codes: Codes,
    /// One, or one for each channel.
    grids: Vec<Grid>,
    /// How many numbers in a row have one channel.
    inner: usize,
}

/// What a quantizer sees, and the number that it makes of each.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// The numbers before; `None` where nobody knows them.
    pub input: Option<&'a [f32]>,
    /// The numbers of the codes.
    pub output: &'a [f32],
}

/// How the codes of two runtimes part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Parting {
    /// Codes compared.
    pub codes: u64,
    /// Of them, those that differ.
    pub differ: u64,
    /// What is known of why.
    pub reasons: Option<Reasons>,
}

/// Why codes differ, as far as the numbers before them tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Reasons {
    /// Codes of theirs, differing or not, that QuantizeLinear does not make of what they saw.
    pub unexplained: u64,
    /// Differing codes whose two inputs are apart by [`rounding`] alone, one on either side of the tie
    /// between the codes.
    pub by_rounding: u64,
    /// The largest distance of an input from the tie between its two differing codes, in steps from one
    /// code to the next.
    pub farthest: f64,
    /// How far apart the inputs are.
    pub input: Difference,
}

impl Rule {
    /// A quantizer with the range that it has: one number or one for each channel, or twice as many, the
    /// least first and then the largest, where they are learned. `inner` is how many numbers in a row have
    /// one channel.
    pub fn new(scheme: &Scheme, range: &[f32], inner: usize) -> Rule {
        let codes = codes(scheme);
        let grids = match scheme.range {
            RangeSource::Learned(_) => {
                let (low, high) = range.split_at(range.len() / 2);
                low.iter().zip(high).map(|(low, high)| codes.clipped(*low, *high)).collect()
            }
            _ => scheme.used(range).into_iter().map(|amax| codes.grid(amax)).collect(),
        };
        Rule { codes, grids, inner: inner.max(1) }
    }

    /// A quantizer that measures each of `channels` in what it sees.
    pub fn measured(scheme: &Scheme, input: &[f32], channels: usize, inner: usize) -> Rule {
        let mut range = vec![0.0_f32; channels.max(1)];
        for (at, run) in input.chunks(inner.max(1)).enumerate() {
            if let Some(most) = range.get_mut(at % channels.max(1)) {
                *most = run.iter().fold(*most, |most, value| most.max(value.abs()));
            }
        }
        Rule::new(&Scheme { range: RangeSource::Dynamic, ..scheme.clone() }, &range, inner)
    }

    /// The same with other scales, as many as it has or one for all. The least scale that there is, and
    /// less, is 0: runtimes refuse 0 itself.
    pub fn with_scales(&self, scales: &[f32]) -> Rule {
        let scales = scales.iter().cycle();
        let other = |(grid, scale): (&Grid, &f32)| match *scale {
            none if none <= f32::MIN_POSITIVE => Grid { into: f32::INFINITY, back: 0.0, ..*grid },
            scale => Grid { into: scale, back: scale, ..*grid },
        };
        Rule { grids: self.grids.iter().zip(scales).map(other).collect(), ..self.clone() }
    }

    /// The scale of each channel: what its code 1 stands for.
    pub fn scales(&self) -> Vec<f32> {
        self.grids.iter().map(|grid| grid.back).collect()
    }

    /// The grid of each number, in order.
    fn along(&self) -> impl Iterator<Item = Grid> {
        self.grids.iter().flat_map(|grid| std::iter::repeat_n(*grid, self.inner)).cycle()
    }

    /// The numbers as far as codes tell them apart: those beyond the outermost codes, or a learned range,
    /// brought there, as some models do before they quantize.
    fn brought(&self, input: &[f32]) -> Vec<f32> {
        let within = |value: f32, low: f32, high: f32| match value {
            above if above > high => high,
            below if below < low => low,
            inside => inside,
        };
        let bring = |(value, grid): (&f32, Grid)| {
            let value = within(*value, grid.low, grid.high);
            within(value, self.codes.least * grid.back, self.codes.largest * grid.back)
        };
        input.iter().zip(self.along()).map(bring).collect()
    }

    /// The code of a number that a quantizer made.
    fn code(&self, output: f32, grid: Grid) -> f32 {
        let scaled = output / grid.into;
        if self.codes.float { e4m3(scaled) } else { scaled.round_ties_even() }
    }
}

/// ONNX's codes, whatever the mode: of the others, only those without the most negative code differ.
fn codes(scheme: &Scheme) -> Codes {
    let storage = match (scheme.storage, scheme.mode) {
        (Storage::Integer { bits, signed, .. }, Mode::NvNarrow) => {
            Storage::Integer { bits, signed, narrow: true }
        }
        (storage, _) => storage,
    };
    Codes::new(&storage, true)
}

impl Parting {
    /// Of what two runtimes make, each by its own rule, where floats are rounded by as much as [`rounding`]
    /// says.
    pub fn of(ours: (&Rule, Seen<'_>), theirs: (&Rule, Seen<'_>), rounding: f32) -> Parting {
        let mut found = Parting { codes: ours.1.output.len() as u64, ..Parting::default() };
        let codes = |(rule, seen): &(&Rule, Seen<'_>)| -> Vec<f32> {
            seen.output.iter().zip(rule.along()).map(|(output, grid)| rule.code(*output, grid)).collect()
        };
        let (own, other) = (codes(&ours), codes(&theirs));
        found.differ = own.iter().zip(&other).filter(|(a, b)| is_other(**a, **b)).count() as u64;
        if let (Some(a), Some(b)) = (ours.1.input, theirs.1.input) {
            found.reasons = Some(reasons((ours.0, a, &own), (theirs.0, b, &other), rounding));
        }
        found
    }

    /// Counts another call in.
    pub fn join(&mut self, other: Parting) {
        self.codes += other.codes;
        self.differ += other.differ;
        self.reasons = match (self.reasons, other.reasons) {
            (Some(mut own), Some(other)) => {
                own.unexplained += other.unexplained;
                own.by_rounding += other.by_rounding;
                own.farthest = own.farthest.max(other.farthest);
                own.input.join(other.input);
                Some(own)
            }
            (own, other) => own.or(other),
        };
    }

    /// Every code that differs does so by rounding alone, as far as that is known.
    pub fn is_rounding(&self) -> bool {
        self.reasons.is_some_and(|reasons| reasons.unexplained == 0 && reasons.by_rounding == self.differ)
    }
}

/// Why codes differ: each side with its rule, what it saw, and its codes.
fn reasons(ours: (&Rule, &[f32], &[f32]), theirs: (&Rule, &[f32], &[f32]), rounding: f32) -> Reasons {
    let (own, other) = (ours.0.brought(ours.1), theirs.0.brought(theirs.1));
    let mut found = Reasons { input: Difference::of(&own, &other), ..Reasons::default() };
    let rounding = magnitude(ours.1) * rounding;
    let own = own.iter().zip(ours.2).zip(ours.0.along());
    let other = other.iter().zip(theirs.2).zip(theirs.0.along());
    for (((x, a), grid), ((y, b), their_grid)) in own.zip(other) {
        let explained = !is_other(theirs.0.code(theirs.0.codes.round(*y, their_grid), their_grid), *b);
        found.unexplained += u64::from(!explained);
        if is_other(*a, *b) {
            found.by_rounding += u64::from(explained && (x - y).abs() <= rounding);
            let steps = |value: f32, grid: Grid| f64::from(value) / f64::from(grid.into);
            let tie = f64::midpoint(f64::from(*a), f64::from(*b));
            // Steps between neighbouring E4M3 numbers are not all alike.
            let step = if ours.0.codes.float { f64::from((a - b).abs()) } else { 1.0 };
            let far = (steps(*x, grid) - tie).abs().max((steps(*y, their_grid) - tie).abs()) / step;
            found.farthest = if far.is_nan() { f64::INFINITY } else { found.farthest.max(far) };
        }
    }
    found
}

/// Not the same code; NaN is the same as NaN.
fn is_other(a: f32, b: f32) -> bool {
    a != b && !(a.is_nan() && b.is_nan())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::Calibration;

    fn scheme(storage: Storage) -> Scheme {
        let range = RangeSource::Calibrated(Calibration::Max);
        Scheme { storage, axis: None, mode: Mode::Onnx, range, scale_amax: None }
    }

    const INT8: Storage = Storage::Integer { bits: 8, signed: true, narrow: false };

    /// Both with f32's rounding.
    fn part(ours: (&Rule, Seen<'_>), theirs: (&Rule, Seen<'_>)) -> Parting {
        Parting::of(ours, theirs, rounding(DType::F32))
    }

    fn seen<'a>(input: &'a [f32], output: &'a [f32]) -> Seen<'a> {
        Seen { input: Some(input), output }
    }

    #[test]
    fn a_tie_parts_codes_by_rounding_and_a_step_does_not() {
        // Scale 1: a number is its code.
        let rule = Rule::new(&scheme(INT8), &[127.0], 1);
        let both = |ours: (&[f32], &[f32]), theirs: (&[f32], &[f32])| {
            let found = part((&rule, seen(ours.0, ours.1)), (&rule, seen(theirs.0, theirs.1)));
            (found, found.reasons.unwrap())
        };
        let (found, reasons) = both(
            (&[3.499_999_8, 100.0, -7.0], &[3.0, 100.0, -7.0]),
            (&[3.500_000_2, 100.0, -7.0], &[4.0, 100.0, -7.0]),
        );
        assert_eq!((found.codes, found.differ, reasons.unexplained, reasons.by_rounding), (3, 1, 0, 1));
        assert!(reasons.farthest > 0.0 && reasons.farthest < 1e-6, "{reasons:?}");
        assert!(found.is_rounding());

        let (found, reasons) = both((&[3.4, 100.0], &[3.0, 100.0]), (&[3.8, 100.0], &[4.0, 100.0]));
        assert_eq!((found.differ, reasons.unexplained, reasons.by_rounding), (1, 0, 0));
        assert!((reasons.farthest - 0.3).abs() < 1e-6 && !found.is_rounding());

        // Rounded half away from zero, as ONNX does not.
        let (found, reasons) = both((&[2.5, 100.0], &[2.0, 100.0]), (&[2.5, 100.0], &[3.0, 100.0]));
        assert_eq!((found.differ, reasons.unexplained, reasons.by_rounding), (1, 1, 0));
        assert!(!found.is_rounding());
    }

    #[test]
    fn codes_are_those_of_each_sides_own_scale() {
        let rule = Rule::new(&scheme(INT8), &[12.7], 1);
        let other = rule.with_scales(&[0.2]);
        let found = part((&rule, seen(&[1.0], &[1.0])), (&other, seen(&[1.0], &[1.0])));
        assert_eq!((found.differ, found.reasons.unwrap().unexplained), (1, 0), "10 and 5");
        let nothing = Rule::new(&scheme(INT8), &[0.0], 1);
        let found = part((&nothing, seen(&[1.0], &[0.0])), (&nothing, seen(&[2.0], &[0.0])));
        assert_eq!((found.differ, found.reasons.unwrap().unexplained), (0, 0));
    }

    #[test]
    fn channels_have_scales_of_their_own() {
        let rule = Rule::new(&scheme(INT8), &[127.0, 254.0], 2);
        let input = [1.0, 2.0, 6.0, 8.0, 3.0, 4.0, 2.0, 4.0];
        let found = part((&rule, seen(&input, &input)), (&rule, seen(&input, &input)));
        assert_eq!((found.codes, found.differ, found.reasons.unwrap().unexplained), (8, 0, 0));
        let shifted = Rule::new(&scheme(INT8), &[254.0, 127.0], 2);
        let found = part((&rule, seen(&input, &input)), (&shifted, seen(&input, &input)));
        assert_eq!(found.differ, 8);
        let measured = Rule::measured(&scheme(INT8), &input, 2, 2);
        assert_eq!(measured.scales(), [4.0 / 127.0, 8.0 / 127.0]);
    }

    #[test]
    fn other_modes_and_formats_have_onnx_codes() {
        let narrow = Scheme { mode: Mode::NvNarrow, ..scheme(INT8) };
        let rule = Rule::new(&narrow, &[127.0], 1);
        let found = part((&rule, seen(&[-300.0], &[-127.0])), (&rule, seen(&[-300.0], &[-128.0])));
        assert_eq!((found.differ, found.reasons.unwrap().unexplained), (1, 1));

        let learned = RangeSource::Learned(Calibration::Max);
        let rule = Rule::new(&Scheme { range: learned, ..scheme(INT8) }, &[-63.5, 127.0], 1);
        let found = part((&rule, seen(&[-100.0], &[-64.0])), (&rule, seen(&[-63.5], &[-64.0])));
        assert_eq!((found.differ, found.reasons.unwrap().unexplained), (0, 0), "clipped before or not");

        let rule = Rule::new(&scheme(Storage::E4M3), &[448.0], 1);
        // Neighbours are 16 and 18.
        let found = part(
            (&rule, seen(&[16.999_999, 448.0], &[16.0, 448.0])),
            (&rule, seen(&[17.000_002, 448.0], &[18.0, 448.0])),
        );
        let reasons = found.reasons.unwrap();
        assert_eq!((found.differ, reasons.unexplained, reasons.by_rounding), (1, 0, 1));
        assert!(reasons.farthest < 1e-5);
    }
}
