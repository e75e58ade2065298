//! The outputs of a model for one member of a batch, as numbers.

use crate::failure::Failure;
use candle_core::{D, DType, Device, Tensor};
use std::collections::BTreeMap;

/// Named outputs of one member of a batch: without the batch axis.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outputs(BTreeMap<String, Tensor>);

impl Outputs {
    /// Takes the named outputs of a batch of `size` apart, one for each member.
    pub(crate) fn split(
        batch: &BTreeMap<String, Tensor>,
        names: &[String],
        size: usize,
    ) -> Result<Vec<Outputs>, Failure> {
        let mut members = vec![Outputs::default(); size];
        for name in names {
            let output =
                batch.get(name).ok_or_else(|| Failure::input(format!("the model gave no `{name}`")))?;
            if output.dims().first() != Some(&size) {
                let text = format!("`{name}` has shape {:?} for a batch of {size}", output.dims());
                return Err(Failure::input(text));
            }
            for (index, member) in members.iter_mut().enumerate() {
                let one = output.get(index).map_err(|error| unreadable(name, &error))?;
                member.0.insert(name.clone(), one);
            }
        }
        Ok(members)
    }

    /// A list of numbers: an output `[batch, n]`.
    pub(crate) fn list(&self, name: &str) -> Result<Vec<f32>, Failure> {
        let output = self.of_rank(name, 1, "[batch, n]")?;
        numbers(name, output)
    }

    /// The numbers at one token: a row of an output `[batch, seq, n]`.
    pub(crate) fn at(&self, name: &str, token: usize) -> Result<Vec<f32>, Failure> {
        let output = self.of_rank(name, 2, "[batch, seq, n]")?;
        numbers(name, &output.get(token).map_err(|error| unreadable(name, &error))?)
    }

    /// The numbers at the last token: a row of an output `[batch, seq, n]`.
    pub(crate) fn last(&self, name: &str) -> Result<Vec<f32>, Failure> {
        let tokens = self.of_rank(name, 2, "[batch, seq, n]")?.dim(0).unwrap_or(0);
        self.at(name, tokens.saturating_sub(1))
    }

    fn of_rank(&self, name: &str, rank: usize, wanted: &str) -> Result<&Tensor, Failure> {
        let output = self.0.get(name).ok_or_else(|| Failure::input(format!("the model gave no `{name}`")))?;
        if output.rank() != rank {
            let text =
                format!("`{name}` has shape {:?} after the batch, but {wanted} is read", output.dims());
            return Err(Failure::input(text).help("let the spec's `answer` name another output or reading"));
        }
        Ok(output)
    }
}

/// The values of a row, none of them NaN.
fn numbers(name: &str, row: &Tensor) -> Result<Vec<f32>, Failure> {
    let values = row
        .to_device(&Device::Cpu)
        .and_then(|row| row.to_dtype(DType::F32)?.flatten_to(D::Minus1)?.to_vec1::<f32>())
        .map_err(|error| unreadable(name, &error))?;
    match values.iter().any(|value| value.is_nan()) {
        true => Err(Failure::input(format!("`{name}` has values that are not numbers (NaN)"))
            .help("look for infinities in the checkpoint, or try --dtype f32")),
        false => Ok(values),
    }
}

fn unreadable(name: &str, error: &candle_core::Error) -> Failure {
    Failure::outside(format!("cannot read `{name}`: {error}"))
}
