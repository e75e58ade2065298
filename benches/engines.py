#!/usr/bin/env python3
"""qdqc's engines, ONNX Runtime and OpenVINO on one model, in turn.

    engines.py QDQC SPEC CHECKPOINT [--shapes 1x128,8x128,1x384] [--rounds 7] [--seconds 1]
               [--threads N] [--only NAME...] [--json FILE]

QDQC is the binary, CHECKPOINT a calibrated folder. The peers run what `qdqc export` writes of
it: `onnxruntime-float` and `openvino-float` the float model, `onnxruntime` and `openvino` the
quantized one, each in the form that its profile gives it. `qdqc-int8`, `qdqc-candle` and
`qdqc-float` are `qdqc bench` with `--engine int8`, `--engine candle` and `--float`.

In a round each runs every shape for a while, and gives its median. A ratio is the median, over
the rounds, of a peer's time by that of `qdqc-int8` in the same round; in brackets are the
quartiles. Above 1, qdqc's integers are faster.

Needs numpy, onnxruntime and openvino.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

OURS = {"qdqc-int8": ["--engine", "int8"], "qdqc-candle": ["--engine", "candle"], "qdqc-float": ["--float"]}
EXPORTS = {
    "onnxruntime": ["--profile", "onnxruntime"],
    "openvino": ["--profile", "openvino"],
    "onnxruntime-float": ["--float"],
    "openvino-float": ["--float"],
}


def main():
    args = arguments()
    names = args.only or [*OURS, *EXPORTS]
    with tempfile.TemporaryDirectory() as folder:
        peers = {name: load(name, export(args, name, Path(folder)), args.threads) for name in names if name in EXPORTS}
        times = {}
        for number in range(args.rounds):
            for shape in args.shapes.split(","):
                # Each begins a round in turn.
                for name in names[number % len(names):] + names[: number % len(names)]:
                    took = ours(args, name, shape) if name in OURS else peers[name](shape, args.seconds)
                    times.setdefault((shape, name), []).append(took)
                print(number, shape, {name: round(times[shape, name][-1], 2) for name in names}, file=sys.stderr)
    show(args, names, times)
    if args.json:
        rows = [{"shape": shape, "engine": name, "ms": took} for (shape, name), took in times.items()]
        Path(args.json).write_text(json.dumps(rows, indent=1))


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("qdqc")
    parser.add_argument("spec")
    parser.add_argument("checkpoint")
    parser.add_argument("--shapes", default="1x128,8x128,1x384")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--only", nargs="+", choices=[*OURS, *EXPORTS])
    parser.add_argument("--json")
    return parser.parse_args()


def export(args, name, folder):
    path = folder / f"{name}.onnx"
    command = [args.qdqc, "export", args.spec, "-c", args.checkpoint, "-o", str(path), *EXPORTS[name]]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return path


def ours(args, name, shape):
    command = [args.qdqc, "bench", args.spec, "-c", args.checkpoint, *OURS[name], "--shapes", shape, "--json"]
    command += ["--seconds", str(args.seconds), "--threads", str(args.threads)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return json.loads(done.stdout)[0]["median"]


def feeds(names, shape):
    texts, tokens = map(int, shape.split("x"))
    ids = np.random.default_rng(1).integers(0, 1000, (texts, tokens), dtype=np.int64)
    known = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    return {name: known[name] for name in names}


def load(name, path, threads):
    """Gives a function of a shape and seconds: the median time of a run, in milliseconds."""
    run = onnx_runtime(path, threads) if name.startswith("onnxruntime") else openvino(path, threads)

    def median(shape, seconds):
        call = run(shape)
        for _ in range(2):
            call()
        times, start = [], time.perf_counter()
        while len(times) < 5 or time.perf_counter() - start < seconds:
            before = time.perf_counter()
            call()
            times.append(time.perf_counter() - before)
        return statistics.median(times) * 1e3

    return median


def onnx_runtime(path, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Its threads would spin on while others are timed.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]

    def run(shape):
        given = feeds(names, shape)
        return lambda: session.run(None, given)

    return run


def openvino(path, threads):
    from openvino import Core

    core = Core()
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    model = core.compile_model(core.read_model(str(path)), "CPU", settings)
    names = [value.any_name for value in model.inputs]

    def run(shape):
        request, given = model.create_infer_request(), feeds(names, shape)
        return lambda: request.infer(given)

    return run


def show(args, names, times):
    print("| texts x tokens | " + " | ".join(names) + " |")
    print("|---" * (len(names) + 1) + "|")
    for shape in args.shapes.split(","):
        cells = [cell(times[shape, name], times.get((shape, "qdqc-int8")), name) for name in names]
        print(f"| {shape} | " + " | ".join(cells) + " |")


def cell(times, own, name):
    text = f"{statistics.median(times):.1f} ms"
    if not own or name == "qdqc-int8":
        return text
    ratios = [time / mine for time, mine in zip(times, own)]
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return f"{text}: {middle:.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
