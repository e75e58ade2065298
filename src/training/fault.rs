//! What is said where numbers are no longer finite.

use super::trainer::failed;
use crate::{failure::Failure, session::Gradients};
use candle_core::{DType, Tensor};
use std::collections::BTreeMap;

/// Lines that a message lists, at most.
const LISTED: usize = 8;

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

/// The first parameter that holds what is infinite or no number.
pub(super) fn first_parameter(parameters: &BTreeMap<String, Tensor>) -> Result<Option<String>, Failure> {
    for (path, parameter) in parameters {
        if !is_finite(parameter).map_err(failed)? {
            return Ok(Some(format!("the parameter `{path}`")));
        }
    }
    Ok(None)
}

fn stop(what: &str, first: &str, at: &Where<'_>) -> Failure {
    let shown: Vec<String> = at.lines.iter().take(LISTED).map(u64::to_string).collect();
    let shown = shown.join(", ");
    let more = if at.lines.len() > LISTED { " and others" } else { "" };
    let s = if at.lines.len() == 1 { "" } else { "s" };
    Failure::input(format!("{what} ({noun}{s} {shown}{more}){first}", noun = at.noun))
        .help("begin again with a lower `--learning-rate`, a longer `--warmup` or a tighter `--clip`")
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
    fn the_first_that_is_not_finite_is_named() {
        let parameters = |wrong: f32| {
            let list = [("a", tensor(&[1.0, f32::MAX, f32::MAX])), ("b", tensor(&[0.0, wrong]))];
            list.map(|(name, tensor)| (name.to_owned(), tensor)).into()
        };
        assert_eq!(first_parameter(&parameters(-3.0)).unwrap(), None);
        for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(first_parameter(&parameters(wrong)).unwrap().as_deref(), Some("the parameter `b`"));
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
