"""Numbers for a model's inputs, from its own list of them."""

import numpy as np
from onnx import helper

# Of `tests/tiny`.
VOCABULARY, POSITIONS, LABELS = 264, 128, 2


def sizes_of(value, bound: dict) -> list[int]:
    """A shape with its symbolic sizes bound; sizes are names, or sums of names."""
    dims = value.type.tensor_type.shape.dim
    return [sum(bound[name] for name in dim.dim_param.split(" + ")) if dim.dim_param else dim.dim_value for dim in dims]


def make(model, bound: dict, seed: int, empty: bool = True) -> dict[str, np.ndarray]:
    """Rows end in padding, each after a length of its own; the last of several is padding alone, unless told."""
    rng = np.random.default_rng([seed, *bound.values()])
    feeds = {}
    for value in model.graph.input:
        dtype = helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        feeds[value.name] = numbers(value.name, sizes_of(value, bound), rng, empty).astype(dtype)
    if "input_ids" in feeds and "attention_mask" in feeds:
        own = feeds["input_ids"].shape[-1]
        feeds["input_ids"] = feeds["input_ids"] * (feeds["attention_mask"][..., -own:] != 0)
    return feeds


def numbers(name, shape, rng, empty):
    if name.endswith("attention_mask"):
        lengths = rng.integers(1, shape[-1] + 1, shape[:-1])
        if empty and shape[0] > 1:
            lengths[-1] = 0
        return np.arange(shape[-1]) < lengths[..., None]
    below = {"input_ids": VOCABULARY, "token_type_ids": 2, "position_ids": POSITIONS, "head_mask": 2, "labels": LABELS}
    if name in below:
        return rng.integers(0, below[name], shape)
    return rng.normal(0, 1, shape)
