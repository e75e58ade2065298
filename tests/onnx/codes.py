"""The codes that ONNX Runtime gives at every quantizer.

Each must be its own float input divided by the scale, rounded half to even, and held to
the range of the code: what ONNX says, and what qdqc computes.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from agreement import Disagreement
from engines import session

RANGES = {TensorProto.INT8: (-128, 127), TensorProto.UINT8: (0, 255)}


def check(path, calls) -> int:
    """How many codes of activations and weights were compared."""
    model = onnx.load(path)
    graph = model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    quantizers = [node for node in graph.node if node.op_type == "QuantizeLinear"]
    given = {value.name for value in graph.input} | set(constants)
    made = {value.name for value in graph.output}
    wanted = dict.fromkeys(name for node in quantizers for name in (node.input[0], node.output[0]))
    wanted = [name for name in wanted if name not in given]
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted if name not in made)
    opened = session(model.SerializeToString(), optimized=False)
    compared = 0
    for feeds in calls:
        values = {**constants, **feeds, **dict(zip(wanted, opened.run(wanted, feeds)))}
        for node in quantizers:
            compared += compare(node, values)
    return compared


def compare(node, values) -> int:
    x, scale, zero = (values[name] for name in node.input)
    found = values[node.output[0]]
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
    if scale.ndim:
        shape = [-1 if at == axis % x.ndim else 1 for at in range(x.ndim)]
        scale, zero = scale.reshape(shape), zero.reshape(shape)
    low, high = RANGES[helper.np_dtype_to_tensor_dtype(found.dtype)]
    expected = np.clip(np.rint(x / scale) + zero.astype(np.float32), low, high).astype(found.dtype)
    differing = int((expected != found).sum())
    if differing:
        raise Disagreement(f"{differing} codes of `{node.name}` are not their input divided by the scale, rounded half to even")
    return found.size
