"""Numbers for a model's inputs, from its own list of them."""

import numpy as np
from onnx import TensorProto

VOCABULARY, LABELS = 264, 2


def sizes_of(value, bound: dict) -> list[int]:
    """A shape with its symbolic sizes bound; sizes are names, or sums of names."""
    dims = value.type.tensor_type.shape.dim
    return [sum(bound[name] for name in dim.dim_param.split(" + ")) if dim.dim_param else dim.dim_value for dim in dims]


def make(model, bound: dict, seed: int) -> dict[str, np.ndarray]:
    """Every row of the call ends in padding after a length of its own."""
    rng = np.random.default_rng([seed, *bound.values()])
    feeds = {}
    for value in model.graph.input:
        shape = sizes_of(value, bound)
        kind = "float" if value.type.tensor_type.elem_type == TensorProto.FLOAT else "whole"
        feeds[value.name] = numbers(value.name, kind, shape, rng)
    for ids, mask in [("input_ids", "attention_mask")]:
        if ids in feeds and mask in feeds:
            read = feeds[mask][..., -feeds[ids].shape[-1] :]
            feeds[ids] = feeds[ids] * (read != 0)
    return feeds


def numbers(name, kind, shape, rng):
    if name.endswith("attention_mask"):
        length = shape[-1]
        lengths = rng.integers(1, length + 1, shape[:-1])[..., None]
        return (np.arange(length) < lengths).astype(np.float32 if kind == "float" else np.int64)
    if name == "head_mask":
        return rng.integers(0, 2, shape).astype(np.float32)
    if kind == "float":
        return rng.normal(0, 1, shape).astype(np.float32)
    most = {"input_ids": VOCABULARY, "token_type_ids": 2, "position_ids": 128, "labels": LABELS}[name]
    return rng.integers(0, most, shape, dtype=np.int64)
