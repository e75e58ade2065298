#!/usr/bin/env python3
"""One product of codes at a time: qdqc's integers and ONNX Runtime's, in turn.

    products.py QDQC [--rounds 7] [--seconds 0.5] [--threads N]

For each size `rows x inputs x outputs` a spec with one quantized linear layer is written, with
random weights, and its inputs are rows of a random table. Both engines read them, quantize them,
multiply, and give floats: ONNX Runtime runs what `qdqc export --profile onnxruntime` writes,
activations in uint8 and weights in int8. `GOP/s` counts a multiplication and an addition as two;
`of the most` is what of the machine's measured ceiling the product alone reaches, as
`qdqc bench --profile` says it. `ratio` is our time by theirs. `wrong` is the share of numbers
that are not what exact sums of the codes give: on processors without VNNI ONNX Runtime adds
pairs of products in 16 bits, where they may not fit.

Needs numpy, safetensors and onnxruntime.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import engines
import numpy as np
from safetensors.numpy import load_file, save_file

SIZES = ((128, 768, 768), (128, 768, 3072), (128, 3072, 768), (1024, 768, 3072))

SPEC = """dim batch, seq
model Product(input_ids: i64[batch, seq]) -> (y: f32[batch, seq, {outputs}]) {{
    table: f32[1000, {inputs}]
    weight: f32[{outputs}, {inputs}]
    bias: f32[{outputs}]
    let x = gather(table, input_ids)
    let product = x @ transpose(weight, axes: [1, 0])
    return (y: product + bias)
}}
quantize all {{
    quantizer activations = int8(amax: 3.0)
    quantizer weights = int8(amax: 3.0, range: narrow)
    attach activations to lhs of product in Product
    attach weights to rhs of product in Product
}}
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("qdqc")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    print("| product | qdqc | GOP/s | of the most | wrong | ONNX Runtime | wrong | ratio |")
    print("|---" * 8 + "|")
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            print(line(args, size, Path(folder)), flush=True)


def line(args, size, folder):
    rows, inputs, outputs = size
    args.spec, args.checkpoint = str(write(folder, inputs, outputs)), str(folder)
    shape = f"{max(rows // 128, 1)}x{min(rows, 128)}"
    path = engines.export(args, "onnxruntime", folder)
    peer = engines.load("onnxruntime", path, args.threads)
    ours, theirs = [], []
    for number in range(args.rounds):
        calls = [lambda: ours.append(engines.ours(args, "qdqc-int8", shape)), lambda: theirs.append(peer(shape, args.seconds))]
        for call in calls[:: 1 if number % 2 else -1]:
            call()
        print(number, size, ours[-1], theirs[-1], file=sys.stderr)
    ratio = statistics.median(mine / other for mine, other in zip(ours, theirs))
    mine, other = statistics.median(ours), statistics.median(theirs)
    speed = 2 * rows * inputs * outputs / mine / 1e6
    name = "x".join(map(str, size))
    our_faults, their_faults = faults(args, path, folder, shape)
    ours = f"{mine:.2f} ms | {speed:.0f} | {share(args, shape):.0%} | {our_faults:.0%}"
    return f"| {name} | {ours} | {other:.2f} ms | {their_faults:.0%} | {ratio:.2f} |"


def faults(args, path, folder, shape):
    """The shares of numbers that are wrong, ours and ONNX Runtime's."""
    given = engines.feeds(["input_ids"], shape)
    tensors = load_file(folder / "model.safetensors")
    step = np.float32(3.0) / np.float32(127)
    codes = lambda x, least: np.clip(np.rint(x / step), least, 127).astype(np.float64)
    sums = codes(tensors["table"], -128)[given["input_ids"]] @ codes(tensors["weight"], -127).T
    exact = sums * np.float64(step) ** 2 + tensors["bias"]
    save_file(given, folder / "inputs.safetensors")
    command = [args.qdqc, "run", args.spec, "-c", args.checkpoint, "--engine", "int8"]
    command += ["--tensors", str(folder / "inputs.safetensors"), "-o", str(folder / "outputs.safetensors")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    theirs = engines.onnx_runtime(path, args.threads)(shape)()[0]
    wrong = lambda made: np.mean(np.abs(made - exact) > 1e-5 * np.abs(exact).max())
    return wrong(load_file(folder / "outputs.safetensors")["y"]), wrong(theirs)


def write(folder, inputs, outputs):
    """The spec; its checkpoint is beside it."""
    random = np.random.default_rng(1)
    normal = lambda *shape: random.standard_normal(shape, dtype=np.float32)
    tensors = {"table": normal(1000, inputs), "weight": normal(outputs, inputs), "bias": normal(outputs)}
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "vocab_size": 1000}))
    spec = folder / "product.qdq"
    spec.write_text(SPEC.format(inputs=inputs, outputs=outputs))
    return spec


def share(args, shape):
    """What of the ceiling the product reaches."""
    command = [args.qdqc, "bench", args.spec, "-c", args.checkpoint, "--engine", "int8", "--shapes", shape]
    command += ["--threads", str(args.threads), "--profile", "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    kinds = json.loads(done.stdout)[0]["profile"]
    return next(kind["of_peak"] for kind in kinds if kind["kind"] == "linear")


if __name__ == "__main__":
    main()
