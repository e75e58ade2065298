//! Inputs made up for graphs: seeded by their names, with padding and labels that do
//! not count.

use crate::weights::numbers;
use candle_core::{Device, Tensor};
use qdqc::{
    graph::Graph,
    types::{Bindings, DType, Dim, TensorType},
};
use std::collections::BTreeMap;

/// Odd sizes that differ from each other.
pub const ODD: &[(&str, i64)] = &[("batch", 3), ("seq", 7), ("past", 3), ("source", 5), ("choices", 2)];

/// The smallest call: one token, and none before it.
pub const LEAST: &[(&str, i64)] = &[("batch", 1), ("seq", 1), ("past", 0), ("source", 1), ("choices", 2)];

/// No text at all.
pub const EMPTY: &[(&str, i64)] = &[("batch", 0), ("seq", 7), ("past", 3), ("source", 5), ("choices", 2)];

/// A tensor for every input of the graph; a size of no name is 3.
pub fn inputs(graph: &Graph, sizes: &[(&str, i64)]) -> BTreeMap<String, Tensor> {
    let mut dims: Bindings = sizes.iter().map(|(name, size)| ((*name).into(), *size)).collect();
    for dim in graph.inputs.iter().flat_map(|input| &graph.node(input.node).ty.shape) {
        for symbol in dim.symbols() {
            dims.entry(symbol.clone()).or_insert(3);
        }
    }
    let named = graph.inputs.iter().map(|input| {
        let ty = &graph.node(input.node).ty;
        (input.name.clone(), input_of(&input.name, ty, &dims))
    });
    named.collect()
}

fn input_of(name: &str, ty: &TensorType, dims: &Bindings) -> Tensor {
    let size = |dim: &Dim| usize::try_from(dim.evaluate(dims).unwrap()).unwrap();
    let shape: Vec<usize> = ty.shape.iter().map(size).collect();
    let numbers = numbers(name, shape.iter().product());
    let last = shape.last().copied().unwrap_or(1);
    // Of every other row, the last third.
    let padding = |at: usize| at / last % 2 == 1 && at % last >= last - last / 3;
    let for_each_token = ty.shape.last().is_some_and(|dim| dim.as_known().is_none());
    let id = |at: usize, number: f32| match name {
        _ if name.ends_with("mask") => i64::from(!padding(at)),
        "labels" if for_each_token && ty.rank() > 1 && padding(at) => -100,
        // There are at least 2 classes, segments and choices.
        _ if !name.ends_with("input_ids") => i64::from(number >= 0.0),
        _ => ((number + 0.5) * 11.0) as i64,
    };
    let ids = || numbers.iter().enumerate().map(|(at, number)| id(at, *number)).collect::<Vec<_>>();
    let made = match ty.dtype {
        DType::F32 if name.ends_with("mask") => {
            Tensor::from_vec(ids().into_iter().map(|id| id as f32).collect(), shape, &Device::Cpu)
        }
        DType::F32 => Tensor::from_vec(numbers.iter().map(|x| x * 2.0).collect(), shape, &Device::Cpu),
        _ => Tensor::from_vec(ids(), shape, &Device::Cpu),
    };
    made.unwrap()
}
