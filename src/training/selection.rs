//! Which parameters change, and how.

use crate::{
    checkpoint::{Pattern, chosen, is_range},
    failure::Failure,
};
use candle_core::Tensor;
use std::collections::{BTreeMap, BTreeSet};

/// The paths of the parameters that stay as they are: those that a pattern of `--freeze`
/// chooses.
///
/// # Errors
/// A pattern chooses no parameter, or nothing is left to train.
pub fn frozen(
    patterns: &[Pattern],
    parameters: &BTreeMap<String, Tensor>,
) -> Result<BTreeSet<String>, Failure> {
    let frozen = chosen("--freeze", patterns, parameters.keys().map(String::as_str))?;
    if frozen.len() == parameters.len() && !frozen.is_empty() {
        return Err(Failure::usage("`--freeze` leaves nothing to train").help("freeze less"));
    }
    Ok(frozen)
}

/// Weight decay pulls at the parameter: all but vectors and ranges. HuggingFace leaves
/// out what is called `bias` and what belongs to a layer norm; those are a BERT's vectors,
/// and the rank says so of a spec that names its parameters otherwise too. A range may
/// have the axes of the weight that it belongs to, so it is told by its name.
pub fn decayed(path: &str, parameter: &Tensor) -> bool {
    parameter.rank() > 1 && !is_range(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn something_is_left_to_train() {
        let parameter = || Tensor::zeros(2, DType::F32, &Device::Cpu).unwrap();
        let parameters =
            ["bert.pooler.dense.bias", "classifier.bias"].map(|path| (path.to_owned(), parameter()));
        let parameters = BTreeMap::from(parameters);
        let freeze = |pattern| frozen(&[Pattern::parse(pattern).unwrap()], &parameters);
        assert_eq!(freeze("bert").unwrap(), ["bert.pooler.dense.bias".to_owned()].into());
        assert_eq!(freeze("*").unwrap_err().to_string(), "`--freeze` leaves nothing to train");
        assert!(freeze("bart").is_err());
        assert!(frozen(&[], &parameters).unwrap().is_empty());
    }

    #[test]
    fn matrices_decay_and_vectors_and_ranges_do_not() {
        let parameter = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        assert!(decayed("classifier.weight", &parameter(&[1, 4])));
        assert!(!decayed("classifier.bias", &parameter(&[1])));
        assert!(!decayed("bert.embeddings.LayerNorm.weight", &parameter(&[4])));
        assert!(!decayed("bert.pooler._weight_quantizer._amax", &parameter(&[4, 1])));
        assert!(!decayed("bert.pooler._weight_quantizer.clip.clip_value_min", &parameter(&[4, 1])));
    }
}
