//! What several rule sets ask of a graph.

use super::{
    Place,
    index::{Index, Quantizer, is, label},
    operand::{Operand, Product},
};
use crate::onnx::proto::{NodeProto, tensor_proto::DataType};

/// A place at a node.
pub(super) fn at(node: &NodeProto, message: impl Into<String>) -> Place {
    Place { node: label(node), message: message.into() }
}

/// A place that belongs to the model as a whole.
pub(super) fn of_model(message: impl Into<String>) -> Place {
    Place { node: "model".into(), message: message.into() }
}

/// A type as ONNX's text form writes it.
pub(super) fn name(element: DataType) -> String {
    element.as_str_name().to_lowercase()
}

/// Products of which one matrix is quantized and the other is not.
pub(super) fn half_quantized<'m>(index: &Index<'m>) -> Vec<Product<'m>> {
    let half =
        |product: &Product<'_>| product.left.dequantize.is_some() != product.right.dequantize.is_some();
    Product::all(index).into_iter().filter(half).collect()
}

/// Says of a half quantized product which matrix is which.
pub(super) fn half_message(product: &Product<'_>) -> String {
    let [quantized, float] = match product.left.dequantize {
        Some(_) => ["left", "right"],
        None => ["right", "left"],
    };
    let value = match product.left.dequantize {
        Some(_) => product.right.value,
        None => product.left.value,
    };
    format!("the {quantized} matrix is quantized, the {float} one, `{value}`, is not")
}

/// Products with scales along an axis of the left matrix, or of a right one that is computed.
pub(super) fn scaled_activations(index: &Index<'_>) -> Vec<Place> {
    let mut places = Vec::new();
    for product in Product::all(index) {
        for operand in product.operands() {
            let many = operand.dequantize.is_some_and(|found| found.has_many_scales(index));
            if many && !operand.constant {
                places.push(at(
                    product.node,
                    format!("`{}` is computed and has a scale per channel", operand.value),
                ));
            }
        }
    }
    places
}

/// Products whose weight has its scales along the axis that is summed over.
pub(super) fn scales_along_the_sum(index: &Index<'_>) -> Vec<Place> {
    let products = Product::all(index).into_iter();
    let wrong = products
        .filter(|product| product.right.constant && product.scales_follow_outputs(index) == Some(false));
    wrong
        .map(|product| at(product.node, "the weight has a scale for each input feature, not for each output"))
        .collect()
}

/// Rounds again what was rounded already, with no operator between.
pub(super) fn rounded_twice(index: &Index<'_>) -> Vec<Place> {
    let quantizers = index.quantizers().filter(|quantizer| quantizer.quantizes);
    let twice = quantizers.filter_map(|quantizer| {
        let first = Operand::of(quantizer.data, index).quantize?;
        Some(at(quantizer.node, format!("rounds what `{}` rounded already", label(first.node))))
    });
    twice.collect()
}

/// Quantizers whose scale is computed when the model runs.
pub(super) fn computed_scales(index: &Index<'_>) -> Vec<Place> {
    let computed = index.quantizers().filter(|quantizer| !index.is_constant(quantizer.scale));
    computed
        .map(|quantizer| at(quantizer.node, format!("the scale `{}` is computed", quantizer.scale)))
        .collect()
}

/// Nodes of these standard operators.
pub(super) fn operators(index: &Index<'_>, kinds: &[&str]) -> Vec<Place> {
    let nodes = index.nodes.iter().filter(|node| kinds.iter().any(|kind| is(node, kind)));
    nodes.map(|node| at(node, format!("is a {}", node.op_type()))).collect()
}

/// The model is written in a newer set of operators than `newest`.
pub(super) fn newer_than(index: &Index<'_>, newest: i64) -> Vec<Place> {
    if index.opset <= newest {
        return Vec::new();
    }
    vec![of_model(format!("is written in opset {}; {newest} is the newest that is read", index.opset))]
}

/// The quantizers of activations: their data does not follow from constants alone.
pub(super) fn activations<'i, 'm>(index: &'i Index<'m>) -> impl Iterator<Item = Quantizer<'m>> + use<'i, 'm> {
    index.quantizers().filter(|quantizer| quantizer.quantizes && !index.is_constant(quantizer.data))
}

/// Products of which both matrices are quantized and one has codes that `is_known` does not name.
pub(super) fn with_codes(index: &Index<'_>, is_known: fn(DataType) -> bool) -> Vec<Place> {
    let mut places = Vec::new();
    for product in Product::all(index).into_iter().filter(Product::is_quantized) {
        let other = product.operands().into_iter().find_map(|operand| {
            let codes = operand.codes(index).filter(|codes| !is_known(*codes))?;
            Some(format!("`{}` has {} codes", operand.value, name(codes)))
        });
        places.extend(other.map(|message| at(product.node, message)));
    }
    places
}
