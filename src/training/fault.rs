//! What is said where numbers are no longer finite.

use super::trainer::failed;
use crate::{failure::Failure, session::Gradients};
use candle_core::{DType, Tensor};
use std::collections::BTreeMap;

/// Lines that a message lists, at most.
const LISTED: usize = 8;

const ADVICE: &str = "begin again with a lower `--learning-rate`, a longer `--warmup` or a tighter `--clip`";

/// Where in a run it happened.
pub(super) struct Where<'a> {
    pub(super) step: u64,
    /// The lines of the records, and what they count.
    pub(super) lines: &'a [u64],
    pub(super) noun: &'static str,
}

/// The loss is infinite or no number; `first` names what was so first.
pub(super) fn loss(value: f64, first: Option<String>, at: &Where<'_>) -> Failure {
    let first = first.map_or_else(String::new, |first| format!("; it first appeared in {first}"));
    stop(&format!("the loss of step {} is {}", at.step, named(value)), &first, at)
}

/// A gradient is infinite or no number, though the loss is not.
pub(super) fn gradient(gradients: &Gradients, at: &Where<'_>) -> Failure {
    let wrong = gradients.iter().find(|(_, gradient)| !is_finite(gradient).unwrap_or(false));
    let of = wrong.map_or_else(String::new, |(path, _)| format!(", first that of `{path}`"));
    stop(&format!("gradients of step {} are not finite{of}", at.step), "", at)
}

/// A parameter is not finite after a step.
pub(super) fn parameter(path: &str, step: u64) -> Failure {
    let text = format!("after step {step} the parameter `{path}` holds infinities or what is no number");
    Failure::input(text).help(ADVICE)
}

/// A learned range is one no longer.
pub(super) fn range(path: &str, step: u64) -> Failure {
    let text = format!("after step {step} the learned range `{path}` has a magnitude below 0");
    Failure::input(text).help(ADVICE)
}

/// The first learned range with a magnitude below 0, which no quantizer takes.
pub(super) fn first_negative(parameters: &BTreeMap<String, Tensor>) -> Result<Option<String>, Failure> {
    for (path, largest) in parameters {
        let Some(quantizer) = path.strip_suffix(".clip_value_max") else { continue };
        let least = parameters.get(&format!("{quantizer}.clip_value_min"));
        let magnitude = match least {
            Some(least) => least.neg().and_then(|least| least.maximum(largest)),
            None => Ok(largest.clone()),
        };
        let lowest = magnitude.and_then(|magnitude| magnitude.flatten_all()?.min(0)?.to_dtype(DType::F32));
        let lowest: f32 = lowest.and_then(|lowest| lowest.to_scalar()).map_err(failed)?;
        if lowest < 0.0 {
            return Ok(Some(quantizer.to_owned()));
        }
    }
    Ok(None)
}

/// The first parameter that holds what is infinite or no number.
pub(super) fn first_parameter(parameters: &BTreeMap<String, Tensor>) -> Result<Option<String>, Failure> {
    for (path, parameter) in parameters {
        if !is_finite(parameter).map_err(failed)? {
            return Ok(Some(path.clone()));
        }
    }
    Ok(None)
}

fn stop(what: &str, first: &str, at: &Where<'_>) -> Failure {
    let shown: Vec<String> = at.lines.iter().take(LISTED).map(u64::to_string).collect();
    let shown = shown.join(", ");
    let more = if at.lines.len() > LISTED { " and others" } else { "" };
    let s = if at.lines.len() == 1 { "" } else { "s" };
    Failure::input(format!("{what} ({noun}{s} {shown}{more}){first}", noun = at.noun)).help(ADVICE)
}

fn named(value: f64) -> &'static str {
    if value.is_nan() { "not a number" } else { "infinite" }
}

/// Every number is finite: then `0 · x` sums to 0.
fn is_finite(tensor: &Tensor) -> candle_core::Result<bool> {
    let zeros = (tensor.to_dtype(DType::F32)? * 0.0)?;
    Ok(zeros.sum_all()?.to_scalar::<f32>()? == 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn tensor(values: &[f32]) -> Tensor {
        Tensor::new(values, &Device::Cpu).unwrap()
    }

    #[test]
    fn a_range_is_as_large_as_its_larger_bound() {
        let range = |least: &[f32], largest: &[f32]| {
            let bounds =
                [("q.clip.clip_value_max", tensor(largest)), ("q.clip.clip_value_min", tensor(least))];
            first_negative(&bounds.map(|(name, tensor)| (name.to_owned(), tensor)).into()).unwrap()
        };
        assert_eq!(range(&[-1.0, -0.5], &[-0.1, 0.0]), None);
        assert_eq!(range(&[-1.0, 0.2], &[1.0, -0.1]).as_deref(), Some("q.clip"));
    }

    #[test]
    fn the_first_that_is_not_finite_is_named() {
        let parameters = |wrong: f32| {
            let list = [("a", tensor(&[1.0, f32::MAX, f32::MAX])), ("b", tensor(&[0.0, wrong]))];
            list.map(|(name, tensor)| (name.to_owned(), tensor)).into()
        };
        assert_eq!(first_parameter(&parameters(-3.0)).unwrap(), None);
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(first_parameter(&parameters(wrong)).unwrap().as_deref(), Some("b"));
        }
        let mut gradients = Gradients::default();
        gradients.insert("a".into(), tensor(&[1.0]));
        gradients.insert("b".into(), tensor(&[f32::NAN]));
        let at = Where { step: 3, lines: &[4, 9], noun: "line" };
        let said = gradient(&gradients, &at).to_string();
        assert_eq!(said, "gradients of step 3 are not finite, first that of `b` (lines 4, 9)");
        let said = loss(f64::NAN, Some("`x`".into()), &at).to_string();
        assert_eq!(said, "the loss of step 3 is not a number (lines 4, 9); it first appeared in `x`");
    }
}
