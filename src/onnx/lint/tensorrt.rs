//! What TensorRT demands. It runs Q/DQ graphs explicitly: what stands in the graph is what is
//! computed, and what it cannot run it rejects.

use super::{
    Effect, Place, Rule,
    checks::{
        activations, at, computed_scales, half_message, half_quantized, name, newer_than, operators,
        rounded_twice, scales_along_the_sum,
    },
    index::{Index, is, label},
    operand::{Operand, Product},
    rules,
};
use crate::onnx::proto::tensor_proto::DataType;
use std::collections::HashMap;

rules! {
    T01 Rejected zero_points_are_zero:
    "a zero point that is not zero",
    "TensorRT quantizes symmetrically: every zero point is zero. Its parser refuses others.",
    "TensorRT 11.1, NvInfer.h, IQuantizeLayer; onnx-tensorrt 10.1, onnxOpImporters.cpp, QuantDequantLinearHelper",
    "use symmetric quantization: signed codes with zero point 0";

    T02 Rejected codes_are_signed:
    "uint8 codes",
    "There are no unsigned codes: the parser refuses uint8 data and uint8 zero points of QuantizeLinear.",
    "onnx-tensorrt 10.1, onnxOpImporters.cpp, QuantDequantLinearHelper",
    "use int8 with zero point 0, for what is never negative, too";

    T03 Numbers codes_are_named:
    "codes without a type",
    "Without a zero point and `output_dtype` the standard's codes are uint8, which cut negative numbers off. \
     TensorRT takes int8 instead.",
    "onnx-tensorrt 10.1, onnxOpImporters.cpp, QuantDequantLinearHelper; ONNX standard, QuantizeLinear",
    "write an int8 zero point of 0";

    T04 Rejected codes_are_known:
    "codes that TensorRT does not have",
    "TensorRT's codes are int8, int4, float8e4m3fn and float4e2m1. Integers of 16 and 2 bits, uint4, and the \
     other small floats are refused.",
    "TensorRT 11.1, NvInfer.h, IQuantizeLayer and IDequantizeLayer",
    "use int8 or E4M3 here, or leave it in float";

    T05 Rejected no_integer_bias:
    "an int32 bias that is dequantized",
    "ONNX Runtime's tools store biases as int32 with a DequantizeLinear. TensorRT dequantizes int8, int4, fp8 \
     and fp4 alone; biases stay float.",
    "TensorRT 11.1, NvInfer.h, IDequantizeLayer; onnxruntime issue 14229",
    "store the bias in float (`QuantizeBias: False` in ONNX Runtime's tools)";

    T06 Rejected scales_are_constant:
    "a scale that is computed",
    "Scales are known when the engine is built: a constant, perhaps behind a Cast. A scale that follows from \
     the data (dynamic quantization) is not.",
    "TensorRT 11.1, NvInfer.h, IQuantizeLayer; developer guide, working with quantized types",
    "calibrate the quantizer, so that its scale is a constant";

    T07 Rejected zero_points_are_constant:
    "a zero point that is computed",
    "Zero points are known when the engine is built, and zero: a constant, perhaps behind a Cast.",
    "TensorRT 11.1, NvInfer.h, IQuantizeLayer",
    "leave the zero point out of DequantizeLinear, or make it a constant";

    T08 Rejected activations_have_one_scale:
    "an activation with a scale per channel",
    "Only weights have a scale for each channel: their Q and DQ, or their DQ alone, begin at a constant. \
     Activations have one scale.",
    "TensorRT 11.1, NvInfer.h, IQuantizeLayer and IDequantizeLayer; onnx-tensorrt 10.1",
    "give the activation one scale";

    T09 Rejected weights_are_right_matrices:
    "a scale per channel on a matrix that is not the weight",
    "A product takes scales per channel only on its second matrix, and only where that is a constant.",
    "TensorRT 11.1, NvInfer.h, IDequantizeLayer (scales per channel are for weights alone); not tried on a GPU",
    "give the matrix one scale, or put the weight on the right";

    T10 Rejected scales_follow_outputs:
    "a weight with a scale for each input feature",
    "Scales of a weight go by output feature, so that they can be applied behind the sum: axis 1 for the \
     [in, out] of MatMul, axis 0 for the [out, in] of a Gemm with transB.",
    "pytorch-quantization's exports, which TensorRT takes; not tried on a GPU",
    "quantize the weight along its output features";

    T11 Rejected four_bits_are_weights:
    "int4 that is not a weight by block",
    "int4 holds weights alone, with a scale for each block of one axis, in opset 21 or newer.",
    "TensorRT 11.1, NvInfer.h, IDequantizeLayer; developer guide, working with quantized types",
    "use int8, or give the weight scales by block";

    T12 Rejected operators_are_known:
    "an operator that TensorRT does not have",
    "Quantization is written as QuantizeLinear and DequantizeLinear around float operators. The integer \
     operators of ONNX, dynamic quantization, and ONNX Runtime's own operators (com.microsoft) are not read.",
    "onnx-tensorrt 10.1, docs/operators.md and onnxOpCheckers.cpp",
    "export with QuantizeLinear and DequantizeLinear (the QDQ format) and without ONNX Runtime's optimizer";

    T13 Rejected opset_is_read:
    "an opset that is too new",
    "TensorRT 11 reads opset 9 to 25; TensorRT 10.1 read up to 20.",
    "TensorRT documentation, ONNX opset guide (11.x); onnx-tensorrt 10.1, docs/operators.md",
    "write the model in an older opset: 17 is read from TensorRT 8.6 on";

    T14 Rejected pairs_are_whole:
    "codes without their other half",
    "Codes may only go from QuantizeLinear to DequantizeLinear, through operators that move them, or from a \
     constant or an input of the graph to DequantizeLinear.",
    "TensorRT developer guide, explicit quantization",
    "put QuantizeLinear and DequantizeLinear in pairs";

    T15 Rejected codes_are_not_clipped:
    "a Clip between QuantizeLinear and DequantizeLinear",
    "Codes of fewer bits than their type are written with a Clip of the codes. TensorRT's Clip takes float \
     numbers alone.",
    "onnx-tensorrt 10.1, docs/operators.md, Clip",
    "use all 8 bits here, or leave it in float";

    T16 Slower values_are_rounded_once:
    "two pairs on one edge",
    "A value that was rounded and is rounded again with no operator between loses precision twice and keeps \
     TensorRT from moving either pair.",
    "TensorRT developer guide, explicit quantization, placement of Q/DQ",
    "take one of the two quantizers away";

    T17 Float both_matrices_are_quantized:
    "a product of which one matrix is quantized",
    "A product runs in integers where both its matrices are dequantized; otherwise it runs in float behind \
     the DequantizeLinear.",
    "TensorRT developer guide, explicit quantization; advice in NVIDIA/TensorRT issues 3243 and 3280",
    "quantize both matrices, or neither";

    T18 Float both_summands_are_quantized:
    "an addition of which one operand is quantized",
    "A residual addition is fused into the product before it where both operands are quantized; otherwise it \
     runs on its own, in float.",
    "TensorRT developer guide, explicit quantization; TensorFlow quantization toolkit, residual connections",
    "quantize both operands of the addition, or neither";

    T19 Rejected scales_have_the_type_of_data:
    "a half precision scale for other data",
    "In a strongly typed network, the only kind since TensorRT 11, a float16 or bfloat16 scale has the type of \
     the data that it quantizes.",
    "TensorRT 11.1, NvInfer.h, IQuantizeLayer",
    "store the scale in the type of the data, or in float32";

    T20 Slower scalars_are_not_quantized:
    "a quantized scalar",
    "TensorRT quantizes no tensor of rank 0: the parser puts a reshape around it.",
    "TensorRT 11.1, NvInfer.h, IQuantizeLayer; onnx-tensorrt 10.1, onnxOpImporters.cpp",
    "leave the scalar in float";

    T21 Numbers no_double:
    "numbers in double precision",
    "TensorRT casts float64 to float32 and cuts off what does not fit.",
    "onnx-tensorrt 10.1, docs/operators.md",
    "export the model in float32";
}

fn zero_points_are_zero(index: &Index<'_>) -> Vec<Place> {
    // A zero point that many share is looked through once.
    let mut known: HashMap<&str, Option<bool>> = HashMap::new();
    let shifted = index.quantizers().filter(|quantizer| {
        let mut is_zero = |zero_point| *known.entry(zero_point).or_insert_with(|| index.is_zero(zero_point));
        quantizer.zero_point.and_then(&mut is_zero) == Some(false)
    });
    shifted.map(|quantizer| at(quantizer.node, "has a zero point that is not zero")).collect()
}

fn codes_are_signed(index: &Index<'_>) -> Vec<Place> {
    let unsigned = index.quantizers().filter(|quantizer| {
        let first = Operand::of(quantizer.output, index).quantize;
        let unnamed = quantizer.is_unnamed(index) || first.is_some_and(|first| first.is_unnamed(index));
        quantizer.codes(index) == Some(DataType::Uint8) && !unnamed
    });
    unsigned.map(|quantizer| at(quantizer.node, "has uint8 codes")).collect()
}

fn codes_are_named(index: &Index<'_>) -> Vec<Place> {
    let unnamed = index.quantizers().filter(|quantizer| quantizer.is_unnamed(index));
    unnamed.map(|quantizer| at(quantizer.node, "has neither a zero point nor `output_dtype`")).collect()
}

fn codes_are_known(index: &Index<'_>) -> Vec<Place> {
    let known = [
        DataType::Int8,
        DataType::Uint8,
        DataType::Int32,
        DataType::Int4,
        DataType::Float8e4m3fn,
        DataType::Float4e2m1,
    ];
    let mut places = Vec::new();
    for quantizer in index.quantizers() {
        let codes = quantizer.codes(index).filter(|codes| !known.contains(codes));
        places.extend(codes.map(|codes| at(quantizer.node, format!("has {} codes", name(codes)))));
    }
    places
}

fn no_integer_bias(index: &Index<'_>) -> Vec<Place> {
    let biases = index
        .quantizers()
        .filter(|quantizer| !quantizer.quantizes && quantizer.codes(index) == Some(DataType::Int32));
    biases.map(|quantizer| at(quantizer.node, format!("dequantizes `{}` of int32", quantizer.data))).collect()
}

fn scales_are_constant(index: &Index<'_>) -> Vec<Place> {
    computed_scales(index)
}

fn zero_points_are_constant(index: &Index<'_>) -> Vec<Place> {
    let mut places = Vec::new();
    for quantizer in index.quantizers() {
        let computed = quantizer.zero_point.filter(|zero_point| !index.is_constant(zero_point));
        let message = |zero_point| format!("the zero point `{zero_point}` is computed");
        places.extend(computed.map(|zero_point| at(quantizer.node, message(zero_point))));
    }
    places
}

fn activations_have_one_scale(index: &Index<'_>) -> Vec<Place> {
    let many = activations(index).filter(|quantizer| quantizer.has_many_scales(index));
    many.map(|quantizer| {
        at(quantizer.node, format!("rounds the activation `{}` per channel", quantizer.data))
    })
    .collect()
}

fn weights_are_right_matrices(index: &Index<'_>) -> Vec<Place> {
    let mut places = Vec::new();
    for product in Product::all(index) {
        let left = product.left.dequantize.filter(|found| found.has_many_scales(index));
        if left.is_some() && product.left.constant {
            places.push(at(
                product.node,
                format!("the left matrix `{}` has a scale per channel", product.left.value),
            ));
        }
    }
    places
}

fn scales_follow_outputs(index: &Index<'_>) -> Vec<Place> {
    scales_along_the_sum(index)
}

fn four_bits_are_weights(index: &Index<'_>) -> Vec<Place> {
    let mut places = Vec::new();
    for quantizer in index.quantizers().filter(|quantizer| quantizer.codes(index) == Some(DataType::Int4)) {
        let blocks = index.shape(quantizer.scale).is_none_or(|shape| shape.len() > 1);
        let stored = index.is_constant(quantizer.data);
        if !stored {
            places.push(at(quantizer.node, format!("`{}` is computed and has int4 codes", quantizer.data)));
        } else if !blocks {
            places.push(at(
                quantizer.node,
                format!("`{}` has int4 codes without scales by block", quantizer.data),
            ));
        }
    }
    places
}

/// The integer operators of the standard.
const INTEGER_OPERATORS: &[&str] =
    &["QLinearMatMul", "QLinearConv", "MatMulInteger", "ConvInteger", "DynamicQuantizeLinear"];

fn operators_are_known(index: &Index<'_>) -> Vec<Place> {
    let mut places = operators(index, INTEGER_OPERATORS);
    let foreign = index.nodes.iter().filter(|node| node.domain().starts_with("com.microsoft"));
    places.extend(foreign.map(|node| at(node, format!("is a {} of ONNX Runtime's own", node.op_type()))));
    places
}

fn opset_is_read(index: &Index<'_>) -> Vec<Place> {
    newer_than(index, 25)
}

fn pairs_are_whole(index: &Index<'_>) -> Vec<Place> {
    let mut places = Vec::new();
    for quantizer in index.quantizers() {
        if quantizer.quantizes {
            let mut takers = index.takers(quantizer.output).into_iter();
            let other = takers.find(|node| node.op_type() != "DequantizeLinear" && !is(node, "Clip"));
            places.extend(other.map(|taker| {
                let taker = label(taker);
                at(quantizer.node, format!("its codes go to `{taker}`, which is no DequantizeLinear"))
            }));
        } else if !has_codes(quantizer.data, index) {
            places.push(at(quantizer.node, format!("`{}` comes from no QuantizeLinear", quantizer.data)));
        }
    }
    places
}

/// Where codes come from: a QuantizeLinear, a constant, an input of the graph. (A Clip has
/// a rule of its own.)
fn has_codes(codes: &str, index: &Index<'_>) -> bool {
    let (source, _) = index.behind(codes);
    let made = index.producer(source);
    made.is_some_and(|node| node.op_type() == "QuantizeLinear" || is(node, "Clip"))
        || index.is_constant(source)
        || index.is_input(source)
}

fn codes_are_not_clipped(index: &Index<'_>) -> Vec<Place> {
    let clips = index.nodes.iter().filter(|node| is(node, "Clip"));
    let of_codes = clips.filter(|node| {
        let source = node.input.first().and_then(|input| index.producer(index.behind(input).0));
        source.is_some_and(|source| source.op_type() == "QuantizeLinear")
    });
    of_codes.map(|node| at(node, "limits codes to fewer bits")).collect()
}

fn values_are_rounded_once(index: &Index<'_>) -> Vec<Place> {
    rounded_twice(index)
}

fn both_matrices_are_quantized(index: &Index<'_>) -> Vec<Place> {
    half_quantized(index).iter().map(|product| at(product.node, half_message(product))).collect()
}

fn both_summands_are_quantized(index: &Index<'_>) -> Vec<Place> {
    let mut places = Vec::new();
    for node in index.nodes.iter().filter(|node| is(node, "Add")) {
        let [left, right, ..] = node.input.as_slice() else { continue };
        let operands = [Operand::of(left, index), Operand::of(right, index)];
        let float = operands.iter().find(|operand| operand.dequantize.is_none());
        let half = operands.iter().any(|operand| operand.dequantize.is_some());
        if let Some(float) = float.filter(|_| half && operands.iter().all(|operand| !operand.constant)) {
            places.push(at(node, format!("one operand is quantized, `{}` is not", float.value)));
        }
    }
    places
}

fn scales_have_the_type_of_data(index: &Index<'_>) -> Vec<Place> {
    let mut places = Vec::new();
    for quantizer in index.quantizers().filter(|quantizer| quantizer.quantizes) {
        let types = index.element(quantizer.scale).zip(index.element(quantizer.data));
        let Some((scale, data)) = types else { continue };
        if [DataType::Float16, DataType::Bfloat16].contains(&scale) && scale != data {
            places.push(at(
                quantizer.node,
                format!("has a scale of {} for data of {}", name(scale), name(data)),
            ));
        }
    }
    places
}

fn scalars_are_not_quantized(index: &Index<'_>) -> Vec<Place> {
    let scalars = index.quantizers().filter(|quantizer| {
        quantizer.quantizes && index.shape(quantizer.data).is_some_and(|shape| shape.is_empty())
    });
    scalars.map(|quantizer| at(quantizer.node, format!("rounds the scalar `{}`", quantizer.data))).collect()
}

fn no_double(index: &Index<'_>) -> Vec<Place> {
    let mut values: Vec<&str> =
        index.declared().filter(|(_, element)| *element == DataType::Double).map(|(name, _)| name).collect();
    let tensors = index.initializers().filter(|(_, tensor)| tensor.data_type() == DataType::Double as i32);
    values.extend(tensors.map(|(name, _)| name));
    values.sort_unstable();
    values.dedup();
    values
        .into_iter()
        .map(|value| Place { node: value.into(), message: "is in double precision".into() })
        .collect()
}
