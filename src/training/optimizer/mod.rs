//! Optimizers: they change parameters where they are, by their gradients.
//!
//! On a CPU a step is one loop over parameter, gradient and state, shared among all
//! cores; elsewhere it is a few operations of candle's. A parameter is walked through in
//! the order of its memory, so a transposed one costs no more.

mod adamw;
mod sgd;

pub use adamw::{AdamW, AdamWOptions};
pub use sgd::Sgd;

use crate::{failure::Failure, ops::kernels, session::Gradients};
use candle_core::{DType, Result, Tensor};
use std::{cmp::Reverse, fmt::Display};

/// The Euclidean norm of all gradients together. Squares are summed in f64, in an order
/// that does not depend on the number of cores.
///
/// # Errors
/// The device fails.
pub fn norm(gradients: &Gradients) -> std::result::Result<f64, Failure> {
    let mut sum = 0.0;
    for (path, gradient) in gradients.iter() {
        sum += sum_of_squares(gradient).map_err(|error| failed(path, error))?;
    }
    Ok(sum.sqrt())
}

fn sum_of_squares(gradient: &Tensor) -> Result<f64> {
    let gradient = gradient.permute(order(gradient))?;
    if gradient.device().is_cpu() && gradient.dtype() == DType::F32 {
        return kernels::sum_of_squares(&gradient.contiguous()?);
    }
    gradient.to_dtype(DType::F64)?.sqr()?.sum_all()?.to_scalar()
}

/// What gradients of this norm are multiplied by so that it is at most `limit`:
/// `torch.nn.utils.clip_grad_norm_`. 1 where the norm is not a number.
pub fn clipping(norm: f64, limit: f64) -> f64 {
    (limit / (norm + 1e-6)).min(1.0)
}

/// A parameter, its gradient and what an optimizer keeps of it, with the axes in the
/// order of the parameter's memory: each is in one piece.
struct Aligned<const N: usize> {
    parameter: Tensor,
    gradient: Tensor,
    state: [Tensor; N],
}

impl<const N: usize> Aligned<N> {
    /// `state` was made by [`beside`].
    fn new(parameter: &Tensor, gradient: &Tensor, state: [&Tensor; N]) -> Result<Aligned<N>> {
        for tensor in [parameter, gradient] {
            if tensor.dtype() != DType::F32 {
                candle_core::bail!("it is {}, and training is in f32", tensor.dtype().as_str());
            }
        }
        if parameter.dims() != gradient.dims() {
            candle_core::bail!(
                "its shape is {:?}, and its gradient's {:?}",
                parameter.dims(),
                gradient.dims()
            );
        }
        let order = order(parameter);
        let parameter = parameter.permute(order.as_slice())?;
        if !parameter.is_contiguous() {
            candle_core::bail!("it has gaps in memory, and cannot be changed in place");
        }
        let gradient = gradient.permute(order.as_slice())?.contiguous()?;
        let mut turned = state.map(Tensor::clone);
        for tensor in &mut turned {
            *tensor = tensor.permute(order.as_slice())?;
        }
        Ok(Aligned { parameter, gradient, state: turned })
    }
}

/// The axes from the one with the longest steps in memory to that with the shortest.
fn order(x: &Tensor) -> Vec<usize> {
    let mut order: Vec<usize> = (0..x.rank()).collect();
    order.sort_by_key(|axis| Reverse(x.stride().get(*axis)));
    order
}

/// The values in the memory order of the parameter that they belong to.
fn beside(values: &Tensor, parameter: &Tensor) -> Result<Tensor> {
    let order = order(parameter);
    let mut inverse: Vec<usize> = (0..order.len()).collect();
    inverse.sort_by_key(|axis| order.get(*axis));
    values.permute(order)?.contiguous()?.permute(inverse)
}

/// Puts values in the place of others; both are in one piece.
fn put(place: &Tensor, values: &Tensor) -> Result<()> {
    place.flatten_all()?.slice_set(&values.flatten_all()?, 0, 0)
}

fn failed(path: &str, error: impl Display) -> Failure {
    Failure::outside(format!("the optimizer failed at `{path}`: {error}"))
}

/// A gradient of something that is no parameter.
fn no_parameter(path: &str) -> Failure {
    failed(path, "there is a gradient, but no parameter of this name")
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
        Tensor::from_vec(values.to_vec(), shape, &Device::Cpu).unwrap()
    }

    #[test]
    fn memory_order_has_no_gaps() {
        let x = tensor(&[0.0; 24], &[2, 3, 4]);
        for axes in [[0, 1, 2], [2, 0, 1], [1, 2, 0], [2, 1, 0]] {
            let turned = x.permute(axes).unwrap();
            assert!(turned.permute(order(&turned)).unwrap().is_contiguous());
            let values = Tensor::arange(0.0_f32, 24.0, &Device::Cpu).unwrap().reshape(turned.dims()).unwrap();
            let kept = beside(&values, &turned).unwrap();
            assert_eq!(kept.stride(), turned.stride());
            assert_eq!(kept.flatten_all().unwrap().to_vec1::<f32>().unwrap()[5], 5.0);
        }
    }

    #[test]
    fn a_norm_is_of_all_gradients_in_whatever_order_of_memory() {
        let mut gradients = Gradients::default();
        gradients.insert("a".into(), tensor(&[3.0, 0.0, 0.0, 4.0], &[2, 2]).t().unwrap());
        gradients.insert("b".into(), tensor(&[12.0], &[]));
        assert_eq!(norm(&gradients).unwrap(), 13.0);
        let many = 100_003;
        gradients.clear();
        gradients.insert("c".into(), tensor(&vec![1e-30; many], &[many]));
        let expected = (many as f64).sqrt() * f64::from(1e-30_f32);
        assert!((norm(&gradients).unwrap() / expected - 1.0).abs() < 1e-14, "in f32 the squares are 0");
    }

    #[test]
    fn only_long_gradients_are_clipped() {
        assert_eq!(clipping(0.5, 1.0), 1.0);
        assert_eq!(clipping(0.0, 1.0), 1.0);
        assert!((clipping(4.0, 1.0) - 0.25).abs() < 1e-6);
        assert_eq!(clipping(f64::NAN, 1.0), 1.0);
    }
}
