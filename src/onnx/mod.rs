//! A checked graph as an ONNX model.

pub(crate) mod proto;
