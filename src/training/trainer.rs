//! Steps of training, one after the other.

use super::{
    AdamW, Length, Place, Schedule, Teacher, clipping,
    distillation::Objective,
    fault::{self, Where},
    norm, ranges,
};
use crate::{
    failure::Failure,
    session::{Gradients, Session},
    tasks::{
        Problem,
        training::{Batch, Dataset},
    },
};
use candle_core::{DType, Tensor};
use std::collections::{BTreeMap, BTreeSet};

/// How a run is made, whatever its optimizer.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long it is.
    pub length: Length,
    /// Batches whose gradients make one step, which is then that of one large batch; but where a loss has parts
    /// that are means over different things, as in pre-training and with a teacher's hidden states, each batch
    /// counts as a whole.
    pub accumulate: usize,
    /// The largest norm of all gradients together; larger ones are scaled down to it.
    pub clip: Option<f64>,
    /// With dropout, as the config says.
    pub dropout: bool,
    /// What dropout is drawn by.
    pub seed: u64,
    /// Ranges that are not learned are estimated anew every so many steps, and at the end;
    /// `None` keeps them. Kept ranges do not follow their weights, as in pytorch-quantization:
    /// a scale that moves with every step would move the codes of all other weights.
    pub ranges: Option<u64>,
    /// What the lines of records count: "line", "question".
    pub noun: &'static str,
}

/// What one step was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Its number, from 1.
    pub step: u64,
    /// How many times through the data the run is after it.
    pub epoch: f64,
    /// What was made small: the mean over the step's labels, the teacher's part included.
    pub loss: f64,
    /// The teacher's part of it alone, before it is weighed.
    pub teacher_loss: Option<f64>,
    /// Before clipping.
    pub gradient_norm: f64,
    /// The optimizer's.
    pub learning_rate: f64,
    /// Tokens that are not padding.
    pub tokens: usize,
}

/// A model, its data and its optimizer, somewhere on the way.
///
/// The same model, data and options make the same steps to the bit, whether in one go or from a
/// [`Place`] on with the parameters, the ranges and the optimizer as they were there.
pub struct Trainer<'a> {
    session: &'a mut Session,
    data: &'a Dataset<'a>,
    teacher: Option<Teacher<'a>>,
    options: Options,
    schedule: Schedule,
    optimizer: AdamW,
    gradients: Gradients,
    total: u64,
    place: Place,
    /// The batches of the epoch at hand.
    batches: Vec<Vec<usize>>,
}

impl<'a> Trainer<'a> {
    /// A run of a session that [`Session::start_training`] was called on. `frozen`: paths of
    /// parameters that stay as they are.
    ///
    /// # Errors
    /// The options are no run.
    pub fn new(
        session: &'a mut Session,
        data: &'a Dataset<'a>,
        teacher: Option<Teacher<'a>>,
        options: Options,
        schedule: Schedule,
        frozen: BTreeSet<String>,
    ) -> Result<Trainer<'a>, Failure> {
        let total = options.length.steps(data, options.accumulate)?;
        let mut gradients = Gradients::default();
        gradients.freeze(frozen);
        Ok(Trainer {
            session,
            data,
            teacher,
            options,
            schedule,
            optimizer: AdamW::default(),
            gradients,
            total,
            place: Place::default(),
            batches: data.epoch(0),
        })
    }

    /// The same with this optimizer, and from this place on.
    #[must_use]
    pub fn starting(mut self, optimizer: AdamW, place: Place) -> Trainer<'a> {
        self.optimizer = optimizer;
        self.place = place;
        self.batches = self.data.epoch(place.epoch);
        self
    }

    /// Where the run is.
    pub fn place(&self) -> Place {
        self.place
    }

    /// The steps of the whole run.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// There is no step left.
    pub fn is_done(&self) -> bool {
        self.place.step >= self.total
    }

    /// The model as it is now.
    pub fn session(&mut self) -> &mut Session {
        self.session
    }

    /// The optimizer as it is now.
    pub fn optimizer(&self) -> &AdamW {
        &self.optimizer
    }

    /// Sees that the model can be kept: that all its parameters are finite.
    ///
    /// # Errors
    /// One is not.
    pub fn check(&self) -> Result<(), Failure> {
        match fault::first_parameter(self.session.parameters())? {
            Some(path) => Err(fault::parameter(&path, self.place.step)),
            None => Ok(()),
        }
    }

    /// Makes one step: up to `accumulate` batches, their gradients clipped, and the optimizer.
    ///
    /// # Errors
    /// The loss or a gradient is infinite or no number, in which case nothing was changed; a learned
    /// range turned negative; or the model cannot be computed.
    pub fn step(&mut self) -> Result<Step, Failure> {
        let rest = self.batches.iter().skip(self.place.batch);
        let chosen: Vec<Vec<usize>> = rest.take(self.options.accumulate.max(1)).cloned().collect();
        let batch = |chosen: &Vec<usize>| self.data.batch(chosen, self.place.epoch);
        let batches = chosen.iter().map(batch).collect::<Result<Vec<Batch>, Problem>>();
        let batches = batches.map_err(Problem::into_failure)?;
        let weight = batches.iter().map(|batch| batch.weight).sum::<usize>().max(1);
        let learning_rate = self.schedule.rate(self.place.step);
        let mut step = Step {
            step: self.place.step + 1,
            epoch: 0.0,
            loss: 0.0,
            teacher_loss: self.teacher.as_ref().map(|_| 0.0),
            gradient_norm: 0.0,
            learning_rate,
            tokens: 0,
        };
        self.gradients.clear();
        let mut lines = Vec::new();
        for (index, (chosen, batch)) in chosen.iter().zip(batches).enumerate() {
            let share = batch.weight as f64 / weight as f64;
            self.add(chosen, &batch, share, index, &mut step)?;
            lines.extend(batch.lines);
        }
        step.gradient_norm = norm(&self.gradients)?;
        if !step.gradient_norm.is_finite() {
            return Err(fault::gradient(&self.gradients, &self.at(&lines)));
        }
        let scale = self.options.clip.map_or(1.0, |limit| clipping(step.gradient_norm, limit));
        self.optimizer.step(self.session.parameters(), &self.gradients, learning_rate, scale)?;
        if let Some(path) = fault::first_negative(self.session.parameters())? {
            return Err(fault::range(&path, step.step));
        }
        step.epoch = self.advance(chosen.len());
        if self
            .options
            .ranges
            .is_some_and(|every| self.place.step.is_multiple_of(every.max(1)) || self.is_done())
        {
            self.follow(&chosen)?;
        }
        Ok(step)
    }

    /// Adds the loss and the gradients of one batch, the `index`th of the step, that counts for a
    /// share of it.
    fn add(
        &mut self,
        examples: &[usize],
        batch: &Batch,
        share: f64,
        index: usize,
        step: &mut Step,
    ) -> Result<(), Failure> {
        let inputs = self.session.own_inputs(&batch.inputs);
        let request = self.teacher.as_ref().map_or_else(BTreeSet::new, Teacher::request);
        let dropout = self.options.dropout.then(|| mixed([self.options.seed, self.place.step, index as u64]));
        let pass = self.session.forward(&inputs, &request, dropout)?;
        let objective = match &mut self.teacher {
            Some(teacher) => teacher.objective(pass.outputs(), examples, batch, self.place.epoch, share)?,
            None => hard(pass.outputs(), share)?,
        };
        if !objective.loss.is_finite() {
            let parameters = fault::first_parameter(self.session.parameters())?;
            let first = parameters.map(|path| format!("the parameter `{path}`"));
            let first = first.or_else(|| pass.first_not_finite());
            return Err(fault::loss(objective.loss, first, &self.at(&batch.lines)));
        }
        step.loss += objective.loss * share;
        step.teacher_loss = step.teacher_loss.zip(objective.teacher_loss).map(|(sum, own)| sum + own * share);
        step.tokens += batch.tokens;
        pass.backward(&objective.upstream, &mut self.gradients)
    }

    /// One step further by so many batches; gives the epochs done.
    fn advance(&mut self, batches: usize) -> f64 {
        self.place.step += 1;
        self.place.batch += batches;
        let epoch = self.place.epoch as f64 + self.place.batch as f64 / self.batches.len().max(1) as f64;
        if self.place.batch >= self.batches.len() {
            self.place = Place { step: self.place.step, epoch: self.place.epoch + 1, batch: 0 };
            self.batches = self.data.epoch(self.place.epoch);
        }
        epoch
    }

    /// Estimates the ranges anew: those of weights from the weights as they are, the others from
    /// the batches of the step just made.
    fn follow(&mut self, chosen: &[Vec<usize>]) -> Result<(), Failure> {
        // The place is already behind them, and an epoch further where they were its last.
        let epoch = self.place.epoch - u64::from(self.place.batch == 0);
        let batches =
            chosen.iter().map(|examples| self.data.batch(examples, epoch).map_err(Problem::into_failure));
        ranges::follow(self.session, batches)
    }

    fn at<'l>(&self, lines: &'l [u64]) -> Where<'l> {
        Where { step: self.place.step + 1, lines, noun: self.options.noun }
    }
}

/// The spec's own loss.
fn hard(outputs: &BTreeMap<String, Tensor>, share: f64) -> Result<Objective, Failure> {
    let loss = outputs.get("loss").ok_or_else(no_loss)?;
    let upstream = BTreeMap::from([("loss".to_owned(), filled(loss, share)?)]);
    Ok(Objective { loss: scalar(loss)?, teacher_loss: None, upstream })
}

fn no_loss() -> Failure {
    Failure::input("the model gives no `loss` for these inputs")
        .help("return one from the model where its labels are given: `loss: f32[]?`")
}

/// The one number of a tensor.
pub(super) fn scalar(tensor: &Tensor) -> Result<f64, Failure> {
    tensor.to_dtype(DType::F64).and_then(|tensor| tensor.to_scalar()).map_err(failed)
}

/// A tensor like this one that holds one number.
pub(super) fn filled(like: &Tensor, value: f64) -> Result<Tensor, Failure> {
    Tensor::full(value as f32, like.shape(), like.device())
        .and_then(|tensor| tensor.to_dtype(like.dtype()))
        .map_err(failed)
}

pub(super) fn failed(error: candle_core::Error) -> Failure {
    Failure::outside(format!("the loss cannot be computed: {error}"))
}

/// A number that depends on all of these: SplitMix64 (Steele, Lea and Flood 2014) over each in turn.
fn mixed(numbers: [u64; 3]) -> u64 {
    numbers.into_iter().fold(0, |state, number| {
        let mut z = (state ^ number).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_counts_and_so_does_their_order() {
        let seeds: BTreeSet<u64> =
            [[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0], [1, 1, 0]].into_iter().map(mixed).collect();
        assert_eq!(seeds.len(), 5);
    }
}
