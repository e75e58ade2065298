use super::*;
use crate::onnx::proto::{
    TensorAnnotation, TensorShapeProto, TypeProto,
    tensor_proto::{DataLocation, DataType},
    tensor_shape_proto::{Dimension, dimension},
    type_proto,
};
use prost::Message;
use std::{fs, io::Write as _, path::Path};

fn entry(key: &str, value: &str) -> StringStringEntryProto {
    StringStringEntryProto { key: Some(key.to_owned()), value: Some(value.to_owned()) }
}

fn shape(sizes: &[&str]) -> TensorShapeProto {
    let value = |size: &str| match size {
        "?" => None,
        _ => Some(
            size.parse()
                .map_or_else(|_| dimension::Value::DimParam(size.to_owned()), dimension::Value::DimValue),
        ),
    };
    let dim = sizes.iter().map(|size| Dimension { value: value(size), ..Default::default() });
    TensorShapeProto { dim: dim.collect() }
}

fn tensor_type(kind: DataType, sizes: Option<&[&str]>) -> TypeProto {
    let tensor = type_proto::Tensor { elem_type: Some(kind as i32), shape: sizes.map(shape) };
    TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..Default::default() }
}

fn value(name: &str, kind: DataType, sizes: &[&str]) -> ValueInfoProto {
    let kind = Some(tensor_type(kind, Some(sizes)));
    ValueInfoProto { name: Some(name.to_owned()), r#type: kind, ..Default::default() }
}

fn raw(name: &str, kind: DataType, dims: &[i64], bytes: &[u8]) -> TensorProto {
    TensorProto {
        name: Some(name.to_owned()),
        data_type: Some(kind as i32),
        dims: dims.to_vec(),
        raw_data: Some(bytes.to_vec()),
        ..Default::default()
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn node(name: &str, op: &str, input: &[&str], output: &[&str]) -> NodeProto {
    NodeProto {
        name: Some(name.to_owned()),
        op_type: Some(op.to_owned()),
        input: names(input),
        output: names(output),
        ..Default::default()
    }
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), r#type: Some(kind as i32), ..Default::default() }
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { i: Some(i), ..attribute(name, AttributeType::Int) }
}

fn graph(name: &str, node: Vec<NodeProto>) -> GraphProto {
    GraphProto { name: Some(name.to_owned()), node, ..Default::default() }
}

fn written(graph: GraphProto) -> String {
    text(&ModelProto { graph: Some(graph), ..Default::default() }, false).to_string()
}

/// The text of an attribute, as a node has it.
fn given(attribute: AttributeProto) -> String {
    let node = NodeProto { attribute: vec![attribute], ..node("", "Op", &[], &[]) };
    let text = written(graph("g", vec![node]));
    let line = text.lines().find_map(|line| line.trim().strip_prefix("= Op<")).unwrap();
    line.strip_suffix(">()").unwrap().to_owned()
}

/// The values of a tensor, as a list of initializers has them.
fn values(tensor: &TensorProto, whole: bool) -> String {
    Data { tensor, whole }.to_string()
}

#[test]
fn a_model_reads_line_by_line() {
    let scale =
        TensorProto { float_data: vec![0.0078125], ..raw("x_quantizer/scale", DataType::Float, &[], &[]) };
    let doc = Some("calibrated\nx: amax 1".to_owned());
    let scale = TensorProto { doc_string: doc, ..scale };
    let weight: Vec<u8> = (0..32).collect();
    let quantize = NodeProto {
        attribute: vec![int("axis", 1)],
        doc_string: Some("attach x in qdqbert.qdq:7".to_owned()),
        ..node("x_quantizer/QuantizeLinear", "QuantizeLinear", &["x", "x_quantizer/scale", ""], &["x.codes"])
    };
    let gelu =
        NodeProto { domain: Some("com.microsoft".to_owned()), ..node("", "Gelu", &["x.codes"], &["y"]) };
    let graph = GraphProto {
        doc_string: Some("qdqbert, for sequence classification".to_owned()),
        input: vec![
            value("x", DataType::Float, &["batch", "past + seq", "8"]),
            ValueInfoProto { name: Some("untyped".to_owned()), ..Default::default() },
        ],
        output: vec![value("y", DataType::Float, &["batch", "?"])],
        initializer: vec![scale, raw("weight", DataType::Int8, &[4, 8], &weight)],
        value_info: vec![value("x.codes", DataType::Int8, &["batch"])],
        quantization_annotation: vec![TensorAnnotation {
            tensor_name: Some("x".to_owned()),
            quant_parameter_tensor_names: vec![entry("SCALE_TENSOR", "x_quantizer/scale")],
        }],
        ..graph("main graph", vec![quantize, gelu])
    };
    let model = ModelProto {
        ir_version: Some(10),
        opset_import: vec![
            OperatorSetIdProto { domain: Some(String::new()), version: Some(17) },
            OperatorSetIdProto { domain: Some("com.microsoft".to_owned()), version: Some(1) },
        ],
        producer_name: Some("qdqc".to_owned()),
        producer_version: Some("0.1.0".to_owned()),
        doc_string: Some("says \"a\\b\"".to_owned()),
        metadata_props: vec![entry("qdqc.config", "{\n}"), entry("qdqc.profile", "tensorrt")],
        graph: Some(graph),
        ..Default::default()
    };
    let expected = r##"<
  ir_version: 10,
  opset_import: ["" : 17, "com.microsoft" : 1],
  producer_name: "qdqc",
  producer_version: "0.1.0",
  doc_string: "says \"a\\b\"",
  metadata_props: [
    "qdqc.config": "{
}",
    "qdqc.profile": "tensorrt"
  ]
>
"main graph" (
  float[batch, "past + seq", 8] x,
  untyped
) => (
  float[batch, ?] y
)
<
  # calibrated
  # x: amax 1
  float "x_quantizer/scale" = {0.0078125},
  int8[4, 8] weight = {... crc32 91267e8a},
  int8[batch] "x.codes"
>
{
  # qdqbert, for sequence classification
  # quantizes x
  # SCALE_TENSOR: x_quantizer/scale
  # attach x in qdqbert.qdq:7
  ["x_quantizer/QuantizeLinear"] "x.codes" = QuantizeLinear<axis = 1>(x, "x_quantizer/scale", "")
  y = com.microsoft.Gelu("x.codes")
}
"##;
    assert_eq!(text(&model, false).to_string(), expected);
    let every: Vec<String> = weight.iter().map(u8::to_string).collect();
    let whole = expected.replace("... crc32 91267e8a", &every.join(", "));
    assert_eq!(text(&model, true).to_string(), whole);
}

#[test]
fn functions_follow_the_graph() {
    let function = FunctionProto {
        name: Some("Half".to_owned()),
        domain: Some("local".to_owned()),
        opset_import: vec![OperatorSetIdProto { domain: None, version: Some(17) }],
        attribute: names(&["by"]),
        attribute_proto: vec![int("axis", 0)],
        input: names(&["x"]),
        output: names(&["y"]),
        value_info: vec![value("x", DataType::Float, &["?"])],
        node: vec![NodeProto {
            attribute: vec![AttributeProto { ref_attr_name: Some("by".to_owned()), ..int("by", 0) }],
            ..node("", "Divide", &["x"], &["y"])
        }],
        ..Default::default()
    };
    let model =
        ModelProto { graph: Some(graph("g", vec![])), functions: vec![function], ..Default::default() };
    let expected = r#"g () => ()
{
}
<
  domain: "local",
  opset_import: ["" : 17]
>
Half <by, axis = 0> (x) => (y)
<
  float[?] x
>
{
  y = Divide<by: int = @by>(x)
}
"#;
    assert_eq!(text(&model, true).to_string(), expected);
}

#[test]
fn a_subgraph_is_indented() {
    let inner = graph("inner", vec![node("", "Identity", &["x"], &["y"])]);
    let attribute = AttributeProto { g: Some(inner), ..attribute("body", AttributeType::Graph) };
    let outer = NodeProto { attribute: vec![attribute], ..node("", "If", &["c"], &["z"]) };
    let expected = r"g () => ()
{
  z = If<body = inner () => ()
  {
    y = Identity(x)
  }>(c)
}
";
    assert_eq!(written(graph("g", vec![outer])), expected);
}

#[test]
fn attributes_show_their_type_by_their_value() {
    let float = |f| given(AttributeProto { f: Some(f), ..attribute("a", AttributeType::Float) });
    assert_eq!(float(1.0), "a = 1.0");
    assert_eq!(float(1e-12), "a = 1e-12");
    assert_eq!(float(f32::NEG_INFINITY), "a = -inf");
    assert_eq!(float(f32::NAN), "a = NaN");
    assert_eq!(given(int("a", -1)), "a = -1");
    assert_eq!(
        given(AttributeProto { s: Some(b"t\"".to_vec()), ..attribute("a", AttributeType::String) }),
        r#"a = "t\"""#
    );
    let floats = |floats| given(AttributeProto { floats, ..attribute("a", AttributeType::Floats) });
    assert_eq!(floats(vec![1.0, -0.0]), "a = [1.0, -0.0]");
    assert_eq!(floats(vec![]), "a: floats = []");
    assert_eq!(
        given(AttributeProto { ints: vec![1, 2], ..attribute("a", AttributeType::Ints) }),
        "a = [1, 2]"
    );
    assert_eq!(given(attribute("a", AttributeType::Ints)), "a: ints = []");
    let strings = vec![b"x".to_vec(), Vec::new()];
    assert_eq!(
        given(AttributeProto { strings, ..attribute("a", AttributeType::Strings) }),
        r#"a = ["x", ""]"#
    );
    let constant =
        |tensor| given(AttributeProto { t: Some(tensor), ..attribute("a", AttributeType::Tensor) });
    assert_eq!(constant(raw("", DataType::Int64, &[1], &[255; 8])), "a = int64[1] {-1}");
    assert_eq!(constant(raw("t", DataType::Bool, &[], &[1])), "a = bool t = {1}");
    let tp = Some(tensor_type(DataType::Float, None));
    assert_eq!(given(AttributeProto { tp, ..attribute("a", AttributeType::TypeProto) }), "a = float[]");
    for kind in
        [AttributeType::Undefined, AttributeType::Tensors, AttributeType::Tensor, AttributeType::Graph]
    {
        assert_eq!(given(attribute("a", kind)), "a = ...", "{kind:?}");
    }
}

#[test]
fn only_identifiers_stand_without_quotes() {
    for name in ["x", "_x1", "Float", "inputs"] {
        assert_eq!(Name(name).to_string(), name);
    }
    for name in ["", "1x", "a.b", "a/b", "é", "float", "float8e4m3fn", "seq", "opaque"] {
        assert_eq!(Name(name).to_string(), format!("\"{name}\""));
    }
    assert_eq!(Word("seq").to_string(), "seq");
}

#[test]
fn types_are_written_inside_out() {
    use type_proto::{Map, Opaque, Optional, Sequence, SparseTensor, Value};
    let of = |value| TypeProto { value: Some(value), ..Default::default() };
    let scalar = tensor_type(DataType::Float, Some(&[]));
    let sequence = of(Value::SequenceType(Box::new(Sequence { elem_type: Some(Box::new(scalar)) })));
    let map = Map { key_type: Some(DataType::String as i32), value_type: Some(Box::new(sequence)) };
    let map = of(Value::MapType(Box::new(map)));
    let optional = of(Value::OptionalType(Box::new(Optional { elem_type: Some(Box::new(map)) })));
    assert_eq!(Type(Some(&optional)).to_string(), "optional(map(string, seq(float)))");
    let sparse = SparseTensor { elem_type: Some(DataType::Int8 as i32), shape: Some(shape(&["3"])) };
    assert_eq!(Type(Some(&of(Value::SparseTensorType(sparse)))).to_string(), "sparse_tensor(int8[3])");
    let opaque = Opaque { domain: Some("a.b".to_owned()), name: Some("c".to_owned()) };
    assert_eq!(Type(Some(&of(Value::OpaqueType(opaque)))).to_string(), "opaque(a.b, c)");
    assert_eq!(Type(None).to_string(), "undefined");
}

/// A tensor holds its values as bytes, or as numbers in one of five lists.
#[test]
fn values_are_the_same_wherever_they_lie() {
    let listed = |kind, tensor: TensorProto| TensorProto { data_type: Some(kind as i32), ..tensor };
    let floats = vec![0.1f32, f32::MIN_POSITIVE / 2.0, f32::MAX, -0.0];
    let bytes: Vec<u8> = floats.iter().flat_map(|value| value.to_le_bytes()).collect();
    let doubles = vec![0.1f64];
    let cases = [
        (
            listed(DataType::Float, TensorProto { float_data: floats, ..Default::default() }),
            bytes,
            "{0.1, 5.877472e-39, 3.4028235e38, -0.0}",
        ),
        (
            listed(DataType::Double, TensorProto { double_data: doubles, ..Default::default() }),
            0.1f64.to_le_bytes().to_vec(),
            "{0.1}",
        ),
        (
            listed(DataType::Int8, TensorProto { int32_data: vec![-128, 127], ..Default::default() }),
            vec![0x80, 0x7f],
            "{-128, 127}",
        ),
        (
            listed(DataType::Uint8, TensorProto { int32_data: vec![128], ..Default::default() }),
            vec![0x80],
            "{128}",
        ),
        (
            listed(DataType::Int16, TensorProto { int32_data: vec![-2], ..Default::default() }),
            vec![0xfe, 0xff],
            "{-2}",
        ),
        (
            listed(DataType::Float16, TensorProto { int32_data: vec![0xbc00], ..Default::default() }),
            vec![0x00, 0xbc],
            "{48128}",
        ),
        (
            listed(DataType::Int4, TensorProto { int32_data: vec![0x21, 0x03], ..Default::default() }),
            vec![0x21, 0x03],
            "{33, 3}",
        ),
        (
            listed(DataType::Int32, TensorProto { int32_data: vec![-1], ..Default::default() }),
            vec![0xff; 4],
            "{-1}",
        ),
        (
            listed(
                DataType::Uint32,
                TensorProto { uint64_data: vec![u64::from(u32::MAX)], ..Default::default() },
            ),
            vec![0xff; 4],
            "{4294967295}",
        ),
        (
            listed(DataType::Uint64, TensorProto { uint64_data: vec![u64::MAX], ..Default::default() }),
            vec![0xff; 8],
            "{18446744073709551615}",
        ),
        (
            listed(DataType::Int64, TensorProto { int64_data: vec![i64::MIN], ..Default::default() }),
            i64::MIN.to_le_bytes().to_vec(),
            "{-9223372036854775808}",
        ),
    ];
    for (listed, bytes, expected) in cases {
        let raw = TensorProto { data_type: listed.data_type, raw_data: Some(bytes), ..Default::default() };
        assert_eq!(values(&listed, false), expected);
        assert_eq!(values(&raw, false), expected);
    }
}

#[test]
fn only_long_tensors_are_shortened() {
    let tensor = |count| raw("", DataType::Uint8, &[count], &vec![7; usize::try_from(count).unwrap()]);
    assert_eq!(values(&tensor(0), false), "{}");
    assert_eq!(values(&tensor(16), false).matches('7').count(), 16);
    assert_eq!(values(&tensor(17), true).matches('7').count(), 17);
    assert_eq!(values(&tensor(17), false), format!("{{... crc32 {:08x}}}", crc32fast::hash(&[7; 17])));
    let strings = |count| TensorProto {
        data_type: Some(DataType::String as i32),
        string_data: vec![b"ab".to_vec(); count],
        ..Default::default()
    };
    assert_eq!(values(&strings(2), false), r#"{"ab", "ab"}"#);
    assert_eq!(
        values(&strings(17), false),
        format!("{{... crc32 {:08x}}}", crc32fast::hash(&b"ab".repeat(17)))
    );
}

#[test]
fn data_outside_of_the_file_is_named() {
    let tensor = TensorProto {
        data_location: Some(DataLocation::External as i32),
        external_data: vec![entry("location", "model.data"), entry("offset", "4096")],
        ..raw("", DataType::Float, &[2], &[])
    };
    assert_eq!(values(&tensor, true), r#"["location": "model.data", "offset": "4096"]"#);
}

#[test]
fn damaged_tensors_are_left_out() {
    assert_eq!(values(&raw("", DataType::Float, &[1], &[0; 3]), true), "...");
    assert_eq!(values(&raw("", DataType::Float6e2m3, &[1], &[0; 3]), true), "...");
    assert_eq!(values(&TensorProto { data_type: Some(99), ..Default::default() }, true), "...");
    assert_eq!(sizes(Some(99), &[-1]), "undefined[-1]");
}

/// Exports by the original software: every node is a line, every initializer too.
#[test]
fn the_reference_models_are_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/reference/onnx");
    if !folder.exists() {
        let _ = writeln!(std::io::stderr(), "SKIPPED: there is no {}", folder.display());
        return;
    }
    let mut seen = 0;
    for head in fs::read_dir(folder).unwrap() {
        for file in fs::read_dir(head.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "onnx") {
                continue;
            }
            let model = ModelProto::decode(fs::read(&path).unwrap().as_slice()).unwrap();
            let graph = model.graph.as_ref().unwrap();
            let short = text(&model, false).to_string();
            let lines = |mark: &str| short.lines().filter(|line| line.contains(mark)).count();
            assert_eq!(lines(")") - 2, graph.node.len(), "{}", path.display());
            assert_eq!(lines(" = {"), graph.initializer.len(), "{}", path.display());
            assert!(text(&model, true).to_string().len() > 2 * short.len(), "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen >= 10, "{seen} models");
}
