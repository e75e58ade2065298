"""Whether an engine's integer products are exact on this processor.

x86 processors without VNNI multiply uint8 by int8 codes with an instruction that adds two products in 16 bits, and
ONNX Runtime and OpenVINO use it: 2 · 255 · 127 is 64770, and becomes 32767.
"""

import functools
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

INNER = 64


def product():
    """`x` times a matrix, both in int8; of ones, every number is INNER."""
    constants = {
        "x_scale": np.float32(1 / 127),
        "x_zero": np.uint8(128),
        "codes": np.full((INNER, 8), 127, np.int8),
        "scale": np.full(8, 1 / 127, np.float32),
        "zero": np.zeros(8, np.int8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "x_scale", "x_zero"], ["x_codes"]),
        helper.make_node("DequantizeLinear", ["x_codes", "x_scale", "x_zero"], ["x_rounded"]),
        helper.make_node("DequantizeLinear", ["codes", "scale", "zero"], ["matrix"], axis=1),
        helper.make_node("MatMul", ["x_rounded", "matrix"], ["y"]),
    ]
    numbers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", INNER])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 8])
    graph = helper.make_graph(nodes, "product", [x], [y], numbers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@functools.cache
def is_exact(engine, *arguments) -> bool:
    """Of a function of engines.py, with what it is called with after the model and the calls."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "product.onnx"
        onnx.save(product(), path)
        ones = np.ones((4, INNER), np.float32)
        made = engine(path, [{"x": ones}], *arguments)[0]["y"]
    return bool(np.allclose(made, INNER, rtol=1e-3))
