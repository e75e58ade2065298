//! Which parameters change, and how.

use crate::checkpoint::is_range;
use candle_core::Tensor;

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
    fn matrices_decay_and_vectors_and_ranges_do_not() {
        let parameter = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        assert!(decayed("classifier.weight", &parameter(&[1, 4])));
        assert!(!decayed("classifier.bias", &parameter(&[1])));
        assert!(!decayed("bert.embeddings.LayerNorm.weight", &parameter(&[4])));
        assert!(!decayed("bert.pooler._weight_quantizer._amax", &parameter(&[4, 1])));
        assert!(!decayed("bert.pooler._weight_quantizer.clip.clip_value_min", &parameter(&[4, 1])));
    }
}
