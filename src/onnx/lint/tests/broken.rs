//! For each rule a graph that breaks it.

use super::{Build, DataType, INPUTS, Linear, ModelProto, OUTPUTS, good};

/// A graph, and what a profile finds in it: the rule that it is for comes first.
pub struct Case {
    pub codes: &'static [&'static str],
    pub profile: &'static str,
    pub model: ModelProto,
}

pub fn all() -> Vec<Case> {
    [generic(), tensorrt(), onnxruntime(), openvino()].concat()
}

impl Clone for Case {
    fn clone(&self) -> Case {
        Case { codes: self.codes, profile: self.profile, model: self.model.clone() }
    }
}

fn layer(codes: &'static [&'static str], profile: &'static str, change: impl Fn(Linear) -> Linear) -> Case {
    Case { codes, profile, model: change(good(profile)).build().model() }
}

fn built(codes: &'static [&'static str], profile: &'static str, build: Build) -> Case {
    Case { codes, profile, model: build.model() }
}

/// `x` rounded to `d` with zero point 0, and nothing else.
fn pair(opset: i64, codes: DataType) -> Build {
    Build::new(opset)
        .input("x", DataType::Float, &[-1, 3, INPUTS])
        .stored("s", DataType::Float, &[], &[0.1])
        .stored("z", codes, &[], &[0.0])
        .node("QuantizeLinear", &["x", "s", "z"], "q")
        .node("DequantizeLinear", &["q", "s", "z"], "d")
}

fn generic() -> Vec<Case> {
    let on = "generic";
    vec![
        built(&["G01"], on, pair(17, DataType::Int8).node("Relu", &["nowhere"], "y")),
        built(
            &["G01"],
            on,
            Build::new(17).input("x", DataType::Float, &[2]).node("QuantizeLinear", &["x"], "q"),
        ),
        layer(&["G02"], on, |l| Linear { activation: Some((DataType::Int16, 0.0)), ..l }),
        layer(&["G02"], on, |l| Linear { activation: Some((DataType::Float8e4m3fn, 0.0)), ..l }),
        layer(&["G02"], on, |l| Linear { activation: Some((DataType::Float, 0.0)), opset: 21, ..l }),
        layer(&["G02"], on, |l| Linear { weight: Some((DataType::Int4, 0.0)), opset: 19, ..l }),
        layer(&["G03"], on, |l| Linear { opset: 12, ..l }),
        layer(&["G03"], on, |l| Linear { opset: 9, weight: None, ..l }),
        layer(&["G04"], on, |l| Linear { weight_axis: 2, ..l }),
        layer(&["G04"], on, |l| Linear { weight_axis: -3, ..l }),
        layer(&["G05"], on, |l| Linear { weight_axis: 0, ..l }),
        layer(&["G06"], on, |l| Linear {
            opset: 20,
            block: Some(4),
            weight_scales: vec![0.02; 8],
            weight_axis: 0,
            ..l
        }),
        layer(&["G06"], on, |l| Linear { opset: 21, block: Some(2), weight_scales: vec![0.02; 16], ..l }),
        built(
            &["G06"],
            on,
            Build::new(17).input("x", DataType::Float, &[2]).stored("s", DataType::Float, &[0], &[]).node(
                "QuantizeLinear",
                &["x", "s"],
                "q",
            ),
        ),
        built(
            &["G07"],
            on,
            Build::new(17)
                .input("x", DataType::Float, &[-1, INPUTS])
                .stored("s", DataType::Float, &[], &[0.1])
                .stored("z", DataType::Int8, &[2], &[0.0; 2])
                .node("QuantizeLinear", &["x", "s", "z"], "q"),
        ),
        built(
            &["G08"],
            on,
            pair(17, DataType::Int8).stored("u", DataType::Uint8, &[], &[0.0]).node(
                "DequantizeLinear",
                &["q", "s", "u"],
                "y",
            ),
        ),
        built(
            &["G08"],
            on,
            pair(21, DataType::Int8).with("QuantizeLinear", &["x", "s", "z"], "y", &[("output_dtype", &[2])]),
        ),
        layer(&["G09"], on, |l| Linear { scale_type: DataType::Float16, ..l }),
        layer(&["G09"], on, |l| Linear { scale_type: DataType::Float16, opset: 19, ..l }),
        layer(&["G09"], on, |l| Linear { scale_type: DataType::Double, opset: 21, ..l }),
        layer(&["G10"], on, |l| Linear { activation_scales: vec![0.0], ..l }),
        layer(&["G10"], on, |l| Linear { weight_scales: vec![0.1, 0.1, f64::NAN, 0.1], ..l }),
    ]
}

impl Case {
    fn with_codes(self, codes: &'static [&'static str]) -> Case {
        Case { codes, ..self }
    }
}

fn tensorrt() -> Vec<Case> {
    let on = "tensorrt";
    vec![
        layer(&["T01"], on, |l| Linear { activation: Some((DataType::Int8, 3.0)), ..l }),
        layer(&["T02"], on, |l| Linear { activation: Some((DataType::Uint8, 0.0)), ..l }),
        layer(&["T02"], on, |l| Linear { weight: Some((DataType::Uint8, 0.0)), ..l }),
        built(
            &["T03"],
            on,
            Build::new(17)
                .input("x", DataType::Float, &[-1, INPUTS])
                .stored("s", DataType::Float, &[], &[0.1])
                .node("QuantizeLinear", &["x", "s"], "q")
                .node("DequantizeLinear", &["q", "s"], "y"),
        ),
        layer(&["T04"], on, |l| Linear { activation: Some((DataType::Int16, 0.0)), opset: 21, ..l }),
        built(
            &["T05"],
            on,
            Build::new(17)
                .stored("b", DataType::Int32, &[4], &[1.0; 4])
                .stored("s", DataType::Float, &[4], &[0.1; 4])
                .with("DequantizeLinear", &["b", "s"], "y", &[("axis", &[0])]),
        ),
        built(
            &["T06"],
            on,
            pair(17, DataType::Int8)
                .node("ReduceMax", &["x"], "t")
                .node("QuantizeLinear", &["x", "t", "z"], "r")
                .node("DequantizeLinear", &["r", "t", "z"], "y"),
        ),
        built(
            &["T07"],
            on,
            pair(17, DataType::Int8)
                .input("p", DataType::Int8, &[])
                .node("QuantizeLinear", &["x", "s", "p"], "r")
                .node("DequantizeLinear", &["r", "s", "z"], "y"),
        ),
        layer(&["T08"], on, |l| Linear { activation_scales: vec![0.05; 8], activation_axis: Some(2), ..l }),
        built(
            &["T09"],
            on,
            pair(17, DataType::Int8)
                .stored("wq", DataType::Int8, &[4, 3], &[1.0; 12])
                .stored("ws", DataType::Float, &[4], &[0.1; 4])
                .with("DequantizeLinear", &["wq", "ws"], "wd", &[("axis", &[0])])
                .node("MatMul", &["wd", "d"], "y"),
        ),
        layer(&["T10"], on, |l| Linear { weight_scales: vec![0.02; 8], weight_axis: 0, ..l }),
        layer(&["T11"], on, |l| Linear { weight: Some((DataType::Int4, 0.0)), opset: 21, ..l }),
        layer(&["T11"], on, |l| Linear { activation: Some((DataType::Int4, 0.0)), opset: 21, ..l }),
        built(
            &["T12"],
            on,
            Build::new(17).input("x", DataType::Float, &[2, 2]).node("DynamicQuantizeLinear", &["x"], "y"),
        ),
        built(
            &["T12"],
            on,
            Build::new(17).input("x", DataType::Float, &[2, 2]).node(
                "com.microsoft/FusedMatMul",
                &["x", "x"],
                "y",
            ),
        ),
        layer(&["T13"], on, |l| Linear { opset: 26, ..l }),
        built(&["T14"], on, pair(17, DataType::Int8).node("Cast", &["q"], "y")),
        built(
            &["T14"],
            on,
            pair(17, DataType::Int8).with("Cast", &["x"], "c", &[("to", &[DataType::Int8 as i64])]).node(
                "DequantizeLinear",
                &["c", "s", "z"],
                "y",
            ),
        ),
        layer(&["T15"], on, |l| Linear { between: "Clip", ..l }),
        built(
            &["T16"],
            on,
            pair(17, DataType::Int8)
                .with("Transpose", &["d"], "t", &[("perm", &[0, 2, 1])])
                .node("QuantizeLinear", &["t", "s", "z"], "r")
                .node("DequantizeLinear", &["r", "s", "z"], "y"),
        ),
        layer(&["T17"], on, |l| Linear { activation: None, ..l }),
        layer(&["T17"], on, |l| Linear { weight: None, ..l }),
        built(&["T18"], on, pair(17, DataType::Int8).node("Add", &["d", "x"], "y")),
        built(
            &["T19"],
            on,
            Build::new(23)
                .input("x", DataType::Float, &[-1, INPUTS])
                .stored("s", DataType::Float16, &[], &[0.1])
                .stored("z", DataType::Int8, &[], &[0.0])
                .node("QuantizeLinear", &["x", "s", "z"], "q")
                .node("DequantizeLinear", &["q", "s", "z"], "y"),
        ),
        built(
            &["T20"],
            on,
            Build::new(17)
                .input("x", DataType::Float, &[])
                .stored("s", DataType::Float, &[], &[0.1])
                .stored("z", DataType::Int8, &[], &[0.0])
                .node("QuantizeLinear", &["x", "s", "z"], "q")
                .node("DequantizeLinear", &["q", "s", "z"], "y"),
        ),
        built(&["T21"], on, Build::new(17).input("x", DataType::Double, &[2]).node("Relu", &["x"], "y")),
    ]
}

fn onnxruntime() -> Vec<Case> {
    let on = "onnxruntime";
    let signed = Some((DataType::Int8, 0.0));
    vec![
        layer(&["O01"], on, |l| Linear { opset: 28, ..l }),
        layer(&["O02"], on, |l| Linear { opset: 21, activation: signed, behind: "Transpose", ..l }),
        layer(&["O02"], on, |l| Linear {
            opset: 21,
            activation: signed,
            sizes: vec![2, 3, INPUTS],
            bias_sizes: vec![OUTPUTS],
            ..l
        })
        .with_codes(&["O02", "O06", "O14"]),
        built(&["O03"], on, Linear { activation: signed, ..good(on) }.build().node("Neg", &["xd"], "n")),
        // A second quantizer of the same scale is merged with the first.
        built(
            &["O03"],
            on,
            Linear { activation: signed, ..good(on) }
                .build()
                .stored("xs2", DataType::Float, &[], &[0.05])
                .node("QuantizeLinear", &["x", "xs2", "xz"], "xq2")
                .node("DequantizeLinear", &["xq2", "xs2", "xz"], "xd2")
                .node("Neg", &["xd2"], "n"),
        ),
        // Codes that are moved before they are dequantized.
        built(
            &["O03"],
            on,
            pair(17, DataType::Int8)
                .with("Transpose", &["q"], "t", &[("perm", &[0, 2, 1])])
                .node("DequantizeLinear", &["t", "s", "z"], "e")
                .node("MatMul", &["e", "d"], "y"),
        ),
        layer(&["O04"], on, |l| Linear { weight: None, ..l }),
        layer(&["O05"], on, |l| Linear { activation: None, ..l }),
        layer(&["O05"], on, |l| Linear { activation: Some((DataType::Int16, 0.0)), opset: 21, ..l }),
        layer(&["O06"], on, |l| Linear { bias_sizes: vec![OUTPUTS], ..l }),
        layer(&["O07"], on, |l| Linear { activation_scales: vec![0.05; 8], activation_axis: Some(2), ..l }),
        layer(&["O08"], on, |l| Linear { weight_scales: vec![0.02; 8], weight_axis: 0, ..l }),
        layer(&["O09"], on, |l| Linear { weight: Some((DataType::Int16, 0.0)), opset: 21, ..l }),
        layer(&["O10"], on, |l| Linear { activation: signed, between: "Clip", ..l }),
        layer(&["O11"], on, |l| Linear { kind: "Gemm", ..l }),
        built(
            &["O12"],
            on,
            Build::new(17)
                .input("x", DataType::Float, &[-1, INPUTS])
                .stored("g", DataType::Float, &[INPUTS], &[1.0; 8])
                .node("Add", &["x", "x"], "a")
                .node("LayerNormalization", &["a", "g", "g"], "y"),
        ),
        built(
            &["O13"],
            on,
            pair(17, DataType::Uint8)
                .stored("t", DataType::Float, &[], &[0.2])
                .node("QuantizeLinear", &["d", "t", "z"], "r")
                .node("DequantizeLinear", &["r", "t", "z"], "y"),
        ),
        layer(&["O14"], on, |l| Linear { sizes: vec![2, 3, INPUTS], bias_sizes: vec![OUTPUTS], ..l })
            .with_codes(&["O14", "O06"]),
    ]
}

fn openvino() -> Vec<Case> {
    let on = "openvino";
    let sixteen = Some((DataType::Int16, 0.0));
    vec![
        layer(&["V01"], on, |l| Linear { activation: sixteen, opset: 21, ..l }).with_codes(&["V01", "V04"]),
        layer(&["V02"], on, |l| Linear { weight: Some((DataType::Int8, 3.0)), ..l }),
        layer(&["V02"], on, |l| Linear { weight: Some((DataType::Uint8, 0.0)), ..l }),
        layer(&["V03"], on, |l| Linear { activation: None, ..l }),
        layer(&["V04"], on, |l| Linear { weight: Some((DataType::Int4, 0.0)), opset: 21, ..l }),
        layer(&["V04"], on, |l| Linear { activation: Some((DataType::Float8e4m3fn, 0.0)), opset: 19, ..l }),
        layer(&["V05"], on, |l| Linear { activation_scales: vec![0.05; 8], activation_axis: Some(2), ..l }),
        layer(&["V06"], on, |l| Linear { weight_scales: vec![0.02; 8], weight_axis: 0, ..l }),
        built(
            &["V07"],
            on,
            pair(17, DataType::Int8)
                .node("ReduceMax", &["x"], "t")
                .node("QuantizeLinear", &["x", "t", "z"], "r")
                .node("DequantizeLinear", &["r", "t", "z"], "y"),
        ),
        built(
            &["V08"],
            on,
            Build::new(17).input("x", DataType::Float, &[2, 2]).node("DynamicQuantizeLinear", &["x"], "y"),
        ),
        built(
            &["V09"],
            on,
            pair(17, DataType::Int8)
                .stored("wq", DataType::Int8, &[INPUTS, OUTPUTS], &[1.0; 32])
                .stored("ws", DataType::Float, &[OUTPUTS], &[0.1; 4])
                .node("QLinearMatMul", &["q", "s", "z", "wq", "ws", "z", "s", "z"], "y"),
        ),
        built(
            &["V10"],
            on,
            pair(17, DataType::Uint8).with("Transpose", &["d"], "t", &[("perm", &[0, 2, 1])]).node(
                "MatMul",
                &["d", "t"],
                "y",
            ),
        ),
        built(
            &["V11"],
            on,
            pair(17, DataType::Int8)
                .stored("u", DataType::Uint8, &[], &[128.0])
                .node("QuantizeLinear", &["x", "s", "u"], "r")
                .node("DequantizeLinear", &["r", "s", "u"], "e")
                .node("Add", &["d", "e"], "y"),
        ),
    ]
}
