//! Small models, built by hand.

use crate::onnx::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
    TypeProto, ValueInfoProto,
    tensor_proto::DataType,
    tensor_shape_proto::{Dimension, dimension},
    type_proto,
};

/// A model that is being built.
#[derive(Clone)]
pub struct Build {
    pub opset: i64,
    pub graph: GraphProto,
}

impl Build {
    pub fn new(opset: i64) -> Build {
        Build { opset, graph: GraphProto::default() }
    }

    /// An input of the graph; sizes below zero are symbolic.
    pub fn input(mut self, name: &str, element: DataType, sizes: &[i64]) -> Build {
        self.graph.input.push(value(name, element, sizes));
        self
    }

    pub fn output(mut self, name: &str) -> Build {
        self.graph.output.push(ValueInfoProto { name: Some(name.into()), ..ValueInfoProto::default() });
        self
    }

    /// An initializer, whose numbers are stored as its type asks.
    pub fn stored(mut self, name: &str, element: DataType, sizes: &[i64], numbers: &[f64]) -> Build {
        self.graph.initializer.push(tensor(name, element, sizes, numbers));
        self
    }

    pub fn node(self, kind: &str, inputs: &[&str], output: &str) -> Build {
        self.with(kind, inputs, output, &[])
    }

    /// A node with whole numbers for attributes; a list where there is not exactly one.
    pub fn with(mut self, kind: &str, inputs: &[&str], output: &str, attributes: &[(&str, &[i64])]) -> Build {
        let (domain, kind) = kind.rsplit_once('/').unwrap_or(("", kind));
        let attribute = |(name, numbers): &(&str, &[i64])| AttributeProto {
            name: Some((*name).into()),
            i: (numbers.len() == 1).then(|| numbers[0]),
            ints: if numbers.len() == 1 { Vec::new() } else { numbers.to_vec() },
            ..AttributeProto::default()
        };
        self.graph.node.push(NodeProto {
            op_type: Some(kind.into()),
            domain: Some(domain.into()),
            input: inputs.iter().map(|name| (*name).into()).collect(),
            output: vec![output.into()],
            attribute: attributes.iter().map(attribute).collect(),
            ..NodeProto::default()
        });
        self
    }

    /// A `Constant` node.
    pub fn constant(mut self, name: &str, element: DataType, sizes: &[i64], numbers: &[f64]) -> Build {
        let value = AttributeProto {
            name: Some("value".into()),
            t: Some(tensor("", element, sizes, numbers)),
            ..AttributeProto::default()
        };
        self = self.node("Constant", &[], name);
        self.graph.node.last_mut().unwrap().attribute.push(value);
        self
    }

    pub fn model(self) -> ModelProto {
        let opset = OperatorSetIdProto { domain: None, version: Some(self.opset) };
        ModelProto {
            ir_version: Some(8),
            opset_import: vec![opset],
            graph: Some(self.graph),
            ..ModelProto::default()
        }
    }
}

fn value(name: &str, element: DataType, sizes: &[i64]) -> ValueInfoProto {
    let dimension = |size: &i64| match size {
        0.. => dimension::Value::DimValue(*size),
        _ => dimension::Value::DimParam("n".into()),
    };
    let dim = sizes.iter().map(|size| Dimension { value: Some(dimension(size)), ..Dimension::default() });
    let shape = Some(TensorShapeProto { dim: dim.collect() });
    let tensor = type_proto::Tensor { elem_type: Some(element as i32), shape };
    let kind = TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() };
    ValueInfoProto { name: Some(name.into()), r#type: Some(kind), ..ValueInfoProto::default() }
}

pub fn tensor(name: &str, element: DataType, sizes: &[i64], numbers: &[f64]) -> TensorProto {
    let mut tensor = TensorProto {
        name: Some(name.into()),
        dims: sizes.to_vec(),
        data_type: Some(element as i32),
        ..TensorProto::default()
    };
    match element {
        DataType::Float => tensor.float_data = numbers.iter().map(|number| *number as f32).collect(),
        DataType::Double => tensor.double_data = numbers.to_vec(),
        DataType::Int64 => tensor.int64_data = numbers.iter().map(|number| *number as i64).collect(),
        DataType::Float16 => {
            let bits = numbers.iter().map(|number| i32::from(half::f16::from_f64(*number).to_bits()));
            tensor.int32_data = bits.collect();
        }
        _ => tensor.int32_data = numbers.iter().map(|number| *number as i32).collect(),
    }
    tensor
}

/// A linear layer, quantized on both sides, as a target takes it; each part can be made otherwise.
#[derive(Clone)]
pub struct Linear {
    pub opset: i64,
    /// Sizes of the input.
    pub sizes: Vec<i64>,
    /// Codes of the activation, and its zero point; none for float.
    pub activation: Option<(DataType, f64)>,
    pub activation_scales: Vec<f64>,
    pub activation_axis: Option<i64>,
    pub weight: Option<(DataType, f64)>,
    pub weight_scales: Vec<f64>,
    pub weight_axis: i64,
    /// A scale by block along axis 0.
    pub block: Option<i64>,
    pub bias_sizes: Vec<i64>,
    pub scale_type: DataType,
    /// What stands between the activation's two halves, and behind them.
    pub between: &'static str,
    pub behind: &'static str,
    pub kind: &'static str,
}

/// Input features and output features; unequal, so that axes cannot be taken for each other.
pub const INPUTS: i64 = 8;
pub const OUTPUTS: i64 = 4;

impl Linear {
    pub fn new(activation: (DataType, f64)) -> Linear {
        Linear {
            opset: 17,
            sizes: vec![-1, -1, INPUTS],
            activation: Some(activation),
            activation_scales: vec![0.05],
            activation_axis: None,
            weight: Some((DataType::Int8, 0.0)),
            weight_scales: vec![0.02; 4],
            weight_axis: 1,
            block: None,
            bias_sizes: vec![1, 1, OUTPUTS],
            scale_type: DataType::Float,
            between: "",
            behind: "",
            kind: "MatMul",
        }
    }

    /// The layer from `x` to `y`; every node is called by what it makes.
    pub fn build(&self) -> Build {
        let mut build = Build::new(self.opset).input("x", DataType::Float, &self.sizes);
        let mut left = "x";
        if let Some((codes, zero)) = self.activation {
            let many = self.activation_scales.len();
            let sizes: &[i64] = if many == 1 { &[] } else { &[many as i64] };
            let axis = self.activation_axis.map(|axis| [axis]);
            let axis: Vec<(&str, &[i64])> = axis.iter().map(|axis| ("axis", axis.as_slice())).collect();
            build = build
                .stored("xs", self.scale_type, sizes, &self.activation_scales)
                .stored("xz", codes, sizes, &vec![zero; many])
                .with("QuantizeLinear", &["x", "xs", "xz"], "xq", &axis);
            let mut codes = "xq";
            if self.between == "Clip" {
                build = build.node("Clip", &["xq"], "xc");
                codes = "xc";
            }
            build = build.with("DequantizeLinear", &[codes, "xs", "xz"], "xd", &axis);
            left = "xd";
        }
        if self.behind == "Transpose" {
            build = build.with("Transpose", &[left], "xt", &[("perm", &[1, 0, 2])]);
            left = "xt";
        }
        let numbers: Vec<f64> = (0..INPUTS * OUTPUTS).map(|at| ((at % 7) - 3) as f64).collect();
        let right = match self.weight {
            None => {
                build = build.stored("w", DataType::Float, &[INPUTS, OUTPUTS], &numbers);
                "w"
            }
            Some((codes, zero)) => {
                let many = self.weight_scales.len();
                let one = [many as i64];
                let blocks = self.block.map(|block| [INPUTS / block, OUTPUTS]);
                let sizes: &[i64] = match &blocks {
                    Some(sizes) => sizes,
                    None if many == 1 => &[],
                    None => &one,
                };
                let block = self.block.unwrap_or(0);
                build = build
                    .stored("wq", codes, &[INPUTS, OUTPUTS], &numbers)
                    .stored("ws", self.scale_type, sizes, &self.weight_scales)
                    .stored("wz", codes, sizes, &vec![zero; many])
                    .with(
                        "DequantizeLinear",
                        &["wq", "ws", "wz"],
                        "wd",
                        &[("axis", &[self.weight_axis]), ("block_size", &[block])],
                    );
                "wd"
            }
        };
        build = build.stored("b", DataType::Float, &self.bias_sizes, &[0.1; 4]);
        if self.kind == "Gemm" {
            return build.node("Gemm", &[left, right, "b"], "y").output("y");
        }
        build.node(self.kind, &[left, right], "m").node("Add", &["m", "b"], "y").output("y")
    }
}
