//! Stochastic gradient descent with momentum.

use super::{Aligned, beside, failed, no_parameter, put};
use crate::{
    failure::Failure,
    ops::kernels::{self, SgdStep},
    session::Gradients,
};
use candle_core::{DType, Tensor};
use std::collections::BTreeMap;

/// Stochastic gradient descent with momentum, without decay, as `torch.optim.SGD`
/// computes it.
#[derive(Clone, Debug, Default)]
pub struct Sgd {
    momentum: f64,
    /// By parameter, laid out in memory as it.
    velocities: BTreeMap<String, Tensor>,
}

impl Sgd {
    /// An optimizer that has made no step; `momentum` is how much of the velocity is kept
    /// at each one.
    pub fn new(momentum: f64) -> Sgd {
        Sgd { momentum, velocities: BTreeMap::new() }
    }

    /// Changes every parameter that has a gradient, in place. `rate` is the learning rate
    /// of this step, and `scale` what gradients are multiplied by first.
    ///
    /// # Errors
    /// A gradient belongs to no parameter or is not of its shape, one of them is not f32,
    /// or the device fails.
    pub fn step(
        &mut self,
        parameters: &BTreeMap<String, Tensor>,
        gradients: &Gradients,
        rate: f64,
        scale: f64,
    ) -> Result<(), Failure> {
        let step = SgdStep { scale: scale as f32, momentum: self.momentum as f32, rate: rate as f32 };
        for (path, gradient) in gradients.iter() {
            let parameter = parameters.get(path).ok_or_else(|| no_parameter(path))?;
            self.update(path, parameter, gradient, step).map_err(|error| failed(path, error))?;
        }
        Ok(())
    }

    fn update(
        &mut self,
        path: &str,
        parameter: &Tensor,
        gradient: &Tensor,
        step: SgdStep,
    ) -> candle_core::Result<()> {
        if !self.velocities.contains_key(path) {
            let zeros = Tensor::zeros(parameter.shape(), DType::F32, parameter.device())?;
            self.velocities.insert(path.to_owned(), beside(&zeros, parameter)?);
        }
        let Some(velocity) = self.velocities.get(path) else { return Ok(()) };
        let Aligned { parameter, gradient, state: [velocity] } =
            Aligned::new(parameter, gradient, [velocity])?;
        if parameter.device().is_cpu() {
            return kernels::sgd(step, &parameter, &gradient, &velocity);
        }
        let gradient = (gradient * f64::from(step.scale))?;
        put(&velocity, &((&velocity * f64::from(step.momentum))? + gradient)?)?;
        put(&parameter, &(&parameter - (&velocity * f64::from(step.rate))?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn velocity_is_kept() {
        let x = Tensor::new(&[[1.0_f32, 2.0], [3.0, 4.0]], &Device::Cpu).unwrap().t().unwrap();
        let parameters = BTreeMap::from([("x".to_owned(), x)]);
        let mut gradients = Gradients::default();
        gradients.insert("x".into(), Tensor::new(&[[1.0_f32, 0.0], [-2.0, 8.0]], &Device::Cpu).unwrap());
        let mut optimizer = Sgd::new(0.5);
        for _ in 0..2 {
            optimizer.step(&parameters, &gradients, 0.25, 2.0).unwrap();
        }
        // The velocity is twice the gradient, then three times.
        let expected = [[1.0 - 1.25, 3.0], [2.0 + 2.5, 4.0 - 10.0]];
        assert_eq!(parameters["x"].to_vec2::<f32>().unwrap(), expected);
    }
}
