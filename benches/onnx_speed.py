#!/usr/bin/env python3
"""What ONNX Runtime makes of exported models, and how fast they then are.

    onnx_speed.py checkpoint {bert-base,minilm-l6} DIR
    onnx_speed.py graph FILE... [--batch 1 --seq 128]
    onnx_speed.py time FIRST OTHER... [--batch 1 8] [--seq 128] [--threads 2] [--rounds 15] [--sizes fixed]
                     [--processor-time]

`checkpoint` writes a HuggingFace folder of that size with random weights, and
DIR/texts.txt to calibrate with. `graph` counts the nodes of a file before and
after ONNX Runtime's optimization, with symbolic and with fixed sizes, and lists
the products that the file quantizes and that are left in float. `time` lets the
models take turns in one process; each ratio is the median of the rounds' own,
with their quartiles. A model there is `FILE`, or `openvino:FILE`. On a machine
that is busy with other work, `--threads 1 --processor-time` says more.

Needs numpy, onnx, onnxruntime, safetensors, and openvino where it is named.
"""

import argparse
import collections
import json
import pathlib
import statistics
import sys
import tempfile
import time

import numpy as np

SHAPES = {  # layers, hidden size, heads, intermediate size
    "bert-base": (12, 768, 12, 3072),
    "minilm-l6": (6, 384, 12, 1536),
}
VOCABULARY, POSITIONS = 30522, 512
PRODUCTS = ("MatMul", "Gemm", "FusedMatMul", "TransposeMatMul", "MatMulNBits")
INTEGER_PRODUCTS = ("MatMulIntegerToFloat", "QLinearMatMul", "QGemm", "MatMulInteger", "DynamicQuantizeMatMul")
# What hands numbers on, in another order at most.
MOVES = ("Transpose", "Reshape", "Squeeze", "Unsqueeze", "Identity", "Flatten")


# ------------------------------------------------------------- a checkpoint


def weights(size):
    """Weights that keep activations alive: products of variance 1, attention that is
    not flat, and norms and biases away from 1 and 0."""
    layers, hidden, _, intermediate = SHAPES[size]
    random = np.random.default_rng(0)
    tensors = {}

    def normal(name, *shape, deviation, mean=0.0):
        tensors[name] = random.standard_normal(shape, dtype=np.float32) * np.float32(deviation) + np.float32(mean)

    def linear(name, size_in, size_out, gain=1.0):
        normal(f"{name}.weight", size_out, size_in, deviation=gain / size_in**0.5)
        normal(f"{name}.bias", size_out, deviation=0.1)

    def norm(name):
        normal(f"{name}.weight", hidden, deviation=0.1, mean=1.0)
        normal(f"{name}.bias", hidden, deviation=0.1)

    for table, rows in (("word", VOCABULARY), ("position", POSITIONS), ("token_type", 2)):
        normal(f"embeddings.{table}_embeddings.weight", rows, hidden, deviation=1.0)
    norm("embeddings.LayerNorm")
    for layer in range(layers):
        at = f"encoder.layer.{layer}"
        linear(f"{at}.attention.self.query", hidden, hidden, gain=1.22)
        linear(f"{at}.attention.self.key", hidden, hidden, gain=1.22)
        linear(f"{at}.attention.self.value", hidden, hidden)
        linear(f"{at}.attention.output.dense", hidden, hidden)
        norm(f"{at}.attention.output.LayerNorm")
        linear(f"{at}.intermediate.dense", hidden, intermediate)
        linear(f"{at}.output.dense", intermediate, hidden)
        norm(f"{at}.output.LayerNorm")
    linear("pooler.dense", hidden, hidden)
    return tensors


def checkpoint(arguments):
    from safetensors.numpy import save_file

    folder = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    layers, hidden, heads, intermediate = SHAPES[arguments.size]
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "vocab_size": VOCABULARY,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": intermediate,
        "hidden_act": "gelu",
        "max_position_embeddings": POSITIONS,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
    }
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [f"w{number}" for number in range(len(special), VOCABULARY)]
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizer"}))
    (folder / "vocab.txt").write_text("\n".join(special + words) + "\n")
    random = np.random.default_rng(1)
    texts = (" ".join(random.choice(words, 126)) for _ in range(16))
    (folder / "texts.txt").write_text("\n".join(texts) + "\n")
    save_file(weights(arguments.size), str(folder / "model.safetensors"))


# ------------------------------------------------------------ what is made of it


def session(path, threads=2, sizes=None, optimized=None):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if optimized:
        options.optimized_model_filepath = str(optimized)
    for name, size in (sizes or {}).items():
        options.add_free_dimension_override_by_name(name, size)
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def quantized_products(graph):
    """The float products of a graph that read a DequantizeLinear, by output, each with
    the operators that its two factors come from."""
    producer = {output: node for node in graph.node for output in node.output}

    def origin(value):
        node = producer.get(value)
        while node is not None and node.op_type in MOVES:
            node = producer.get(node.input[0])
        return "number" if node is None else node.op_type

    found = {}
    for node in graph.node:
        if node.op_type in PRODUCTS:
            origins = [origin(value) for value in node.input[:2]]
            if "DequantizeLinear" in origins or node.op_type == "MatMulNBits":
                found[node.output[0]] = (node.op_type, *origins)
    return found


def histogram(graph):
    counts = collections.Counter(node.op_type for node in graph.node)
    return ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def graph(arguments):
    import onnx

    for file in arguments.files:
        source = onnx.load(file, load_external_data=False).graph
        print(f"{file}\n  written: {histogram(source)}")
        print(f"  products that it quantizes: {len(quantized_products(source))}")
        for mode, sizes in (("symbolic", None), ("fixed", {"batch": arguments.batch, "seq": arguments.seq})):
            with tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder) / "optimized.onnx"
                try:
                    session(file, sizes=sizes, optimized=path)
                except Exception as error:  # its own class of errors is not public
                    print(f"  {mode}: DOES NOT LOAD: {error}")
                    continue
                optimized = onnx.load(path).graph
            integer = sum(node.op_type in INTEGER_PRODUCTS for node in optimized.node)
            left = quantized_products(optimized)
            print(f"  {mode}: {histogram(optimized)}")
            print(f"  {mode}: products in integers: {integer}; quantized, but left in float: {len(left)}")
            for name, (kind, *origins) in list(left.items())[:8]:
                print(f"    {kind} of {' and '.join(origins)}: {name}")


# ----------------------------------------------------------------------- speed


def feeds(names, batch, seq):
    ids = np.random.default_rng(1).integers(5, VOCABULARY, (batch, seq), dtype=np.int64)
    known = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    return {name: known[name] for name in names}


def onnxruntime_call(path, batch, seq, threads, fixed):
    model = session(path, threads, {"batch": batch, "seq": seq} if fixed else None)
    feed = feeds([value.name for value in model.get_inputs()], batch, seq)
    return lambda: model.run(None, feed)


def openvino_call(path, batch, seq, threads, fixed):
    import openvino

    core = openvino.Core()
    net = core.read_model(path)
    if fixed:
        net.reshape({port.any_name: [batch, seq] for port in net.inputs})
    config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
    request = core.compile_model(net, "CPU", config).create_infer_request()
    feed = list(feeds([port.any_name for port in net.inputs], batch, seq).values())
    return lambda: request.infer(feed, share_inputs=True, share_outputs=True)


def call(model, *settings):
    if model.startswith("openvino:"):
        return openvino_call(model.removeprefix("openvino:"), *settings)
    return onnxruntime_call(model, *settings)


def milliseconds(function, clock):
    start = clock()
    function()
    return (clock() - start) * 1e3


def race(calls, rounds, clock, at_least=150.0):
    """Milliseconds of each call, a number a round: the median of as many runs as fill
    `at_least`. The order turns from round to round, and a run that is not counted lets
    the threads of the call before go to sleep."""
    repeats = []
    for function in calls:
        function()
        repeats.append(max(1, int(at_least / milliseconds(function, clock))))
    times = [[] for _ in calls]
    for turn in range(rounds):
        for at in range(len(calls)):
            at = (at + turn) % len(calls)
            calls[at]()
            times[at].append(statistics.median(milliseconds(calls[at], clock) for _ in range(repeats[at])))
    return times


def speed(arguments):
    clock = time.process_time if arguments.processor_time else time.perf_counter
    print("| batch x tokens | sizes | model | ms | ratio | quartiles |\n|---|---|---|---|---|---|")
    for batch in arguments.batch:
        for sizes in arguments.sizes:
            settings = (batch, arguments.seq, arguments.threads, sizes == "fixed")
            calls = [call(model, *settings) for model in arguments.models]
            times = race(calls, arguments.rounds, clock)
            for model, own in zip(arguments.models, times):
                ratios = [mine / first for mine, first in zip(own, times[0])]
                low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
                shape = f"{batch} x {arguments.seq} | {sizes} | {model}"
                spread = f"{statistics.median(own):.1f} | {middle:.3f} | {low:.3f} to {high:.3f}"
                print(f"| {shape} | {spread} |", flush=True)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    parser = argparse.ArgumentParser(usage=__doc__)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("checkpoint")
    command.add_argument("size", choices=SHAPES)
    command.add_argument("folder", type=pathlib.Path)
    command.set_defaults(run=checkpoint)
    command = commands.add_parser("graph")
    command.add_argument("files", nargs="+")
    command.add_argument("--batch", type=int, default=1)
    command.add_argument("--seq", type=int, default=128)
    command.set_defaults(run=graph)
    command = commands.add_parser("time")
    command.add_argument("models", nargs="+")
    command.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    command.add_argument("--seq", type=int, default=128)
    command.add_argument("--threads", type=int, default=2)
    command.add_argument("--rounds", type=int, default=15)
    command.add_argument("--sizes", nargs="+", choices=["fixed", "symbolic"], default=["fixed", "symbolic"])
    command.add_argument("--processor-time", action="store_true")
    command.set_defaults(run=speed)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
