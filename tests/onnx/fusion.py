"""Whether ONNX Runtime turns every quantized product into an integer kernel."""

from collections import Counter

import onnx

from agreement import Disagreement
from engines import session

PRODUCTS = {"MatMul", "Gemm", "FusedMatMul", "FusedGemm", "MatMulNBits"}
CARRIERS = {"Transpose", "Reshape"}


def check(path, fixed: dict | None = None) -> Counter:
    """The operators of the optimized graph, of which only products that the spec leaves in float are float."""
    model = onnx.load(path)
    left = [node for node in model.graph.node if node.op_type in PRODUCTS and not quantized(node, model.graph)]
    dump = path.with_suffix(".optimized.onnx")
    session(path, optimized=True, dump=dump, fixed=fixed)
    optimized = onnx.load(dump)
    float_products = [node for node in optimized.graph.node if node.op_type in PRODUCTS]
    if len(float_products) != len(left):
        names = ", ".join(f"{node.op_type} {node.output[0]}" for node in float_products)
        raise Disagreement(f"ONNX Runtime keeps {len(float_products)} products in float, the spec {len(left)}: {names}")
    return Counter(node.op_type for node in optimized.graph.node)


def quantized(product, graph) -> bool:
    makers = {name: node for node in graph.node for name in node.output}

    def behind(name):
        maker = makers.get(name)
        while maker is not None and maker.op_type in CARRIERS:
            maker = makers.get(maker.input[0])
        return maker is not None and maker.op_type == "DequantizeLinear"

    return all(behind(name) for name in product.input[:2])
