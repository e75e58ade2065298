#!/usr/bin/env python3
"""Sentences of STS-B a second: qdqc, ONNX Runtime and OpenVINO on one int8 model, in turn.

    texts.py QDQC CHECKPOINT DATA [--rounds 5] [--threads N]

QDQC is the binary, CHECKPOINT a calibrated sentence encoder, DATA the folder with the benchmark's
`dev.tsv`. qdqc is a process that reads a file of sentences and writes embeddings, less the time
that it takes for one sentence; its batches are of 32. The peers get tokens that are made before,
sorted by length, in padded batches of 1, 8 and 32, of which the fastest counts; their time is that
of the model alone. `cosine` is the least between a peer's embedding and qdqc's.

Needs numpy, tokenizers, onnxruntime and openvino.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import engines
import numpy as np


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("qdqc")
    parser.add_argument("checkpoint")
    parser.add_argument("data")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    args = parser.parse_args()
    args.spec = "sentence-embedding"
    lines = (Path(args.data) / "dev.tsv").read_text(encoding="utf-8").splitlines()
    sentences = [sentence for line in lines for sentence in line.split("\t")[5:7]]
    with tempfile.TemporaryDirectory() as folder:
        compare(args, sentences, Path(folder))


def compare(args, sentences, folder):
    tokens = tokenized(args.checkpoint, sentences)
    runs = {}
    for name in ("onnxruntime", "openvino"):
        model = engines.export(args, name, folder)
        run = onnx_runtime(model, args.threads) if name == "onnxruntime" else openvino(model, args.threads)
        for size in (1, 8, 32):
            runs[name, size] = (run, batches(tokens, size))
    times = {}
    for _ in range(args.rounds):
        took, vectors = ours(args, sentences, folder)
        times.setdefault("qdqc", []).append(took)
        for key, (run, parts) in runs.items():
            start = time.perf_counter()
            made = [run(given) for _, given in parts]
            times.setdefault(key, []).append(time.perf_counter() - start)
            if key[1] == 8:
                places = np.concatenate([places for places, _ in parts])
                theirs = np.concatenate(made)
                cosine = (vectors[places] * theirs).sum(1).min()
    own = statistics.median(times["qdqc"])
    print("| | sentences a second | time by qdqc's |\n|---|---|---|")
    print(f"| qdqc, int8 | {len(sentences) / own:.0f} | |")
    for name in ("onnxruntime", "openvino"):
        size = min((1, 8, 32), key=lambda size: statistics.median(times[name, size]))
        ratio = statistics.median(a / b for a, b in zip(times[name, size], times["qdqc"]))
        took = statistics.median(times[name, size])
        print(f"| {name}, batches of {size} | {len(sentences) / took:.0f} | {ratio:.2f} |")
    print(f"\nleast cosine with the last peer's: {cosine:.4f}")


def tokenized(checkpoint, sentences):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(checkpoint) / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return [encoding.ids for encoding in tokenizer.encode_batch(sentences)]


def batches(tokens, size):
    order = sorted(range(len(tokens)), key=lambda at: len(tokens[at]))
    parts = []
    for start in range(0, len(order), size):
        places = order[start : start + size]
        ids = np.zeros((len(places), max(len(tokens[at]) for at in places)), dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, at in enumerate(places):
            ids[row, : len(tokens[at])] = tokens[at]
            mask[row, : len(tokens[at])] = 1
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        parts.append((np.array(places), given))
    return parts


def ours(args, sentences, folder):
    def run(lines):
        path = folder / "texts.txt"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        command = [args.qdqc, "run", args.spec, "-c", args.checkpoint, "--engine", "int8", "--json"]
        command += ["--batch", "32", "--threads", str(args.threads), "--input", str(path)]
        start = time.perf_counter()
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return time.perf_counter() - start, done.stdout

    one, _ = run(sentences[:1])
    took, output = run(sentences)
    vectors = np.array([json.loads(line)["embedding"] for line in output.decode().splitlines()])
    return took - one, vectors


def onnx_runtime(path, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]
    return lambda given: session.run(None, {name: given[name] for name in names})[0]


def openvino(path, threads):
    from openvino import Core

    core = Core()
    settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
    model = core.compile_model(core.read_model(str(path)), "CPU", settings)
    names = [value.any_name for value in model.inputs]
    request = model.create_infer_request()
    return lambda given: list(request.infer({name: given[name] for name in names}).values())[0].copy()


if __name__ == "__main__":
    main()
