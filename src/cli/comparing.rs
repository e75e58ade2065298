//! A model and another runtime, called with the same inputs and looked at together.

use super::{
    other::{Inner, Other},
    screen::Screen,
};
use crate::{
    backends::candle::Inspected,
    comparison::{Comparison, Difference, Finding, Parting, Rule, Seen, Top, rounding},
    failure::Failure,
    names::list_of,
    quant::RangeSource,
    session::Session,
    tasks::Runner,
};
use candle_core::{DType, Device, Tensor};
use std::collections::{BTreeMap, BTreeSet};

/// Both, and what was found so far.
pub struct Comparing<'a> {
    session: &'a mut Session,
    other: Other,
    /// What was found.
    pub comparison: Comparison,
    /// Inputs that the other does not have.
    left_out: BTreeSet<String>,
    /// Why the last call failed.
    failure: Option<Failure>,
    screen: Screen,
}

/// The results of a call: ours are computed as they are, or from their codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Run {
    Free,
    Given,
}

impl<'a> Comparing<'a> {
    /// Nothing compared yet.
    pub fn new(session: &'a mut Session, other: Other, screen: Screen) -> Comparing<'a> {
        Comparing {
            session,
            other,
            comparison: Comparison::default(),
            left_out: BTreeSet::new(),
            failure: None,
            screen,
        }
    }

    /// Calls both with the inputs that both have, and compares. Gives our outputs.
    ///
    /// # Errors
    /// Either fails, or they have no output in common.
    pub fn call(&mut self, inputs: &BTreeMap<String, Tensor>) -> Result<BTreeMap<String, Tensor>, Failure> {
        let inputs = self.shared(inputs);
        let theirs = self.other.call(&inputs)?;
        let outputs = self.inspect(&inputs, &theirs, Run::Free)?;
        if self.outputs(&outputs, &theirs, Run::Free)? == 0 {
            let ours: Vec<&str> = outputs.keys().map(String::as_str).collect();
            let message = format!("`{}` has no output of the spec's", self.other.file());
            return Err(
                Failure::input(message).help(format!("the outputs of this call are {}", list_of(ours)))
            );
        }
        if !self.comparison.quantizers.is_empty() {
            let again = self.inspect(&inputs, &theirs, Run::Given)?;
            self.outputs(&again, &theirs, Run::Given)?;
        }
        self.comparison.calls += 1;
        Ok(outputs)
    }

    /// Why a run of records ended in this failure: what a call said is not about the record.
    pub fn reason(&mut self, failure: Failure) -> Failure {
        self.failure.take().unwrap_or(failure)
    }

    /// What the other is called in results.
    pub fn name(&self) -> String {
        self.other.name()
    }

    /// Without those of the model's inputs that the other does not have; says so once.
    fn shared(&mut self, inputs: &BTreeMap<String, Tensor>) -> BTreeMap<String, Tensor> {
        let own = self.session.own_inputs(inputs);
        let mut shared = inputs.clone();
        for name in own.into_keys().filter(|name| !self.other.takes(name)) {
            shared.remove(&name);
            if !self.left_out.contains(&name) {
                self.screen
                    .note(&format!("`{}` has no input `{name}`: both are run without it", self.other.file()));
                self.left_out.insert(name);
            }
        }
        shared
    }

    /// Our outputs, every quantizer compared meanwhile.
    fn inspect(
        &mut self,
        inputs: &BTreeMap<String, Tensor>,
        theirs: &BTreeMap<String, Tensor>,
        run: Run,
    ) -> Result<BTreeMap<String, Tensor>, Failure> {
        let (_, known) = self.session.program().interface();
        let asked = theirs.keys().map(|name| name.split_once('.').map_or(name.as_str(), |(list, _)| list));
        let asked: BTreeSet<String> = asked.filter(|name| known.contains(*name)).map(str::to_owned).collect();
        let rounded = rounding(self.session.dtype());
        let Comparing { session, other, comparison, .. } = self;
        session.inspect(inputs, &asked, &mut |seen| {
            let mut instead = None;
            for name in &seen.names {
                match other.inner(name, seen, theirs) {
                    Some(inner) => {
                        let finding = comparison.quantizer(name, seen.output.dims());
                        match (look(finding, seen, &inner, rounded)?, run) {
                            (Some(found), Run::Free) => finding.free.join(found),
                            (Some(found), Run::Given) => finding.given.get_or_insert_default().join(found),
                            (None, _) => finding.their_shape = Some(inner.output.dims().to_vec()),
                        }
                        instead = instead.or_else(|| replacement(seen.output, inner.output));
                    }
                    None => comparison.lacks(name),
                }
            }
            Ok(instead.filter(|_| run == Run::Given))
        })
    }

    /// Compares the outputs that both have; gives how many.
    fn outputs(
        &mut self,
        ours: &BTreeMap<String, Tensor>,
        theirs: &BTreeMap<String, Tensor>,
        run: Run,
    ) -> Result<usize, Failure> {
        let mut count = 0;
        for (name, own) in ours {
            let Some(other) = theirs.get(name) else { continue };
            let output = self.comparison.output(name, own.dims());
            if own.dims() == other.dims() {
                let (own, other, row) = (numbers(own)?, numbers(other)?, own.dims().last().copied());
                let found = Difference::of(&own, &other);
                match run {
                    Run::Free => {
                        output.free.join(found);
                        output.top.join(Top::of(&own, &other, row.unwrap_or(1)));
                    }
                    Run::Given => output.given.get_or_insert_default().join(found),
                }
            } else {
                output.their_shape = Some(other.dims().to_vec());
            }
            count += 1;
        }
        Ok(count)
    }
}

impl Runner for Comparing<'_> {
    fn run(
        &mut self,
        inputs: &BTreeMap<String, Tensor>,
        _: &[&str],
    ) -> Result<BTreeMap<String, Tensor>, Failure> {
        let own = self.session.own_inputs(inputs);
        self.call(&own).map_err(|failure| {
            self.failure = Some(failure);
            Failure::input("the models could not be compared on it")
        })
    }
}

/// Compares what both made at a quantizer; nothing where the shapes are not the same.
fn look(
    finding: &mut Finding,
    seen: &Inspected<'_>,
    theirs: &Inner<'_>,
    rounding: f32,
) -> Result<Option<Parting>, Failure> {
    let same = |tensor: &&Tensor| tensor.dims() == seen.output.dims();
    if !same(&theirs.output) {
        return Ok(None);
    }
    let (input, output) = (numbers(seen.input)?, numbers(seen.output)?);
    let their_output = numbers(theirs.output)?;
    let their_input = theirs.input.filter(same).map(numbers).transpose()?;
    let own_rule = rule(seen, &input)?;
    let mut their_rule = match &their_input {
        Some(input) => rule(seen, input)?,
        None => own_rule.clone(),
    };
    if let Some(scales) = theirs.scales {
        their_rule = their_rule.with_scales(scales);
        let mut pairs = own_rule.scales().into_iter().zip(their_rule.scales());
        finding.scales = pairs.find(|(a, b)| a != b).or(finding.scales);
    }
    let ours = Seen { input: Some(&input), output: &output };
    let theirs = Seen { input: their_input.as_deref(), output: &their_output };
    Ok(Some(Parting::of((&own_rule, ours), (&their_rule, theirs), rounding)))
}

/// How the quantizer makes codes of this input.
fn rule(seen: &Inspected<'_>, input: &[f32]) -> Result<Rule, Failure> {
    let scheme = &seen.quantizer.scheme;
    let dims = seen.input.dims();
    let axis = scheme.axis.and_then(|axis| {
        let from_end = dims.len().checked_sub(usize::try_from(axis.unsigned_abs()).ok()?);
        if axis < 0 { from_end } else { usize::try_from(axis).ok() }
    });
    let (channels, inner) = match axis.and_then(|axis| dims.get(axis..)?.split_first()) {
        Some((channels, rest)) => (*channels, rest.iter().product()),
        None => (1, input.len()),
    };
    if scheme.range == RangeSource::Dynamic {
        return Ok(Rule::measured(scheme, input, channels, inner));
    }
    Ok(Rule::new(scheme, &numbers(seen.range)?, inner))
}

/// Their tensor in place of ours.
fn replacement(ours: &Tensor, theirs: &Tensor) -> Option<Tensor> {
    let same = theirs.dims() == ours.dims();
    same.then(|| theirs.to_dtype(ours.dtype())?.to_device(ours.device())).and_then(Result::ok)
}

/// The numbers of a tensor in order, as f32.
fn numbers(tensor: &Tensor) -> Result<Vec<f32>, Failure> {
    let numbers = || tensor.to_device(&Device::Cpu)?.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>();
    numbers().map_err(|error| Failure::outside(format!("a tensor cannot be compared: {error}")))
}
