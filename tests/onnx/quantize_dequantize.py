"""What ONNX Runtime's QuantizeLinear and DequantizeLinear make of numbers, as bits.

    pip install onnx onnxruntime numpy
    python3 tests/onnx/quantize_dequantize.py [COUNT] > tests/onnx/quantize_dequantize.json

`COUNT` numbers a case (64 unless told): ties and their neighbours, subnormal and
huge numbers, infinities, and random ones. `src/ops/tests/onnx.rs` compares. The
scale is `amax / M` in f32, with `M` the largest code. NaN is left out: ONNX does
not say what its integer code is. Every optimization is off, so that the pair runs
as it is written.
"""

import json
import sys

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

# name, element type of the codes, bits of one, largest code
KINDS = [
    ("int8", TensorProto.INT8, 8, 127),
    ("uint8", TensorProto.UINT8, 8, 255),
    ("int16", TensorProto.INT16, 16, 32767),
    ("uint16", TensorProto.UINT16, 16, 65535),
    ("int4", TensorProto.INT4, 4, 7),
    ("uint4", TensorProto.UINT4, 4, 15),
    ("e4m3", TensorProto.FLOAT8E4M3FN, 8, 448),
]


def pair(x, scale, kind, axis):
    _, element, bits, _ = kind
    shape = [] if axis is None else [x.shape[axis]]
    zeros = bytes((max(scale.size, 1) * bits + 7) // 8)
    attributes = {} if axis is None else {"axis": axis}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["codes"], **attributes),
        helper.make_node("DequantizeLinear", ["codes", "scale", "zero"], ["y"], **attributes),
    ]
    graph = helper.make_graph(
        nodes,
        "pair",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, x.shape)],
        [
            helper.make_tensor("scale", TensorProto.FLOAT, shape, scale.tobytes(), raw=True),
            helper.make_tensor("zero", element, shape, zeros, raw=True),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def numbers(rng, count, scale, largest):
    scale = np.float64(scale)
    codes = rng.integers(-largest - 2, largest + 3, count // 4).astype(np.float64)
    ties = ((codes + 0.5) * scale).astype(np.float32)
    special = [0.0, -0.0, 1e-45, -1e-40, 1e-38, 3e38, -3e38, np.inf, -np.inf, -0.4 * scale, 0.5 * scale, -0.5 * scale]
    special += [scale * largest, -scale * (largest + 1), scale * (largest + 0.5), -scale * (largest + 0.5)]
    rest = rng.normal(0, 1, count) * scale * largest * rng.choice([0.01, 0.5, 2.0], count)
    every = [special, ties, np.nextafter(ties, np.float32(np.inf)), np.nextafter(ties, np.float32(-np.inf)), rest]
    with np.errstate(over="ignore"):
        return np.concatenate(every).astype(np.float32)[:count]


def bits(x):
    return np.ascontiguousarray(x, np.float32).view(np.uint32).ravel().tolist()


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 64
    rng = np.random.default_rng(20)
    cases = []
    for kind in KINDS:
        name, _, _, largest = kind
        for amax in [1.0, 3.7, 1e-30, 1e30]:
            amax = np.float32(amax)
            scale = amax / np.float32(largest)
            x = numbers(rng, count, scale, largest)
            cases.append((name, None, x, amax, pair(x, scale, kind, None)))
        for axis in [0, 1]:
            amax = np.abs(rng.normal(0, 2, 3)).astype(np.float32)
            scale = amax / np.float32(largest)
            rows = np.stack([numbers(rng, count // 3, each, largest) for each in scale])
            x = np.ascontiguousarray(rows if axis == 0 else rows.T)
            cases.append((name, axis, x, amax, pair(x, scale, kind, axis)))
    print("[")
    keys = ["kind", "axis", "shape", "amax", "x", "y"]
    lines = [dict(zip(keys, [name, axis, list(x.shape), bits(amax), bits(x), bits(y)])) for name, axis, x, amax, y in cases]
    print(",\n".join(json.dumps(line, separators=(",", ":")) for line in lines))
    print("]")


if __name__ == "__main__":
    main()
