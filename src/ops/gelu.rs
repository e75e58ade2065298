//! `gelu`.

use super::{
    Mismatch, Operator, kernels,
    operands::{operands, pointwise},
};
use crate::types::{Bindings, TensorType};
use candle_core::Tensor;

operator! {
    /// `x / 2 * (1 + erf(x / sqrt(2)))`, the exact GELU.
    Gelu = "gelu"(x) {}
}

impl Operator for Gelu {
    fn infer(&self, given: &[TensorType]) -> Result<TensorType, Mismatch> {
        pointwise(given)
    }

    fn eval(&self, given: &[Tensor], _: &Bindings) -> candle_core::Result<Tensor> {
        let [x] = operands(given)?;
        if kernels::fits(x) { kernels::gelu(x) } else { x.gelu_erf() }
    }
}
