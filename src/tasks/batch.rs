//! Sequences as the input tensors of a model.

use super::tokenizer::Encoding;
use crate::failure::Failure;
use candle_core::{Device, Tensor};
use std::collections::BTreeMap;

/// The inputs of a model for some sequences: `input_ids`, `attention_mask` and `token_type_ids`, each
/// `i64[batch, seq]`, or `i64[batch, choices, seq]` where every `choices` sequences belong together. `seq` is
/// the longest sequence; shorter ones end in `pad` with a mask of 0.
pub fn inputs(
    sequences: &[&Encoding],
    choices: Option<usize>,
    pad: u32,
) -> Result<BTreeMap<String, Tensor>, Failure> {
    let row = |sequence: &&Encoding| sequence.tokens.iter().map(|token| (token.id, token.type_id)).collect();
    padded(&sequences.iter().map(row).collect::<Vec<_>>(), choices, pad)
}

/// The same of sequences whose tokens are each an id and a segment.
pub(super) fn padded(
    sequences: &[Vec<(u32, u32)>],
    choices: Option<usize>,
    pad: u32,
) -> Result<BTreeMap<String, Tensor>, Failure> {
    let seq = sequences.iter().map(Vec::len).max().unwrap_or(0);
    let mut columns = [Vec::new(), Vec::new(), Vec::new()];
    for sequence in sequences {
        let rows = sequence.iter().map(|(id, type_id)| [i64::from(*id), 1, i64::from(*type_id)]);
        for row in rows.chain(std::iter::repeat([i64::from(pad), 0, 0])).take(seq) {
            columns.iter_mut().zip(row).for_each(|(column, value)| column.push(value));
        }
    }
    let shape = match choices {
        Some(choices) => vec![sequences.len().checked_div(choices).unwrap_or(0), choices, seq],
        None => vec![sequences.len(), seq],
    };
    let names = ["input_ids", "attention_mask", "token_type_ids"];
    names
        .into_iter()
        .zip(columns)
        .map(|(name, column)| Ok((name.to_owned(), tensor(column, &shape)?)))
        .collect()
}

/// A tensor of whole numbers on the CPU.
pub(super) fn tensor(values: Vec<i64>, shape: &[usize]) -> Result<Tensor, Failure> {
    Tensor::from_vec(values, shape, &Device::Cpu)
        .map_err(|error| Failure::outside(format!("cannot make an input of shape {shape:?}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::tokenizer::Token;

    fn sequence(ids: &[u32]) -> Encoding {
        let token = |id: &u32| Token { id: *id, type_id: 1, start: 0, end: 0, word: None, sequence: None };
        Encoding { tokens: ids.iter().map(token).collect(), truncated: false }
    }

    #[test]
    fn pads_to_the_longest() {
        let (long, short) = (sequence(&[1, 2, 3]), sequence(&[4]));
        let inputs = inputs(&[&long, &short], None, 9).unwrap();
        let rows = |name: &str| inputs[name].to_vec2::<i64>().unwrap();
        assert_eq!(rows("input_ids"), [[1, 2, 3], [4, 9, 9]]);
        assert_eq!(rows("attention_mask"), [[1, 1, 1], [1, 0, 0]]);
        assert_eq!(rows("token_type_ids"), [[1, 1, 1], [1, 0, 0]]);
    }

    #[test]
    fn groups_choices() {
        let (a, b) = (sequence(&[1, 2]), sequence(&[3]));
        let inputs = inputs(&[&a, &b, &b, &a], Some(2), 0).unwrap();
        assert_eq!(inputs["input_ids"].dims(), [2, 2, 2]);
        assert_eq!(inputs["input_ids"].to_vec3::<i64>().unwrap()[1], [[3, 0], [1, 2]]);
    }
}
