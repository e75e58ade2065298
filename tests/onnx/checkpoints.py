"""Folders with the weights that `tests/tiny` lacks for some calls."""

import shutil
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

# Words, and intermediate numbers, of the large checkpoint.
SIZE = 4096


def make(tiny: Path, folder: Path) -> dict[str, Path]:
    """Checkpoints by the names that cases use."""
    weights = load_file(tiny / "model.safetensors")
    changed = {"one-score": one_score(weights), "cross": cross(weights), "relative": relative(weights), "large": large(weights)}
    made = {"tiny": tiny}
    for name, tensors in changed.items():
        made[name] = folder / name
        shutil.copytree(tiny, made[name])
        save_file({**weights, **tensors}, made[name] / "model.safetensors")
    return made


def one_score(weights):
    """A classifier with one number for each text, as multiple choice has."""
    return {name: weights[name][:1].copy() for name in ("classifier.weight", "classifier.bias")}


def cross(weights):
    """Every layer's attention again, as the attention that reads another model's states."""
    renamed = {name.replace(".attention.", ".crossattention."): tensor for name, tensor in weights.items()}
    # Reversed rows: not the same numbers in both attentions.
    crossed = {name: tensor for name, tensor in renamed.items() if ".crossattention." in name}
    return {name: tensor[::-1].copy() if tensor.ndim == 2 else tensor for name, tensor in crossed.items()}


def relative(weights):
    """A vector for every distance between two positions."""
    positions, _ = weights["bert.embeddings.position_embeddings.weight"].shape
    rng = np.random.default_rng(4)
    head = 8
    name = "bert.encoder.layer.{}.attention.self.distance_embedding.weight"
    return {name.format(layer): rng.normal(0, 0.5, (2 * positions - 1, head)).astype(np.float32) for layer in range(2)}


def large(weights):
    """SIZE words and intermediate numbers: tensors that are written beside a model."""
    rows = (".word_embeddings.", ".intermediate.")
    tall = {name: tensor for name, tensor in weights.items() if tensor.ndim and any(part in name for part in rows)}
    wide = {name: tensor for name, tensor in weights.items() if name.endswith("output.dense.weight") and "attention" not in name}
    made = {}
    for name, tensor in tall.items():
        if not name.endswith("_input_quantizer._amax"):
            made[name] = np.resize(tensor, (SIZE, *tensor.shape[1:]))
    for name, tensor in wide.items():
        made[name] = np.resize(tensor, (tensor.shape[0], SIZE)) / 8
    return made
