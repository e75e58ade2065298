//! What Triton Inference Server wants beside a model: `config.pbtxt`, as its model
//! configuration page says (docs/user_guide/model_configuration.md of triton-inference-server).

use crate::{
    graph::{Graph, NodeId},
    types::{DType, Dim, TensorType},
};
use std::fmt::Write;

/// The most requests that Triton may put into one batch.
const LARGEST_BATCH: usize = 64;

/// What Triton is told of a model.
#[derive(Clone, Debug)]
pub struct Repository<'a> {
    /// The model's name: that of its folder.
    pub name: &'a str,
    /// Has TensorRT run it, which the GPU's ONNX Runtime can.
    pub tensorrt: bool,
    /// The outputs that are one number a label, and the file that names the labels.
    pub labelled: Option<(&'a [String], &'a str)>,
}

/// The `config.pbtxt` of a model with this graph.
pub fn config(graph: &Graph, repository: &Repository<'_>) -> String {
    let ports = graph.inputs.iter().map(|input| input.node).chain(graph.outputs.iter().map(|one| one.node));
    let batched = batch(graph, ports);
    let mut text = format!("name: {:?}\nbackend: \"onnxruntime\"\n", repository.name);
    let most = if batched { LARGEST_BATCH } else { 0 };
    // Writing to a string does not fail.
    let _ = writeln!(text, "max_batch_size: {most}");
    let inputs: Vec<String> = graph
        .inputs
        .iter()
        .map(|input| port(&input.name, &graph.node(input.node).ty, batched, None))
        .collect();
    let outputs: Vec<String> = graph
        .outputs
        .iter()
        .map(|output| {
            let labels = repository.labelled.filter(|(names, _)| names.contains(&output.name));
            port(&output.name, &graph.node(output.node).ty, batched, labels.map(|(_, file)| file))
        })
        .collect();
    let _ = writeln!(text, "input [\n{}\n]\noutput [\n{}\n]", inputs.join(",\n"), outputs.join(",\n"));
    if batched {
        text += "dynamic_batching {}\n";
    }
    if repository.tensorrt {
        let int8 = "      parameters { key: \"precision_mode\" value: \"INT8\" }\n";
        let precision = if graph.quantizers.is_empty() { "" } else { int8 };
        let _ = write!(
            text,
            "optimization {{\n  execution_accelerators {{\n    gpu_execution_accelerator [ {{\n      \
             name: \"tensorrt\"\n{precision}    }} ]\n  }}\n}}\n"
        );
    }
    text
}

/// Every tensor begins with the same symbolic size: requests can be joined along it.
fn batch(graph: &Graph, ports: impl Iterator<Item = NodeId>) -> bool {
    let mut first: Option<&Dim> = None;
    for port in ports {
        let dim = graph.node(port).ty.shape.first().filter(|dim| dim.as_symbol().is_some());
        match (dim, first) {
            (Some(dim), None) => first = Some(dim),
            (Some(dim), Some(known)) if dim == known => {}
            _ => return false,
        }
    }
    first.is_some()
}

fn port(name: &str, ty: &TensorType, batched: bool, labels: Option<&str>) -> String {
    let shape = ty.shape.iter().skip(usize::from(batched));
    let dims: Vec<String> = shape.map(|dim| dim.as_known().unwrap_or(-1).to_string()).collect();
    let data_type = match ty.dtype {
        DType::F32 => "TYPE_FP32",
        DType::F16 => "TYPE_FP16",
        DType::BF16 => "TYPE_BF16",
        DType::I64 => "TYPE_INT64",
        DType::I32 => "TYPE_INT32",
        DType::U8 => "TYPE_UINT8",
        DType::Bool => "TYPE_BOOL",
    };
    // An output without axes, as a loss, is one number.
    let dims = if dims.is_empty() { "1".to_owned() } else { dims.join(", ") };
    let scalar = if ty.shape.is_empty() { " reshape: { shape: [ ] }" } else { "" };
    let labels = labels.map_or_else(String::new, |file| format!(" label_filename: {file:?}"));
    format!("  {{ name: {name:?} data_type: {data_type} dims: [ {dims} ]{scalar}{labels} }}")
}
