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
        // A linear congruential generator (Knuth's MMIX), begun at the path.
        let mut state = path.bytes().fold(7_u64, |state, byte| state.wrapping_mul(31) + u64::from(byte));
        let values: Vec<f32> = (0..count)
            .map(|_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (state >> 40) as f32 / (1 << 24) as f32 - 0.5
            })
            .collect();
        let values = if path.ends_with("_amax") { vec![4.0; count] } else { values };
        (path, Tensor::from_vec(values, shape, &Device::Cpu).unwrap())
    };
    parameters.map(tensor).collect()
}
