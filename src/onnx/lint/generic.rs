//! What the ONNX standard demands of quantizers.

use super::{
    Effect, Place, Rule,
    checks::{at, name, of_model},
    index::{Index, Quantizer, integer},
    rules,
};
use crate::onnx::proto::tensor_proto::DataType;
use std::collections::HashMap;

rules! {
    G01 Rejected inputs_are_made:
    "a value that nothing makes",
    "Every input of a node is an output of another node, an input of the graph, or an initializer. A \
     quantizer has at least its data and its scale.",
    "ONNX IR specification, graphs",
    "the file is damaged or was edited by hand: export it again";

    G02 Rejected codes_are_in_the_opset:
    "codes that the opset does not have",
    "Codes are int8 and uint8 from opset 10 on (and int32 for DequantizeLinear), 8-bit floats from 19, 16-bit \
     and 4-bit integers from 21, 4-bit floats from 23, 2-bit integers from 25, 6-bit floats from 28. \
     The type of the codes is that of the zero point, or `output_dtype`; without either it is uint8.",
    "ONNX standard, QuantizeLinear and DequantizeLinear, versions 10 to 28",
    "write the model in a newer opset, or choose other codes";

    G03 Rejected axes_are_in_the_opset:
    "scales along an axis before opset 13",
    "QuantizeLinear and DequantizeLinear are there from opset 10 on; a scale for each index of an axis, and \
     the attribute `axis`, from 13 on.",
    "ONNX standard, QuantizeLinear 10 and 13",
    "write the model in opset 13 or newer";

    G04 Rejected axis_is_in_range:
    "an axis that the data does not have",
    "`axis` lies between minus the rank of the data and the rank less one; it is 1 where it is not given.",
    "ONNX standard, QuantizeLinear 13",
    "give the axis of the output features: 0 for weights [out, in], 1 for [in, out]";

    G05 Rejected scales_fill_the_axis:
    "a number of scales that is not the size of the axis",
    "A scale of one axis has as many numbers as the data has indices along `axis`. (One number in a list is \
     read as one scale for all, as every runtime does.)",
    "ONNX standard, QuantizeLinear 13; ONNX parser of TensorRT, which counts alike",
    "give one scale, or one for each index of the axis";

    G06 Rejected scales_are_laid_out:
    "scales that are neither one, nor along an axis, nor by block",
    "The scale is a scalar, a list along an axis, or (opset 21 and newer, with `block_size`) a tensor of the \
     data's rank whose sizes are the data's but along `axis`, where each number serves a block.",
    "ONNX standard, QuantizeLinear 21",
    "give one scale, one for each index of the axis, or write opset 21 with `block_size`";

    G07 Rejected zero_points_fit_scales:
    "a zero point of another shape than the scale",
    "There are as many zero points as scales. (One alone may be a scalar or a list of one.)",
    "ONNX standard, QuantizeLinear 13; ONNX parser of TensorRT, which counts alike",
    "give a zero point for each scale, or none";

    G08 Rejected zero_points_fit_codes:
    "a zero point of another type than the codes",
    "Zero point and codes are of one type; where `output_dtype` is given, it is that type, too.",
    "ONNX standard, QuantizeLinear 21",
    "give the zero point the type of the codes";

    G09 Rejected scales_have_a_type:
    "a scale of a type that the opset does not have",
    "Scales are float32; from opset 19 on float16 and bfloat16, too; from 24 on powers of two (float8e8m0). \
     From 19 to 22 the scale of a QuantizeLinear has the type of its data.",
    "ONNX standard, QuantizeLinear 13, 19, 23 and 24",
    "store the scale in the data's type, or write a newer opset";

    G10 Rejected scales_are_positive:
    "a scale that is zero, negative, infinite or not a number",
    "Quantizing divides by the scale. TensorRT's parser refuses scales that are not above zero; ONNX Runtime \
     computes infinities; OpenVINO computes something else (measured: 1.08 where the largest result is 0.18).",
    "ONNX standard, QuantizeLinear; TensorRT 11.1, NvInfer.h, IQuantizeLayer; measured on OpenVINO 2026.4",
    "calibrate the quantizer on data that reaches it, or leave it out";
}

fn inputs_are_made(index: &Index<'_>) -> Vec<Place> {
    let mut places = Vec::new();
    for node in &index.nodes {
        let unknown = node.input.iter().filter(|value| !value.is_empty() && index.is_unknown(value));
        places.extend(unknown.map(|value| at(node, format!("takes `{value}`, which nothing makes"))));
        let quantizes = ["QuantizeLinear", "DequantizeLinear"].contains(&node.op_type());
        if quantizes && Quantizer::of(node).is_none() && ["", "ai.onnx"].contains(&node.domain()) {
            places.push(at(node, "has no data, no scale, or no result"));
        }
    }
    places
}

/// The first opset whose QuantizeLinear makes these codes, 0 where every one does; `None` for what is
/// never codes.
fn first_opset(codes: DataType) -> Option<i64> {
    Some(match codes {
        DataType::Int8 | DataType::Uint8 => 0,
        DataType::Float8e4m3fn
        | DataType::Float8e4m3fnuz
        | DataType::Float8e5m2
        | DataType::Float8e5m2fnuz => 19,
        DataType::Int16 | DataType::Uint16 | DataType::Int4 | DataType::Uint4 => 21,
        DataType::Float4e2m1 => 23,
        DataType::Int2 | DataType::Uint2 => 25,
        DataType::Float6e2m3 | DataType::Float6e3m2 => 28,
        _ => return None,
    })
}

fn codes_are_in_the_opset(index: &Index<'_>) -> Vec<Place> {
    let mut places = Vec::new();
    for quantizer in standard(index) {
        let Some(codes) = quantizer.codes(index) else { continue };
        if !quantizer.quantizes && codes == DataType::Int32 {
            continue;
        }
        let codes_name = name(codes);
        match first_opset(codes) {
            Some(first) if first <= index.opset => {}
            Some(first) => {
                let message = format!(
                    "has {codes_name} codes, which are there from opset {first} on, not in {}",
                    index.opset
                );
                places.push(at(quantizer.node, message));
            }
            None => places.push(at(quantizer.node, format!("has {codes_name} codes, which no opset has"))),
        }
    }
    places
}

fn axes_are_in_the_opset(index: &Index<'_>) -> Vec<Place> {
    if index.opset >= 13 {
        return Vec::new();
    }
    if index.opset < 10 && standard(index).next().is_some() {
        return vec![of_model(format!("has quantizers, but opset {} has none", index.opset))];
    }
    let axes = standard(index)
        .filter(|quantizer| integer(quantizer.node, "axis").is_some() || quantizer.has_many_scales(index));
    axes.map(|quantizer| at(quantizer.node, format!("has scales along an axis in opset {}", index.opset)))
        .collect()
}

/// Quantizers with scales along an axis, and the sizes of their data.
fn along_an_axis<'m>(index: &Index<'m>) -> Vec<(Quantizer<'m>, Vec<Option<i64>>)> {
    let axes = standard(index).filter(|quantizer| {
        index.shape(quantizer.scale).is_some_and(|shape| shape.len() == 1) && quantizer.has_many_scales(index)
    });
    axes.filter_map(|quantizer| Some((quantizer, index.shape(quantizer.data)?))).collect()
}

fn axis_is_in_range(index: &Index<'_>) -> Vec<Place> {
    let out = along_an_axis(index).into_iter().filter(|(quantizer, shape)| {
        let needless = shape.len() == 1 && integer(quantizer.node, "axis").is_none();
        quantizer.axis_in(shape.len()).is_none() && !needless
    });
    out.map(|(quantizer, shape)| {
        at(quantizer.node, format!("has axis {}, but its data has rank {}", quantizer.axis(), shape.len()))
    })
    .collect()
}

fn scales_fill_the_axis(index: &Index<'_>) -> Vec<Place> {
    let mut places = Vec::new();
    for (quantizer, shape) in along_an_axis(index) {
        let axis = if shape.len() == 1 { Some(0) } else { quantizer.axis_in(shape.len()) };
        let size = axis.and_then(|axis| shape.get(axis).copied().flatten());
        let (Some(size), Some(count)) = (size, index.count(quantizer.scale)) else { continue };
        if size != count {
            let message = format!("has {count} scales for axis {} of size {size}", quantizer.axis());
            places.push(at(quantizer.node, message));
        }
    }
    places
}

fn scales_are_laid_out(index: &Index<'_>) -> Vec<Place> {
    let mut places = Vec::new();
    for quantizer in standard(index) {
        let Some(scales) = index.shape(quantizer.scale) else { continue };
        let block = integer(quantizer.node, "block_size").unwrap_or(0);
        if index.count(quantizer.scale) == Some(0) {
            places.push(at(quantizer.node, "has no scale: the list is empty"));
        } else if scales.len() < 2 && block == 0 {
            continue;
        } else if index.opset < 21 {
            places.push(at(
                quantizer.node,
                format!("has scales by block in opset {}; they are there from 21 on", index.opset),
            ));
        } else if block <= 0 {
            places.push(at(
                quantizer.node,
                format!("has scales of rank {} without `block_size`", scales.len()),
            ));
        } else if let Some(data) =
            index.shape(quantizer.data).filter(|data| !is_blocked(data, &scales, block, &quantizer))
        {
            places.push(at(
                quantizer.node,
                format!("has scales {} for data {} in blocks of {block}", sizes(&scales), sizes(&data)),
            ));
        }
    }
    places
}

/// Sizes that are not known fit.
fn is_blocked(data: &[Option<i64>], scales: &[Option<i64>], block: i64, quantizer: &Quantizer<'_>) -> bool {
    let Some(axis) = quantizer.axis_in(data.len()) else { return false };
    let fits = |(at, (data, scales)): (usize, (&Option<i64>, &Option<i64>))| match (data, scales) {
        (Some(data), Some(scales)) if at == axis => {
            data.checked_add(block - 1).is_some_and(|sum| sum / block == *scales)
        }
        (Some(data), Some(scales)) => data == scales,
        _ => true,
    };
    data.len() == scales.len() && data.iter().zip(scales).enumerate().all(fits)
}

fn sizes(shape: &[Option<i64>]) -> String {
    let sizes = shape.iter().map(|size| size.map_or("?".into(), |size| size.to_string()));
    format!("[{}]", sizes.collect::<Vec<_>>().join(", "))
}

fn zero_points_fit_scales(index: &Index<'_>) -> Vec<Place> {
    let mut places = Vec::new();
    for quantizer in standard(index) {
        let shapes = quantizer
            .zero_point
            .and_then(|zero_point| index.shape(zero_point))
            .zip(index.shape(quantizer.scale));
        let Some((zero_points, scales)) = shapes else { continue };
        let one = |shape: &[Option<i64>]| shape.iter().all(|size| *size == Some(1));
        let unknown = zero_points.iter().chain(&scales).any(Option::is_none);
        if zero_points != scales && !unknown && !(one(&zero_points) && one(&scales)) {
            let message = format!("has a zero point {} for scales {}", sizes(&zero_points), sizes(&scales));
            places.push(at(quantizer.node, message));
        }
    }
    places
}

fn zero_points_fit_codes(index: &Index<'_>) -> Vec<Place> {
    let mut places = Vec::new();
    for quantizer in standard(index) {
        let Some(zero_point) = quantizer.zero_point.and_then(|zero_point| index.element(zero_point)) else {
            continue;
        };
        let named = integer(quantizer.node, "output_dtype").and_then(|number| i32::try_from(number).ok());
        let codes = match quantizer.quantizes {
            true => named
                .and_then(|named| DataType::try_from(named).ok())
                .filter(|named| *named != DataType::Undefined),
            false => index.element(quantizer.data),
        };
        if let Some(codes) = codes.filter(|codes| *codes != zero_point) {
            let message = format!("has a zero point of {} for {} codes", name(zero_point), name(codes));
            places.push(at(quantizer.node, message));
        }
    }
    places
}

fn scales_have_a_type(index: &Index<'_>) -> Vec<Place> {
    let mut places = Vec::new();
    for quantizer in standard(index) {
        let Some(scale) = index.element(quantizer.scale) else { continue };
        let first = match scale {
            DataType::Float => 0,
            DataType::Float16 | DataType::Bfloat16 => 19,
            DataType::Float8e8m0 => 24,
            _ => i64::MAX,
        };
        let data =
            index.element(quantizer.data).filter(|_| quantizer.quantizes && (19..23).contains(&index.opset));
        if index.opset < first {
            places
                .push(at(quantizer.node, format!("has a scale of {} in opset {}", name(scale), index.opset)));
        } else if let Some(data) = data.filter(|data| *data != scale) {
            let message =
                format!("has a scale of {} for data of {} in opset {}", name(scale), name(data), index.opset);
            places.push(at(quantizer.node, message));
        }
    }
    places
}

fn scales_are_positive(index: &Index<'_>) -> Vec<Place> {
    let mut places = Vec::new();
    let wrong = |scale: &str| {
        let scales = index.numbers(scale).unwrap_or_default();
        scales.into_iter().find(|scale| !(scale.is_finite() && *scale > 0.0))
    };
    // A scale that many share is looked through once.
    let mut known: HashMap<&str, Option<f64>> = HashMap::new();
    for quantizer in index.quantizers() {
        if let Some(wrong) = known.entry(quantizer.scale).or_insert_with(|| wrong(quantizer.scale)) {
            places.push(at(quantizer.node, format!("has the scale {wrong}")));
        }
    }
    places
}

/// The quantizers of the standard.
fn standard<'i, 'm>(index: &'i Index<'m>) -> impl Iterator<Item = Quantizer<'m>> + use<'i, 'm> {
    index.quantizers().filter(Quantizer::is_standard)
}
