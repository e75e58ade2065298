//! Weights made up for graphs: seeded by their paths, ranges of quantizers at 4.

use candle_core::{Device, Tensor};
use qdqc::graph::{Graph, NodeKind};
use std::collections::HashMap;

/// A tensor for every parameter of the graph, by state-dict path.
pub fn weights(graph: &Graph) -> HashMap<String, Tensor> {
    let parameters = graph.nodes.iter().filter_map(|node| match &node.kind {
        NodeKind::Parameter(parameter) => Some((parameter.path.clone(), &node.ty)),
        _ => None,
    });
    let tensor = |(path, ty): (String, &qdqc::types::TensorType)| {
        let shape: Vec<usize> = ty.shape.iter().map(|dim| dim.as_known().unwrap() as usize).collect();
        let count = shape.iter().product();
        let values = if path.ends_with("_amax") { vec![4.0; count] } else { numbers(&path, count) };
        (path, Tensor::from_vec(values, shape, &Device::Cpu).unwrap())
    };
    parameters.map(tensor).collect()
}

/// Numbers from -0.5 to 0.5, the same for the same seed.
pub fn numbers(seed: &str, count: usize) -> Vec<f32> {
    // A linear congruential generator (Knuth's MMIX), begun at the seed.
    let mut state = seed.bytes().fold(7_u64, |state, byte| state.wrapping_mul(31) + u64::from(byte));
    let next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    std::iter::repeat_with(next).take(count).collect()
}
