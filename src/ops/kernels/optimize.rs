//! Steps of optimizers, each in one loop over parameter, gradient and state.
//!
//! Everything is f32 and is rounded after each operation in the order that PyTorch's
//! loops have.

use super::{PIECE, change, lend, unfit};
use candle_core::{Result, Tensor};
use pulp::Arch;
use rayon::prelude::*;
use std::ptr;

/// One step of AdamW: its numbers now. Loshchilov and Hutter 2019, arXiv 1711.05101,
/// algorithm 2, as `torch.optim.AdamW` computes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AdamWStep {
    /// What gradients are multiplied by first.
    pub(crate) scale: f32,
    /// What parameters are multiplied by: `1 - rate * weight decay`.
    pub(crate) keep: f32,
    /// `1 - beta1`
    pub(crate) first: f32,
    /// `beta2`
    pub(crate) keep_second: f32,
    /// `1 - beta2`
    pub(crate) second: f32,
    /// `rate / (1 - beta1 ^ step)`
    pub(crate) rate: f32,
    /// `sqrt(1 - beta2 ^ step)`
    pub(crate) correction: f32,
    /// Added under the fraction.
    pub(crate) epsilon: f32,
}

impl AdamWStep {
    #[inline(always)]
    fn update(self, parameter: &mut f32, gradient: f32, first: &mut f32, second: &mut f32) {
        let gradient = gradient * self.scale;
        *first += self.first * (gradient - *first);
        *second = *second * self.keep_second + self.second * (gradient * gradient);
        let under = second.sqrt() / self.correction + self.epsilon;
        *parameter = *parameter * self.keep - self.rate * (*first / under);
    }
}

/// Changes a parameter and the moments of its gradient in place. All four
/// [`fit`](super::fits) and have as many numbers; no two are one.
pub(crate) fn adamw(
    step: AdamWStep,
    parameter: &Tensor,
    gradient: &Tensor,
    first: &Tensor,
    second: &Tensor,
) -> Result<()> {
    refuse_shared(parameter, gradient)?;
    let gradient = lend(gradient);
    let gradient = gradient.in_order()?;
    let arch = Arch::new();
    let piece = |parameter: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32]| {
        arch.dispatch(
            #[inline(always)]
            || {
                let numbers = parameter.iter_mut().zip(gradient).zip(first).zip(second);
                for (((parameter, gradient), first), second) in numbers {
                    step.update(parameter, *gradient, first, second);
                }
            },
        );
    };
    let whole = |parameter: &mut [f32], first: &mut [f32], second: &mut [f32]| {
        if [parameter.len(), first.len(), second.len()] != [gradient.len(); 3] {
            return Err(unfit());
        }
        if gradient.len() <= PIECE {
            // Handing it to another thread would take longer.
            piece(parameter, gradient, first, second);
            return Ok(());
        }
        let pieces = parameter.par_chunks_mut(PIECE).zip(gradient.par_chunks(PIECE));
        let pieces = pieces.zip(first.par_chunks_mut(PIECE)).zip(second.par_chunks_mut(PIECE));
        pieces.for_each(|(((parameter, gradient), first), second)| piece(parameter, gradient, first, second));
        Ok(())
    };
    change(parameter, |parameter| {
        change(first, |first| change(second, |second| whole(parameter, first, second)))
    })???
}

/// One step of stochastic gradient descent with momentum, as `torch.optim.SGD`
/// computes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SgdStep {
    /// What gradients are multiplied by first.
    pub(crate) scale: f32,
    /// How much of the velocity is kept.
    pub(crate) momentum: f32,
    /// The learning rate.
    pub(crate) rate: f32,
}

/// Changes a parameter and its velocity in place. All three [`fit`](super::fits) and
/// have as many numbers; no two are one.
pub(crate) fn sgd(step: SgdStep, parameter: &Tensor, gradient: &Tensor, velocity: &Tensor) -> Result<()> {
    refuse_shared(parameter, gradient)?;
    let gradient = lend(gradient);
    let gradient = gradient.in_order()?;
    let arch = Arch::new();
    let piece = |((parameter, gradient), velocity): ((&mut [f32], &[f32]), &mut [f32])| {
        arch.dispatch(
            #[inline(always)]
            || {
                for ((parameter, gradient), velocity) in parameter.iter_mut().zip(gradient).zip(velocity) {
                    *velocity = *velocity * step.momentum + gradient * step.scale;
                    *parameter -= step.rate * *velocity;
                }
            },
        );
    };
    let whole = |parameter: &mut [f32], velocity: &mut [f32]| {
        if [parameter.len(), velocity.len()] != [gradient.len(); 2] {
            return Err(unfit());
        }
        let pieces = parameter.par_chunks_mut(PIECE).zip(gradient.par_chunks(PIECE));
        pieces.zip(velocity.par_chunks_mut(PIECE)).for_each(piece);
        Ok(())
    };
    change(parameter, |parameter| change(velocity, |velocity| whole(parameter, velocity)))??
}

/// The sum of the squares of a tensor that [`fits`](super::fits), in f64 and in an order
/// that does not depend on the number of cores.
pub(crate) fn sum_of_squares(x: &Tensor) -> Result<f64> {
    /// Parts that a sum is computed in, so that a vector of them is computed at once.
    const LANES: usize = 16;
    let x = lend(x);
    let x = x.in_order()?;
    let arch = Arch::new();
    let sum = |x: &[f32]| {
        arch.dispatch(
            #[inline(always)]
            || {
                let (vectors, rest) = x.as_chunks::<LANES>();
                let mut lanes = [0.0_f64; LANES];
                for vector in vectors {
                    for (lane, x) in lanes.iter_mut().zip(vector) {
                        *lane += f64::from(*x) * f64::from(*x);
                    }
                }
                let rest = rest.iter().map(|x| f64::from(*x) * f64::from(*x));
                lanes.into_iter().chain(rest).sum::<f64>()
            },
        )
    };
    if x.len() <= PIECE {
        return Ok(sum(x));
    }
    let sums: Vec<f64> = x.par_chunks(PIECE).map(sum).collect();
    Ok(sums.into_iter().sum())
}

/// Refuses a gradient that is its parameter: it would be read while it is changed.
fn refuse_shared(parameter: &Tensor, gradient: &Tensor) -> Result<()> {
    let (parameter, gradient) = (lend(parameter), lend(gradient));
    if ptr::eq(&*parameter.0, &*gradient.0) { Err(unfit()) } else { Ok(()) }
}
