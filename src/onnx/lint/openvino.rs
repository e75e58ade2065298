//! What OpenVINO's CPU plugin makes of Q/DQ graphs: its low precision transformations turn them
//! into integer kernels where they can, and leave them in float where they cannot.

use super::{
    Effect, Place, Rule,
    checks::{
        activations, at, computed_scales, half_message, half_quantized, name, operators, scaled_activations,
        scales_along_the_sum, with_codes,
    },
    index::Index,
    operand::Product,
    rules,
};
use crate::onnx::proto::tensor_proto::DataType;
use std::collections::HashMap;

rules! {
    V01 Numbers sixteen_bits_are_kept:
    "16-bit codes of an activation",
    "OpenVINO leaves quantizers of 65536 steps out: the activation is not rounded at all.",
    "measured on OpenVINO 2026.4",
    "use 8 bits, or leave the activation in float";

    V02 Float weights_are_symmetric:
    "a weight with a zero point, or of uint8",
    "Integer kernels take int8 weights with zero point 0. Others are stored in 8 bits and multiplied in float.",
    "measured on OpenVINO 2026.4; OpenVINO documentation, low precision transformations",
    "use int8 with zero point 0 for weights";

    V03 Float both_matrices_are_quantized:
    "a product of which one matrix is quantized",
    "A product runs in integers where both its matrices are dequantized; otherwise it runs in float.",
    "measured on OpenVINO 2026.4",
    "quantize both matrices, or neither";

    V04 Float codes_have_kernels:
    "codes without integer kernels",
    "Integer kernels take codes of 8 bits, and 4 bits of activations. Products of 16-bit integers, of E4M3, and of \
     4-bit weights are computed in float.",
    "measured on OpenVINO 2026.4",
    "use 8-bit integers where speed matters";

    V05 Float activations_have_one_scale:
    "a product of an activation with a scale per channel",
    "Integer kernels take one scale for an activation; with several the product runs in float.",
    "measured on OpenVINO 2026.4; OpenVINO documentation, low precision transformations, limitations",
    "give the activation one scale";

    V06 Float scales_follow_outputs:
    "a weight with a scale for each input feature",
    "Integer kernels take a weight's scales by output feature; otherwise the product runs in float.",
    "measured on OpenVINO 2026.4",
    "quantize the weight along its output features: axis 1 of [in, out]";

    V07 Float scales_are_constant:
    "a scale that is computed",
    "A quantizer whose scale follows from the data runs in the reference implementation, and the product \
     behind it in float.",
    "measured on OpenVINO 2026.4",
    "calibrate the quantizer, so that its scale is a constant";

    V08 Float integer_operators_are_float:
    "an integer operator",
    "DynamicQuantizeLinear, MatMulInteger and ConvInteger are computed in float.",
    "measured on OpenVINO 2026.4",
    "export with QuantizeLinear and DequantizeLinear (the QDQ format)";

    V09 Rejected linear_operators_have_one_scale:
    "a QLinearMatMul with several scales",
    "QLinearMatMul is read with one scale for each of its matrices; a model with scales per channel does not load.",
    "measured on OpenVINO 2026.4",
    "export with QuantizeLinear and DequantizeLinear (the QDQ format)";

    V10 Slower products_of_activations_are_signed:
    "a product of uint8 activations",
    "A BERT with uint8 activations is 5 to 10 % slower than with int8: the products of activations with \
     activations run in bfloat16.",
    "measured on OpenVINO 2026.4, BERT-base and MiniLM at 1x128 and 8x128",
    "use int8 with zero point 0 for activations";

    V11 Slower values_have_one_kind_of_codes:
    "a value rounded to int8 and to uint8",
    "Where one value has quantizers of both kinds (a product's and a residual addition's), products that take \
     it run in float; which ones depends on the sizes.",
    "measured on OpenVINO 2026.4",
    "use one type of codes for all quantizers of a value";
}

fn sixteen_bits_are_kept(index: &Index<'_>) -> Vec<Place> {
    let mut places = Vec::new();
    for quantizer in activations(index) {
        let codes =
            quantizer.codes(index).filter(|codes| matches!(codes, DataType::Int16 | DataType::Uint16));
        places.extend(codes.map(|codes| at(quantizer.node, format!("has {} codes", name(codes)))));
    }
    places
}

fn weights_are_symmetric(index: &Index<'_>) -> Vec<Place> {
    let mut places = Vec::new();
    for product in
        Product::all(index).iter().filter(|product| product.is_quantized() && product.right.constant)
    {
        let Some(dequantize) = product.right.dequantize else { continue };
        let zero = dequantize.zero_point.is_none_or(|zero_point| index.is_zero(zero_point) != Some(false));
        let unsigned = product.right.codes(index) == Some(DataType::Uint8);
        if unsigned {
            places.push(at(product.node, format!("the weight `{}` has uint8 codes", product.right.value)));
        } else if !zero {
            places.push(at(product.node, format!("the weight `{}` has a zero point", product.right.value)));
        }
    }
    places
}

fn both_matrices_are_quantized(index: &Index<'_>) -> Vec<Place> {
    half_quantized(index).iter().map(|product| at(product.node, half_message(product))).collect()
}

fn codes_have_kernels(index: &Index<'_>) -> Vec<Place> {
    let mut places =
        with_codes(index, |codes| matches!(codes, DataType::Int8 | DataType::Uint8 | DataType::Int4));
    for product in Product::all(index).iter().filter(|product| product.is_quantized()) {
        if product.right.constant && product.right.codes(index) == Some(DataType::Int4) {
            places.push(at(product.node, format!("the weight `{}` has int4 codes", product.right.value)));
        }
    }
    places
}

fn activations_have_one_scale(index: &Index<'_>) -> Vec<Place> {
    scaled_activations(index)
}

fn scales_follow_outputs(index: &Index<'_>) -> Vec<Place> {
    scales_along_the_sum(index)
}

fn scales_are_constant(index: &Index<'_>) -> Vec<Place> {
    computed_scales(index)
}

fn integer_operators_are_float(index: &Index<'_>) -> Vec<Place> {
    operators(index, &["DynamicQuantizeLinear", "MatMulInteger", "ConvInteger"])
}

fn linear_operators_have_one_scale(index: &Index<'_>) -> Vec<Place> {
    let nodes = index.nodes.iter().filter(|node| super::index::is(node, "QLinearMatMul"));
    let many = nodes.filter(|node| {
        let scales = [1, 4, 6].into_iter().filter_map(|at| node.input.get(at));
        scales.into_iter().any(|scale| index.count(scale).is_some_and(|count| count > 1))
    });
    many.map(|node| at(node, "has a scale per channel")).collect()
}

fn products_of_activations_are_signed(index: &Index<'_>) -> Vec<Place> {
    let products = Product::all(index).into_iter();
    let unsigned = products.filter(|product| {
        let unsigned = |operand: &&super::operand::Operand<'_>| {
            !operand.constant && operand.codes(index) == Some(DataType::Uint8)
        };
        product.operands().iter().all(unsigned)
    });
    unsigned.map(|product| at(product.node, "both its matrices are activations in uint8")).collect()
}

fn values_have_one_kind_of_codes(index: &Index<'_>) -> Vec<Place> {
    let mut kinds: HashMap<&str, DataType> = HashMap::new();
    let mut places = Vec::new();
    for quantizer in activations(index) {
        let codes = quantizer.codes(index).filter(|codes| matches!(codes, DataType::Int8 | DataType::Uint8));
        let Some(codes) = codes else { continue };
        let first = *kinds.entry(quantizer.data).or_insert(codes);
        if first != codes {
            let message = format!(
                "`{}` is rounded to {} here, to {} elsewhere",
                quantizer.data,
                name(codes),
                name(first)
            );
            places.push(at(quantizer.node, message));
        }
    }
    places
}
