//! Ranges of quantizers from training data, before a run and during it.

use crate::{
    calibrator::{Calibrator, Choice, Counting, Outcome},
    checkpoint::Range,
    compile::Given,
    failure::Failure,
    quant::RangeSource,
    session::Session,
    tasks::training::Batch,
};
use candle_core::{DType, Tensor};
use std::collections::{BTreeMap, BTreeSet};

/// Inputs that say what a text is; the others of a batch say what is right, which no quantizer sees.
const TEXT: [&str; 3] = ["input_ids", "attention_mask", "token_type_ids"];

/// Those inputs of a batch that say what its texts are.
pub(super) fn text(inputs: &BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
    let kept = inputs.iter().filter(|(name, _)| TEXT.contains(&name.as_str()));
    kept.map(|(name, tensor)| (name.clone(), tensor.clone())).collect()
}

/// The range of every quantizer, by the spec's own methods: of weights as they are now, of everything
/// else from a float run on these batches.
///
/// # Errors
/// A batch does not fit the model, or a quantizer sees nothing that a range follows from.
pub fn measure(
    session: &mut Session,
    batches: impl Iterator<Item = Result<Batch, Failure>>,
) -> Result<Outcome, Failure> {
    let mut calibrator = Calibrator::new(Counting::Canonical);
    for batch in batches {
        let inputs = session.own_inputs(&text(&batch?.inputs));
        calibrator.add(session, &inputs)?;
    }
    Outcome::of(session, &calibrator, &Choice::default())
}

/// Measures ranges, and puts them in place of those that are neither learned nor written in the spec.
pub(super) fn follow(
    session: &mut Session,
    batches: impl Iterator<Item = Result<Batch, Failure>>,
) -> Result<(), Failure> {
    let measured = measure(session, batches)?;
    let graph = session.graph()?;
    for quantizer in &graph.quantizers {
        if let (RangeSource::Calibrated(_), Some(range)) =
            (&quantizer.scheme.range, measured.ranges.get(&quantizer.name))
        {
            session.set_range(&quantizer.name, &range.amax)?;
        }
    }
    Ok(())
}

/// The ranges that the model has now, but for learned ones, which are among its parameters.
///
/// # Errors
/// They cannot be read.
pub fn current(session: &mut Session) -> Result<BTreeMap<String, Range>, Failure> {
    let (graph, weights) = session.exported(Given::Default, BTreeSet::new())?;
    let mut ranges = BTreeMap::new();
    for quantizer in &graph.quantizers {
        let range = match (&quantizer.scheme.range, weights.get(&format!("{}._amax", quantizer.name))) {
            (RangeSource::Fixed(amax), _) => Range { shape: Vec::new(), amax: vec![*amax as f32] },
            (RangeSource::Calibrated(_), Some(held)) => {
                let amax = held.flatten_all().and_then(|held| held.to_dtype(DType::F32)?.to_vec1());
                let amax = amax.map_err(|error| {
                    Failure::outside(format!("the range of `{}` cannot be read: {error}", quantizer.name))
                })?;
                Range { shape: held.dims().to_vec(), amax }
            }
            _ => continue,
        };
        ranges.insert(quantizer.name.clone(), range);
    }
    Ok(ranges)
}
