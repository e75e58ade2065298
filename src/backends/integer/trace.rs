//! The codes of a call, shown.

use super::{
    Executor, State, Watch, product,
    program::{BufferId, Form, Place, Work},
    run::Noted,
    too_large,
};
use crate::{
    backends::candle, failure::Failure, graph::NodeId, ops::kernels::integer::Quantizer, types::Bindings,
};
use candle_core::{Device, Tensor};
use std::{collections::BTreeMap, sync::PoisonError};

/// What a call gives, and what its quantizers made meanwhile.
#[derive(Clone, Debug, Default)]
pub struct Traced {
    /// The outputs, by name.
    pub outputs: BTreeMap<String, Tensor>,
    /// What the codes of each fake quantizer stand for, by the quantizer's name: of those whose
    /// codes were multiplied or added.
    pub quantized: BTreeMap<String, Tensor>,
}

impl Executor {
    /// Computes the outputs as [`run`](Executor::run) does, and shows the codes.
    ///
    /// # Errors
    /// As [`run`](Executor::run).
    pub fn trace(&self, inputs: &BTreeMap<String, Tensor>) -> Result<Traced, Failure> {
        let (mut state, noted) = (State::default(), Noted::new(Default::default()));
        let outputs =
            self.run_in(&mut state, inputs, &mut Watch { noted: Some(&noted), ..Watch::default() })?;
        let noted = noted.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut quantized = BTreeMap::new();
        for (node, place) in &self.program.codes {
            let described = self.graph().node(*node);
            let (bytes, quantizer) = match place {
                Place::Whole(buffer) | Place::Heads { buffer, .. } => self.kept(&mut state, *buffer),
                Place::Inside(attention) => {
                    (noted.get(attention).cloned().unwrap_or_default(), self.softmax(*attention))
                }
            };
            let Some(quantizer) = quantizer else { continue };
            let numbers: Vec<f32> = bytes.iter().map(|code| quantizer.value(*code)).collect();
            let value = self.in_order(*node, *place, numbers, &state.dims)?;
            let value = value.map_err(|error| candle::fault(described, &error))?;
            quantized.insert(described.name.clone(), value);
        }
        Ok(Traced { outputs, quantized })
    }

    /// The codes in a buffer.
    fn kept(&self, state: &mut State, buffer: BufferId) -> (Vec<u8>, Option<Quantizer>) {
        let State { arena, layout: Some(layout), .. } = state else { return (Vec::new(), None) };
        let memory = arena.lend(&self.program, layout);
        match memory.form(buffer) {
            // SAFETY: no step runs now.
            Form::Codes(quantizer) => (unsafe { memory.codes(buffer) }.to_vec(), Some(quantizer)),
            Form::Float => (Vec::new(), None),
        }
    }

    fn softmax(&self, attention: NodeId) -> Option<Quantizer> {
        self.program.steps.iter().find(|step| step.node == attention).and_then(|step| match &step.work {
            Work::Attention(attention) => Some(attention.probabilities),
            _ => None,
        })
    }

    /// The numbers in the order of the quantizer's value.
    fn in_order(
        &self,
        node: NodeId,
        place: Place,
        numbers: Vec<f32>,
        dims: &Bindings,
    ) -> Result<candle_core::Result<Tensor>, Failure> {
        let shape = self.graph().node(node).ty.shape.iter();
        let shape = shape.map(|dim| product(std::slice::from_ref(dim), dims)).collect::<Option<Vec<_>>>();
        let shape = shape.ok_or_else(too_large)?;
        Ok(match place {
            Place::Whole(_) | Place::Inside(_) => Tensor::from_vec(numbers, shape, &Device::Cpu),
            Place::Heads { heads, size, is_split, is_turned, .. } => {
                let batch = shape.first().copied().unwrap_or(0);
                let length = shape.get(if is_turned { 3 } else { 2 }).copied().unwrap_or(0);
                let by_head = match is_split {
                    true => Tensor::from_vec(numbers, (batch, heads, length, size), &Device::Cpu),
                    false => Tensor::from_vec(numbers, (batch, length, heads, size), &Device::Cpu)
                        .and_then(|value| value.transpose(1, 2)),
                };
                by_head.and_then(|value| if is_turned { value.transpose(2, 3) } else { Ok(value) })
            }
        })
    }
}
