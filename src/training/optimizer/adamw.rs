//! Adam with decoupled weight decay.

use super::{Aligned, beside, failed, no_parameter, put};
use crate::{
    failure::Failure,
    ops::kernels::{self, AdamWStep},
    session::Gradients,
    training::decayed,
};
use candle_core::{DType, Device, Tensor};
use std::collections::BTreeMap;

/// What an [`AdamW`] does at each step, whatever the learning rate.
#[derive(Clone, Copy, Debug)]
pub struct AdamWOptions {
    /// How much of the mean of gradients is kept at each step.
    pub beta1: f64,
    /// How much of the mean of their squares is kept.
    pub beta2: f64,
    /// Added to the root of that mean, by which a step is divided.
    pub epsilon: f64,
    /// The share of a parameter that a learning rate of 1 takes off at each step.
    pub weight_decay: f64,
    /// Whether a parameter decays, by its path.
    pub decayed: fn(&str, &Tensor) -> bool,
}

impl Default for AdamWOptions {
    fn default() -> AdamWOptions {
        AdamWOptions { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.01, decayed }
    }
}

/// Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv 1711.05101), as
/// `torch.optim.AdamW` computes it: a parameter without a gradient is left as it is, and
/// its steps are not counted.
#[derive(Clone, Debug, Default)]
pub struct AdamW {
    options: AdamWOptions,
    moments: BTreeMap<String, Moments>,
}

/// Of one parameter.
#[derive(Clone, Debug)]
struct Moments {
    steps: u64,
    /// The mean of gradients, laid out in memory as the parameter.
    first: Tensor,
    /// The mean of their squares.
    second: Tensor,
}

/// What names in a saved state begin with, in the order of [`Moments`].
const PREFIXES: [&str; 3] = ["steps", "first_moment", "second_moment"];

impl AdamW {
    /// An optimizer that has made no step.
    pub fn new(options: AdamWOptions) -> AdamW {
        AdamW { options, moments: BTreeMap::new() }
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
        for (path, gradient) in gradients.iter() {
            let parameter = parameters.get(path).ok_or_else(|| no_parameter(path))?;
            self.update(path, parameter, gradient, rate, scale).map_err(|error| failed(path, error))?;
        }
        Ok(())
    }

    fn update(
        &mut self,
        path: &str,
        parameter: &Tensor,
        gradient: &Tensor,
        rate: f64,
        scale: f64,
    ) -> candle_core::Result<()> {
        if !self.moments.contains_key(path) {
            self.moments.insert(path.to_owned(), Moments::new(parameter)?);
        }
        let Some(moments) = self.moments.get_mut(path) else { return Ok(()) };
        let AdamWOptions { beta1, beta2, epsilon, weight_decay, decayed } = self.options;
        let steps = moments.steps.saturating_add(1);
        let decay = if decayed(path, parameter) { rate * weight_decay } else { 0.0 };
        let step = AdamWStep {
            scale: scale as f32,
            keep: (1.0 - decay) as f32,
            first: (1.0 - beta1) as f32,
            keep_second: beta2 as f32,
            second: (1.0 - beta2) as f32,
            rate: (rate / (1.0 - beta1.powf(steps as f64))) as f32,
            correction: (1.0 - beta2.powf(steps as f64)).sqrt() as f32,
            epsilon: epsilon as f32,
        };
        let aligned = Aligned::new(parameter, gradient, [&moments.first, &moments.second])?;
        if parameter.device().is_cpu() {
            let Aligned { parameter, gradient, state: [first, second] } = &aligned;
            kernels::adamw(step, parameter, gradient, first, second)?;
        } else {
            composed(step, &aligned)?;
        }
        moments.steps = steps;
        Ok(())
    }

    /// All that a later [`restore`](AdamW::restore) needs: for each parameter that was
    /// changed `steps.PATH`, an i64, and `first_moment.PATH` and `second_moment.PATH`, f32
    /// of the parameter's shape. They share its memory, and change with the next step.
    ///
    /// # Errors
    /// The device fails.
    pub fn state(&self) -> Result<BTreeMap<String, Tensor>, Failure> {
        let mut state = BTreeMap::new();
        for (path, moments) in &self.moments {
            let steps = i64::try_from(moments.steps).unwrap_or(i64::MAX);
            let steps = Tensor::new(steps, &Device::Cpu).map_err(|error| failed(path, error))?;
            let values = [steps, moments.first.clone(), moments.second.clone()];
            state.extend(PREFIXES.iter().map(|prefix| format!("{prefix}.{path}")).zip(values));
        }
        Ok(state)
    }

    /// An optimizer that goes on where one with these options and parameters was.
    ///
    /// # Errors
    /// The state is not one of these parameters.
    pub fn restore(
        options: AdamWOptions,
        parameters: &BTreeMap<String, Tensor>,
        state: &BTreeMap<String, Tensor>,
    ) -> Result<AdamW, Failure> {
        let mut moments = BTreeMap::new();
        for name in state.keys() {
            let owner = name.split_once('.').filter(|(prefix, _)| PREFIXES.contains(prefix));
            let (_, path) = owner.ok_or_else(|| unfit(name, "which is not the state of an optimizer"))?;
            let parameter =
                parameters.get(path).ok_or_else(|| unfit(name, "and there is no such parameter"))?;
            if !moments.contains_key(path) {
                moments.insert(path.to_owned(), Moments::restore(path, parameter, state)?);
            }
        }
        Ok(AdamW { options, moments })
    }
}

impl Moments {
    fn new(parameter: &Tensor) -> candle_core::Result<Moments> {
        let zeros = || beside(&Tensor::zeros(parameter.shape(), DType::F32, parameter.device())?, parameter);
        Ok(Moments { steps: 0, first: zeros()?, second: zeros()? })
    }

    fn restore(path: &str, parameter: &Tensor, state: &BTreeMap<String, Tensor>) -> Result<Moments, Failure> {
        let [steps, first, second] = PREFIXES.map(|prefix| format!("{prefix}.{path}"));
        let find = |name: &str, shape: &[usize]| {
            let tensor = state.get(name).ok_or_else(|| unfit(name, "which is missing"))?;
            if tensor.dims() == shape {
                return Ok(tensor);
            }
            Err(unfit(name, &format!("of shape {:?} where {shape:?} belongs", tensor.dims())))
        };
        let moment = |name: &str| {
            let tensor = find(name, parameter.dims())?;
            let tensor = tensor.to_dtype(DType::F32).and_then(|tensor| tensor.to_device(parameter.device()));
            // A copy, for it will be changed.
            tensor.and_then(|tensor| beside(&tensor.copy()?, parameter)).map_err(|error| failed(path, error))
        };
        let count = find(&steps, &[])?.to_dtype(DType::F64).and_then(|steps| steps.to_scalar::<f64>());
        let count = count.map_err(|error| failed(path, error))?;
        if !(1.0..9e15).contains(&count) {
            return Err(unfit(&steps, &format!("with {count} steps")));
        }
        Ok(Moments { steps: count as u64, first: moment(&first)?, second: moment(&second)? })
    }
}

fn unfit(name: &str, what: &str) -> Failure {
    Failure::input(format!("the optimizer's state does not fit the model: it is about `{name}`, {what}"))
        .help("start anew in another folder: `-o DIR`")
}

/// The same step by operations of candle's, for other devices.
fn composed(step: AdamWStep, aligned: &Aligned<2>) -> candle_core::Result<()> {
    let Aligned { parameter, gradient, state: [first, second] } = aligned;
    let number = f64::from;
    let gradient = (gradient * number(step.scale))?;
    let toward = ((&gradient - first)? * number(step.first))?;
    put(first, &(first + toward)?)?;
    let square = (gradient.sqr()? * number(step.second))?;
    put(second, &((second * number(step.keep_second))? + square)?)?;
    let under = ((second.sqrt()? / number(step.correction))? + number(step.epsilon))?;
    let change = ((first / under)? * number(step.rate))?;
    put(parameter, &((parameter * number(step.keep))? - change)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
        Tensor::from_vec(values.to_vec(), shape, &Device::Cpu).unwrap()
    }

    fn parameters() -> BTreeMap<String, Tensor> {
        let weight = tensor(&[1.0, -2.0, 0.5, 4.0, -0.25, 3.0], &[3, 2]).t().unwrap();
        BTreeMap::from([("a.weight".into(), weight), ("a.bias".into(), tensor(&[1.0, -1.0], &[2]))])
    }

    /// `weight` is row by row, though the parameter is column by column.
    fn gradients(sign: f32) -> Gradients {
        let mut gradients = Gradients::default();
        let weight: Vec<f32> = [0.1, -0.2, 0.3, -0.4, 0.5, 1e-9].iter().map(|x| x * sign).collect();
        gradients.insert("a.weight".into(), tensor(&weight, &[2, 3]));
        gradients.insert("a.bias".into(), tensor(&[0.7 * sign, 0.0], &[2]));
        gradients
    }

    fn numbers(parameters: &BTreeMap<String, Tensor>) -> Vec<f32> {
        parameters.values().flat_map(|x| x.flatten_all().unwrap().to_vec1::<f32>().unwrap()).collect()
    }

    /// Two steps in f64, by the formula: `a.bias`, which does not decay, then `a.weight`.
    fn expected() -> Vec<f64> {
        let start = [1.0, -1.0, 1.0, 0.5, -0.25, -2.0, 4.0, 3.0];
        let gradient = [0.7, 0.0, 0.1, -0.2, 0.3, -0.4, 0.5, 1e-9];
        let one = |(at, (start, gradient)): (usize, (f64, f64))| {
            let (mut x, mut m, mut v) = (start, 0.0, 0.0);
            for (step, gradient) in [(1, gradient), (2, -0.5 * gradient)] {
                let gradient: f64 = gradient * 0.5;
                m = 0.9 * m + 0.1 * gradient;
                v = 0.999 * v + 0.001 * gradient * gradient;
                let (m, v) = (m / (1.0 - 0.9_f64.powi(step)), v / (1.0 - 0.999_f64.powi(step)));
                x -= if at < 2 { 0.0 } else { 0.01 * 0.1 * x };
                x -= 0.01 * m / (v.sqrt() + 1e-8);
            }
            x
        };
        start.into_iter().zip(gradient).enumerate().map(one).collect()
    }

    const OPTIONS: fn() -> AdamWOptions = || AdamWOptions { weight_decay: 0.1, ..AdamWOptions::default() };

    #[test]
    fn steps_follow_the_formula_whatever_the_order_in_memory() {
        let parameters = parameters();
        let mut optimizer = AdamW::new(OPTIONS());
        optimizer.step(&parameters, &gradients(1.0), 0.01, 0.5).unwrap();
        optimizer.step(&parameters, &gradients(-0.5), 0.01, 0.5).unwrap();
        for (made, expected) in numbers(&parameters).into_iter().zip(expected()) {
            assert!((f64::from(made) - expected).abs() < 4e-7, "{made} {expected}");
        }
    }

    #[test]
    fn other_devices_make_the_same_step() {
        let (parameters, other) = (parameters(), parameters());
        let mut optimizer = AdamW::new(OPTIONS());
        optimizer.step(&parameters, &gradients(1.0), 0.01, 0.5).unwrap();
        let options = OPTIONS();
        let step = AdamWStep {
            scale: 0.5,
            keep: 1.0 - 0.01 * 0.1,
            first: (1.0 - options.beta1) as f32,
            keep_second: options.beta2 as f32,
            second: (1.0 - options.beta2) as f32,
            rate: 0.01 / 0.1,
            correction: 0.001_f32.sqrt(),
            epsilon: 1e-8,
        };
        let parameter = &other["a.weight"];
        let moments = Moments::new(parameter).unwrap();
        let gradients = gradients(1.0);
        let gradient = gradients.get("a.weight").unwrap();
        let aligned = Aligned::new(parameter, gradient, [&moments.first, &moments.second]).unwrap();
        composed(step, &aligned).unwrap();
        let difference = (parameter - &parameters["a.weight"]).unwrap().abs().unwrap();
        assert!(difference.max_all().unwrap().to_scalar::<f32>().unwrap() < 3e-7);
    }

    #[test]
    fn a_restored_optimizer_goes_on_to_the_same_bits() {
        let whole = parameters();
        let mut optimizer = AdamW::new(OPTIONS());
        optimizer.step(&whole, &gradients(1.0), 0.01, 1.0).unwrap();
        let halfway: BTreeMap<String, Tensor> =
            whole.iter().map(|(path, x)| (path.clone(), x.copy().unwrap())).collect();
        let state = optimizer.state().unwrap();
        let state = state.into_iter().map(|(name, x)| (name, x.copy().unwrap())).collect();
        let mut restored = AdamW::restore(OPTIONS(), &halfway, &state).unwrap();
        optimizer.step(&whole, &gradients(0.3), 0.02, 1.0).unwrap();
        restored.step(&halfway, &gradients(0.3), 0.02, 1.0).unwrap();
        assert_eq!(numbers(&halfway), numbers(&whole));

        for (name, wrong) in [
            ("steps.a.bias", tensor(&[0.0], &[])),
            ("steps.a.bias", tensor(&[f32::NAN], &[])),
            ("steps.a.bias", tensor(&[1.0, 1.0], &[2])),
            ("first_moment.a.bias", tensor(&[0.0], &[1])),
            ("first_moment.b.bias", tensor(&[0.0], &[1])),
            ("third_moment.a.bias", tensor(&[0.0; 2], &[2])),
        ] {
            let mut state = state.clone();
            state.insert(name.into(), wrong);
            let message = AdamW::restore(OPTIONS(), &halfway, &state).unwrap_err().to_string();
            assert!(message.contains(name), "{message}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let refused = |path: &str, gradient: Tensor| {
            let mut gradients = Gradients::default();
            gradients.insert(path.into(), gradient);
            let parameters = parameters();
            AdamW::default().step(&parameters, &gradients, 0.1, 1.0).unwrap_err().to_string()
        };
        assert!(refused("b.bias", tensor(&[1.0], &[1])).contains("no parameter of this name"));
        assert!(refused("a.bias", tensor(&[1.0], &[1])).contains("its shape is [2]"));
        let double = tensor(&[1.0; 2], &[2]).to_dtype(DType::F64).unwrap();
        assert!(refused("a.bias", double).contains("f64"));
        let mut gradients = Gradients::default();
        let parameters = parameters();
        gradients.insert("a.bias".into(), parameters["a.bias"].clone());
        assert!(AdamW::default().step(&parameters, &gradients, 0.1, 1.0).is_err(), "it is the parameter");
    }
}
