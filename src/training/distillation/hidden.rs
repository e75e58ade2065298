//! Hidden states of a student that are to be like its teacher's.

use super::lacking;
use crate::{config::Config, failure::Failure, training::trainer::failed};
use candle_core::{DType, Result, Tensor};
use serde_json::Value;
use std::collections::BTreeMap;

/// The output that has them, with the number of the layer behind a dot.
pub(super) const OUTPUT: &str = "hidden_states";

/// Refuses a teacher whose states have another size.
pub(super) fn same_size(student: &Config, teacher: &Config) -> std::result::Result<(), Failure> {
    let size = |config: &Config| config.get("hidden_size").and_then(Value::as_u64).unwrap_or(768);
    if size(student) == size(teacher) {
        return Ok(());
    }
    Err(Failure::input(format!(
        "the model's hidden states have {} numbers, and its teacher's {}: they cannot be compared",
        size(student),
        size(teacher)
    ))
    .help("leave out `--match-hidden`, or take a teacher with the same `hidden_size`"))
}

/// The mean over layers of the mean squared difference at tokens that are not padding, and its gradient
/// by each of the student's states.
pub(super) fn loss(
    student: &BTreeMap<String, Tensor>,
    teacher: &BTreeMap<String, Tensor>,
    inputs: &BTreeMap<String, Tensor>,
) -> std::result::Result<(f64, Vec<(String, Tensor)>), Failure> {
    let (own, other) = (states(student), states(teacher));
    if own.is_empty() {
        return Err(lacking("model", OUTPUT).help("return them from the model, `on request`"));
    }
    if other.is_empty() {
        return Err(lacking("teacher", OUTPUT));
    }
    let mask = inputs.get("attention_mask").ok_or_else(|| lacking("batch", "attention_mask"))?;
    let mut sum = 0.0;
    let mut gradients = Vec::new();
    for (layer, state) in own.iter().enumerate() {
        let Some(target) = other.get(matching(layer, own.len(), other.len())) else { continue };
        if state.dims() != target.dims() {
            return Err(Failure::input(format!(
                "the model's hidden states are {:?}, and its teacher's {:?}",
                state.dims(),
                target.dims()
            ))
            .help("leave out `--match-hidden`"));
        }
        let (loss, gradient) = apart(state, target, mask, own.len()).map_err(failed)?;
        sum += loss;
        gradients.push((format!("{OUTPUT}.{layer}"), gradient));
    }
    Ok((sum, gradients))
}

/// The states of each layer, the embeddings first.
fn states(outputs: &BTreeMap<String, Tensor>) -> Vec<&Tensor> {
    (0..).map_while(|layer: usize| outputs.get(&format!("{OUTPUT}.{layer}"))).collect()
}

/// The teacher's state for one of the student's: the first with the first, the last with the last, and
/// those between as evenly as can be.
fn matching(layer: usize, own: usize, other: usize) -> usize {
    let (last, most) = (own.saturating_sub(1).max(1), other.saturating_sub(1));
    (layer * most + last / 2) / last
}

fn apart(state: &Tensor, target: &Tensor, mask: &Tensor, layers: usize) -> Result<(f64, Tensor)> {
    let target = target.to_device(state.device())?.to_dtype(DType::F32)?;
    let (_, _, size) = state.dims3()?;
    let mask = mask.to_device(state.device())?.to_dtype(DType::F32)?;
    let tokens = f64::from(mask.sum_all()?.to_scalar::<f32>()?).max(1.0);
    let (rows, seq, _) = state.dims3()?;
    let apart = (state.to_dtype(DType::F32)? - target)?.broadcast_mul(&mask.reshape((rows, seq, 1))?)?;
    let share = 1.0 / (tokens * size.max(1) as f64 * layers as f64);
    let loss = apart.sqr()?.sum_all()?.to_scalar::<f32>()?;
    Ok((f64::from(loss) * share, apart.affine(2.0 * share, 0.0)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn layers_are_matched_evenly() {
        let all = |own, other| (0..own).map(|layer| matching(layer, own, other)).collect::<Vec<_>>();
        assert_eq!(all(3, 5), [0, 2, 4]);
        assert_eq!(all(4, 4), [0, 1, 2, 3]);
        assert_eq!(all(3, 13), [0, 6, 12]);
        assert_eq!(all(1, 4), [0]);
        assert_eq!(all(4, 2), [0, 0, 1, 1]);
    }

    #[test]
    fn padding_does_not_count() {
        let states = |values: [f32; 4]| {
            let state = Tensor::from_vec(values.to_vec(), (1, 2, 2), &Device::Cpu).unwrap();
            BTreeMap::from([("hidden_states.0".to_owned(), state)])
        };
        let mask = Tensor::new(&[[1_i64, 0]], &Device::Cpu).unwrap();
        let inputs = BTreeMap::from([("attention_mask".to_owned(), mask)]);
        let (value, gradients) =
            loss(&states([1.0, 2.0, 9.0, 9.0]), &states([0.0, 0.0, 1.0, 1.0]), &inputs).unwrap();
        assert_eq!(value, 2.5);
        let gradient: Vec<f32> = gradients[0].1.flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(gradient, [1.0, 2.0, 0.0, 0.0]);
        assert!(loss(&BTreeMap::new(), &states([0.0; 4]), &inputs).is_err());
    }
}
