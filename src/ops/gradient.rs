//! Gradients of operands, which follow from that of the result.

use crate::types::Bindings;
use candle_core::{Result, Tensor, Var};

/// A result, what it was made of, and its gradient.
#[derive(Clone, Copy)]
pub struct Backward<'a> {
    /// The operands that the result was made of.
    pub operands: &'a [Tensor],
    /// The result.
    pub result: &'a Tensor,
    /// The gradient of the result, of its shape and element type.
    pub upstream: &'a Tensor,
    /// Of each operand, whether its gradient is wanted.
    pub wanted: &'a [bool],
    /// The sizes of the call.
    pub dims: &'a Bindings,
}

impl Backward<'_> {
    /// The gradient of the operand at this place by `rule`, where it is wanted.
    ///
    /// # Errors
    /// As the rule.
    pub fn wanted(&self, at: usize, rule: impl FnOnce() -> Result<Tensor>) -> Result<Option<Tensor>> {
        let wanted = self.wanted.get(at).copied().unwrap_or_default();
        wanted.then(rule).transpose()
    }
}

/// The gradients that candle finds for what `eval` makes of tracked operands.
pub(super) fn by_candle(
    eval: impl FnOnce(&[Tensor]) -> Result<Tensor>,
    backward: &Backward<'_>,
) -> Result<Vec<Option<Tensor>>> {
    let tracked = |(operand, wanted): (&Tensor, &bool)| match wanted {
        true => Ok(Var::from_tensor(operand)?.into_inner()),
        false => Ok(operand.detach()),
    };
    let operands = backward.operands.iter().zip(backward.wanted).map(tracked).collect::<Result<Vec<_>>>()?;
    let result = eval(&operands)?;
    if !result.track_op() {
        return Ok(vec![None; operands.len()]);
    }
    let gradients = (result * backward.upstream)?.sum_all()?.backward()?;
    Ok(operands.iter().map(|operand| gradients.get(operand).cloned()).collect())
}
