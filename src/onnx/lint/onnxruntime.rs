//! What ONNX Runtime's CPU engine makes of Q/DQ graphs: its optimizer turns them into integer
//! kernels where it knows the pattern, and leaves them in float where it does not.

use super::{
    Effect, Place, Rule,
    checks::{
        activations, at, half_message, half_quantized, newer_than, rounded_twice, scaled_activations,
        scales_along_the_sum, with_codes,
    },
    index::{Index, MOST_TAKERS, Quantizer, is, is_move, label},
    operand::{Operand, Product},
    rules,
};
use crate::onnx::proto::{NodeProto, tensor_proto::DataType};
use std::collections::HashSet;

rules! {
    O01 Rejected opset_is_read:
    "an opset that is too new",
    "ONNX Runtime 1.32 has kernels for the quantizers of opset 10 to 27; a model of opset 28 does not load.",
    "measured on ONNX Runtime 1.32",
    "write the model in opset 27 or older";

    O02 Rejected signed_codes_do_not_move:
    "int8 activations that are moved, in opset 21 or newer",
    "Where a Transpose, Reshape or the like stands behind the DequantizeLinear of an int8 activation, the \
     optimizer moves a QuantizeLinear with `output_dtype` behind it and then makes that one uint8, in the \
     zero point alone. The session fails to load with `output_dtype INT8 does not match y_zero_point type UINT8`. \
     The same comes of a bias of one axis where shapes are known, because the product is reshaped into a Gemm.",
    "measured on ONNX Runtime 1.32: opset 20 loads, 21 does not",
    "use uint8 with zero point 128, write opset 20 or older, or quantize behind the Transpose";

    O03 Float signed_codes_are_not_shared:
    "int8 activations that other operators take, too, or that are moved as codes",
    "x64 has integer kernels for products whose left matrix is uint8. The optimizer turns int8 into uint8 where \
     a QuantizeLinear has one consumer, its DequantizeLinear; pairs on one value \
     with equal scales and one initializer for their zero points are merged before. So a value that several operators take (the input of query, key and value; the output of a \
     LayerNormalization that a residual addition takes, too) stays int8, and its products run in float: half of \
     BERT's.",
    "measured on ONNX Runtime 1.32, x86-64 with AVX-512 VNNI",
    "use uint8 with zero point 128 for activations (the same codes, shifted), or give every consumer a quantizer \
     with a zero point of its own";

    O04 Float both_matrices_are_quantized:
    "a product of which one matrix is quantized",
    "A product becomes an integer kernel where both its matrices are dequantized; otherwise it runs in float \
     behind the DequantizeLinear.",
    "measured on ONNX Runtime 1.32",
    "quantize both matrices, or neither";

    O05 Numbers weights_are_not_alone:
    "an 8-bit weight whose other matrix has no 8-bit codes",
    "A product of a float (or 16-bit) activation with a dequantized 8-bit weight becomes MatMulNBits with \
     accuracy_level 4: it quantizes the activation itself, on the fly. (`session.qdq_matmulnbits_accuracy_level` \
     sets it.)",
    "measured on ONNX Runtime 1.32",
    "quantize the activation too, or write the weight's dequantized float numbers";

    O06 Numbers biases_have_three_axes:
    "a bias of one axis",
    "A product and the addition of a bias of one axis become a Gemm as soon as the sizes of its input are \
     known, in the file or by free dimension overrides. The Gemm either has its bias rounded to int32, which \
     changes numbers, or runs in float and dequantizes its weight on every call.",
    "measured on ONNX Runtime 1.32: MatMulAddFusion, WeightBiasQuantization",
    "store the bias with shape [1, 1, out]";

    O07 Rejected activations_have_one_scale:
    "a product of an activation with a scale per channel",
    "The product becomes an integer kernel that takes one scale for its left matrix: it fails when it is run \
     (uint8), or runs in float (int8).",
    "measured on ONNX Runtime 1.32",
    "give the activation one scale";

    O08 Rejected scales_follow_outputs:
    "a weight with a scale for each input feature",
    "The integer kernel takes the weight's scales by output feature, whatever `axis` says: it fails when it is \
     run, or computes wrong numbers where the weight is square.",
    "measured on ONNX Runtime 1.32",
    "quantize the weight along its output features: axis 1 of [in, out]";

    O09 Float codes_have_kernels:
    "codes without integer kernels",
    "Integer kernels take codes of 8 bits. Products of 16-bit or 4-bit integers and of E4M3 are computed in \
     float behind the DequantizeLinear.",
    "measured on ONNX Runtime 1.32",
    "use 8-bit integers where speed matters";

    O10 Float signed_codes_are_not_clipped:
    "a Clip of int8 codes",
    "Codes of fewer bits than their type are written with a Clip of the codes. Behind it int8 is not turned \
     into uint8, and the product runs in float.",
    "measured on ONNX Runtime 1.32: a Clip of uint8 codes is fused, one of int8 codes is not",
    "use uint8 with zero point 128";

    O11 Float gemms_have_no_bias:
    "a quantized Gemm with a bias in float",
    "A Gemm becomes an integer kernel where all its inputs are dequantized, the bias among them, or where it \
     has no bias.",
    "measured on ONNX Runtime 1.32",
    "take the bias out of the Gemm and add it behind";

    O12 Slower norms_are_not_fused:
    "an addition straight into a LayerNormalization",
    "The two become SkipLayerNormalization, which takes about three times as long as both of them: a quarter \
     of a quantized BERT's time.",
    "measured on ONNX Runtime 1.32 at 1x128",
    "put a Reshape to [0, 0, hidden] between them";

    O13 Numbers values_are_rounded_once:
    "two pairs on one edge",
    "The optimizer makes one pair of two that follow each other, with a scale of its own.",
    "measured on ONNX Runtime 1.32: DoubleQDQPairsRemover",
    "take one of the two quantizers away";

    O14 Float biased_products_are_quantized_behind:
    "a bias of one axis, sizes that are known, and no quantizer behind",
    "A product and the addition of a bias of one axis become a Gemm where the sizes of its input are known. Where \
     no QuantizeLinear takes the sum (the product before GELU), that Gemm runs in float and dequantizes its weight \
     on every call.",
    "measured on ONNX Runtime 1.32: 1.8 times the time of the float model",
    "store the bias with shape [1, 1, out]";
}

fn opset_is_read(index: &Index<'_>) -> Vec<Place> {
    newer_than(index, 27)
}

/// The dequantizers of int8 activations.
fn signed<'i, 'm>(index: &'i Index<'m>) -> impl Iterator<Item = Quantizer<'m>> + use<'i, 'm> {
    index.quantizers().filter(|quantizer| {
        !quantizer.quantizes
            && !index.is_constant(quantizer.data)
            && quantizer.codes(index) == Some(DataType::Int8)
    })
}

fn signed_codes_do_not_move(index: &Index<'_>) -> Vec<Place> {
    if index.opset < 21 {
        return Vec::new();
    }
    let mut places = Vec::new();
    for dequantize in signed(index) {
        let consumers = || index.consumers(dequantize.output).iter().take(MOST_TAKERS);
        let moving = consumers().find(|node| is_move(node));
        let reshaped = consumers().find(|node| becomes_gemm(node, index));
        if let Some(node) = moving.or(reshaped) {
            let what = label(node);
            places.push(at(
                dequantize.node,
                format!("dequantizes int8 codes, which `{what}` moves or reshapes"),
            ));
        }
    }
    places
}

fn signed_codes_are_not_shared(index: &Index<'_>) -> Vec<Place> {
    let products = Product::all(index).into_iter().filter(Product::is_quantized);
    let stay = products.filter(|product| {
        let integer_gemm = becomes_gemm(product.node, index) && is_quantized_behind(product.node, index);
        stays_signed(&product.left, index) && !integer_gemm
    });
    stay.map(|product| {
        let value = product.left.value;
        let why = match product.left.code_moves.first() {
            Some(_) => "are moved as codes",
            None => "other operators take, too",
        };
        at(product.node, format!("`{value}` has int8 codes that {why}"))
    })
    .collect()
}

/// The matrix's int8 codes are not made uint8: they are moved before they are dequantized, or their
/// quantizer, merged with its equals, has more than one consumer. Dequantized numbers that are
/// moved get a quantizer of their own.
fn stays_signed(left: &Operand<'_>, index: &Index<'_>) -> bool {
    let Some(quantize) =
        left.quantize.filter(|_| left.codes(index) == Some(DataType::Int8) && !left.constant)
    else {
        return false;
    };
    !left.code_moves.is_empty() || (left.moves.is_empty() && takers(&quantize, index) > 1)
}

/// How many times the dequantized codes of a quantizer and its equals are taken.
fn takers(quantize: &Quantizer<'_>, index: &Index<'_>) -> usize {
    let consumers = index.consumers(quantize.data).iter().take(MOST_TAKERS);
    let quantizers = consumers.filter_map(|node| Quantizer::of(node));
    let equal = quantizers
        .filter(|other| other.quantizes && other.data == quantize.data && equals(other, quantize, index));
    let dequantizers = equal.flat_map(|equal| index.consumers(equal.output).iter().take(MOST_TAKERS));
    let counts = dequantizers.filter_map(|node| {
        let output = node.output.first()?;
        Some(index.consumers(output).len() + usize::from(index.is_output(output)))
    });
    counts.sum()
}

/// Two quantizers that are merged: of equal scale, and with one value for their zero points. (Equal
/// constants in float are made one before, those of int8 are not.)
fn equals(one: &Quantizer<'_>, other: &Quantizer<'_>, index: &Index<'_>) -> bool {
    let numbers = index.numbers(one.scale);
    let scales = one.scale == other.scale || (numbers.is_some() && numbers == index.numbers(other.scale));
    scales && one.zero_point == other.zero_point && one.codes(index) == other.codes(index)
}

fn both_matrices_are_quantized(index: &Index<'_>) -> Vec<Place> {
    let half = half_quantized(index).into_iter().filter(|product| !is_weight_alone(product, index));
    half.map(|product| at(product.node, half_message(&product))).collect()
}

/// The right matrix is a weight of 8 bits, the left one has no codes of 8 bits.
fn is_weight_alone(product: &Product<'_>, index: &Index<'_>) -> bool {
    product.right.constant && product.right.is_eight_bits(index) && !product.left.is_eight_bits(index)
}

fn weights_are_not_alone(index: &Index<'_>) -> Vec<Place> {
    let alone = Product::all(index).into_iter().filter(|product| is_weight_alone(product, index));
    alone
        .map(|product| {
            at(
                product.node,
                format!("`{}` has 8-bit codes, `{}` has none", product.right.value, product.left.value),
            )
        })
        .collect()
}

/// The addition of a bias of one axis to a MatMul, and the bias.
fn plain_bias<'m>(product: &NodeProto, index: &Index<'m>) -> Option<(&'m NodeProto, &'m str)> {
    let output = product.output.first().filter(|_| is(product, "MatMul"))?;
    let add = *index.consumers(output).iter().take(MOST_TAKERS).find(|node| is(node, "Add"))?;
    let bias = add.input.iter().find(|input| *input != output)?;
    let axes = index.shape(bias)?.len();
    (index.is_constant(bias) && axes == 1).then_some((add, bias))
}

/// The product is made a Gemm with its bias: the sizes of its input follow from the file.
fn becomes_gemm(product: &NodeProto, index: &Index<'_>) -> bool {
    index.has_known_sizes && plain_bias(product, index).is_some()
}

/// What a product and its bias make is quantized, perhaps behind operators that move numbers.
fn is_quantized_behind(product: &NodeProto, index: &Index<'_>) -> bool {
    let sum = plain_bias(product, index).and_then(|(add, _)| add.output.first());
    sum.is_some_and(|sum| index.takers(sum).iter().any(|node| node.op_type() == "QuantizeLinear"))
}

fn biased_products_are_quantized_behind(index: &Index<'_>) -> Vec<Place> {
    let products = Product::all(index).into_iter().filter(Product::is_quantized);
    let float = products
        .filter(|product| becomes_gemm(product.node, index) && !is_quantized_behind(product.node, index));
    float.map(|product| at(product.node, "no QuantizeLinear takes the sum of it and its bias")).collect()
}

fn biases_have_three_axes(index: &Index<'_>) -> Vec<Place> {
    let mut places = Vec::new();
    for product in Product::all(index).iter().filter(|product| product.is_quantized()) {
        let bias = plain_bias(product.node, index);
        places.extend(bias.map(|(_, bias)| at(product.node, format!("its bias `{bias}` has one axis"))));
    }
    places
}

fn activations_have_one_scale(index: &Index<'_>) -> Vec<Place> {
    scaled_activations(index)
}

fn scales_follow_outputs(index: &Index<'_>) -> Vec<Place> {
    scales_along_the_sum(index)
}

fn codes_have_kernels(index: &Index<'_>) -> Vec<Place> {
    let alone: HashSet<String> = weights_are_not_alone(index).into_iter().map(|place| place.node).collect();
    let mut places = with_codes(index, |codes| matches!(codes, DataType::Int8 | DataType::Uint8));
    places.retain(|place| !alone.contains(&place.node));
    places
}

fn signed_codes_are_not_clipped(index: &Index<'_>) -> Vec<Place> {
    let mut places = Vec::new();
    for product in Product::all(index) {
        let clipped = product.operands().into_iter().find(|operand| {
            let codes = operand.dequantize.map(|found| index.behind(found.data).0);
            let clip = codes.and_then(|codes| index.producer(codes)).is_some_and(|node| is(node, "Clip"));
            clip && operand.codes(index) == Some(DataType::Int8) && !operand.constant
        });
        places.extend(
            clipped.map(|operand| at(product.node, format!("`{}` has clipped int8 codes", operand.value))),
        );
    }
    places
}

fn gemms_have_no_bias(index: &Index<'_>) -> Vec<Place> {
    let mut places = Vec::new();
    for product in
        Product::all(index).iter().filter(|product| product.is_quantized() && is(product.node, "Gemm"))
    {
        let bias = product.node.input.get(2).filter(|bias| !bias.is_empty());
        let float = bias.filter(|bias| Operand::of(bias, index).dequantize.is_none());
        places.extend(float.map(|bias| at(product.node, format!("its bias `{bias}` is in float"))));
    }
    places
}

fn norms_are_not_fused(index: &Index<'_>) -> Vec<Place> {
    let mut places = Vec::new();
    for norm in index.nodes.iter().filter(|node| is(node, "LayerNormalization")) {
        let source = norm.input.first().and_then(|input| index.producer(input));
        let add = source.filter(|node| is(node, "Add"));
        places.extend(add.map(|add| at(norm, format!("normalizes the sum of `{}`", label(add)))));
    }
    places
}

fn values_are_rounded_once(index: &Index<'_>) -> Vec<Place> {
    let activations: HashSet<String> = activations(index).map(|quantizer| label(quantizer.node)).collect();
    let mut places = rounded_twice(index);
    places.retain(|place| activations.contains(&place.node));
    places
}
