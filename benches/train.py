#!/usr/bin/env python3
"""A training step of PyTorch's, and of other programs in turn with it.

    train.py CHECKPOINT [--serve NAME=COMMAND]... [--only VARIANT...] [--rounds 15] [--steps 3]
             [--batch 16] [--tokens 64] [--threads N]

A step is forward, backward, clipping to a norm of 1 and AdamW, for two labels, in
f32 on the processor, with the dropout that the config says. CHECKPOINT is a
HuggingFace folder of a BERT. Variants of PyTorch are its two kinds of attention,
each with two AdamW:

    eager        products and softmax one by one, AdamW over lists of tensors (`foreach`)
    eager-fused  the same, AdamW in one kernel
    sdpa-fused   `scaled_dot_product_attention`, AdamW in one kernel
    fake-fused   eager-fused with QDQBERT's quantizers, `torch.fake_quantize_*`

Other programs print `ready` once loaded; then for each line `K` on their standard
input they do K steps and print their K times in milliseconds on one line. In their
commands {checkpoint}, {batch}, {tokens} and {threads} are replaced:

    cargo bench --bench train_step --no-run        # which says where it is
    train.py CHECKPOINT --serve 'qdqc=target/release/deps/train_step-... {checkpoint} {batch} {tokens}'

Each is a process of its own, so that its memory is its own; a round lets each do a
few steps in turn. Ratios are by the fastest float variant of PyTorch, the median
of the rounds' own, with their quartiles. Memory is what is resident after the
first and the last round, and the most.

Needs numpy, torch and transformers.
"""

import argparse
import os
import pathlib
import shlex
import statistics
import subprocess
import sys
import time

VARIANTS = ("eager", "eager-fused", "sdpa-fused", "fake-fused")


# ------------------------------------------------------------ PyTorch's step


def fake_quantize(model):
    """QDQBERT's quantizers in place: 20 in each layer, with made-up ranges of
    activations. A gradient passes where the number was in range."""
    import torch
    from torch.nn import functional

    def quantized(x):
        return torch.fake_quantize_per_tensor_affine(x, 8.0 / 127, 0, -128, 127)

    def linear(layer, x):
        scale = layer.weight.detach().abs().amax(1) / 127
        zero = torch.zeros(scale.shape, dtype=torch.int32)
        weight = torch.fake_quantize_per_channel_affine(layer.weight, scale, zero, 0, -128, 127)
        return functional.linear(quantized(x), weight, layer.bias)

    def attention(own):
        def forward(hidden, attention_mask=None, **_):
            batch, tokens, size = hidden.shape
            heads = own.num_attention_heads

            def split(layer):
                return linear(layer, hidden).view(batch, tokens, heads, size // heads).transpose(1, 2)

            query, key, value = split(own.query), split(own.key), split(own.value)
            scores = quantized(query) @ quantized(key).transpose(2, 3) * (size // heads) ** -0.5
            scores = scores if attention_mask is None else scores + attention_mask
            context = quantized(own.dropout(scores.softmax(-1))) @ quantized(value)
            return context.transpose(1, 2).reshape(batch, tokens, size), None

        return forward

    def residual(own):
        def forward(hidden, before):
            local = own.dropout(linear(own.dense, hidden))
            return own.LayerNorm(quantized(local) + quantized(before))

        return forward

    def intermediate(own):
        return lambda hidden: own.intermediate_act_fn(linear(own.dense, hidden))

    for layer in model.bert.encoder.layer:
        layer.attention.self.forward = attention(layer.attention.self)
        layer.attention.output.forward = residual(layer.attention.output)
        layer.intermediate.forward = intermediate(layer.intermediate)
        layer.output.forward = residual(layer.output)


def stepper(arguments):
    """A function that does one step."""
    import numpy
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    kind, fused = arguments.variant.split("-")[0], arguments.variant.endswith("-fused")
    model = transformers.BertForSequenceClassification.from_pretrained(
        arguments.checkpoint,
        num_labels=2,
        dtype=torch.float32,
        attn_implementation="sdpa" if kind == "sdpa" else "eager",
    )
    if kind == "fake":
        fake_quantize(model)
    model.train()
    parameters = dict(model.named_parameters())
    plain = [name for name in parameters if name.endswith("bias") or "LayerNorm" in name]
    groups = [
        {"params": [parameters[name] for name in parameters if name not in plain], "weight_decay": 0.01},
        {"params": [parameters[name] for name in plain], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=5e-5, fused=fused or None, foreach=None if fused else True)
    random = numpy.random.default_rng(1)
    shape = (arguments.batch, arguments.tokens)
    ids = torch.from_numpy(random.integers(0, model.config.vocab_size, shape))
    labels = torch.from_numpy(random.integers(0, 2, arguments.batch))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}

    def step():
        optimizer.zero_grad()
        model(**inputs).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step


def serve(arguments):
    step = stepper(arguments)
    print("ready", flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            start = time.perf_counter()
            step()
            times.append((time.perf_counter() - start) * 1e3)
        print(*(f"{milliseconds:.3f}" for milliseconds in times), flush=True)


# ------------------------------------------------------------------ in turns


class Program:
    """A process that does steps when it is told to."""

    def __init__(self, name, command):
        self.name, self.rounds, self.resident = name, [], []
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline().strip() != "ready":
            sys.exit(f"{name} did not start: {shlex.join(command)}")

    def steps(self, count):
        """Milliseconds of each of so many steps."""
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        times = [float(word) for word in self.process.stdout.readline().split()]
        if len(times) != count:
            sys.exit(f"{self.name} gave {len(times)} times where {count} were asked for")
        self.resident.append(self.memory("VmRSS"))
        return times

    def memory(self, field):
        """MB, from /proc."""
        lines = pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def measure(arguments):
    sizes = {"checkpoint": arguments.checkpoint, "batch": arguments.batch, "tokens": arguments.tokens}
    sizes["threads"] = arguments.threads
    programs = []
    for variant in VARIANTS if arguments.only is None else arguments.only:
        options = [f"--{name}={sizes[name]}" for name in ("batch", "tokens", "threads")]
        command = [sys.executable, __file__, arguments.checkpoint, f"--variant={variant}", *options]
        programs.append(Program(variant, command))
    for named in arguments.serve:
        name, _, command = named.partition("=")
        programs.append(Program(name, shlex.split(command.format(**sizes))))

    for program in programs:
        program.steps(arguments.steps)
    for _ in range(arguments.rounds):
        for program in programs:
            program.rounds.append(statistics.median(program.steps(arguments.steps)))

    floats = [program for program in programs if program.name in VARIANTS and not program.name.startswith("fake")]
    first = min(floats or programs, key=lambda program: statistics.median(program.rounds))
    print(f"batch {arguments.batch} x {arguments.tokens}, {arguments.threads} threads, {arguments.rounds} rounds")
    print(f"| step | median | by {first.name} (quartiles) | resident, first and last round | most |")
    print("|---|---|---|---|---|")
    for program in programs:
        ratios = [own / other for own, other in zip(program.rounds, first.rounds)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(
            f"| {program.name} | {statistics.median(program.rounds):.1f} ms "
            f"| {middle:.2f} ({low:.2f} to {high:.2f}) "
            f"| {program.resident[0]:.0f} / {program.resident[-1]:.0f} MB | {program.memory('VmHWM'):.0f} MB |"
        )
    for program in programs:
        program.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("--serve", action="append", default=[], metavar="NAME=COMMAND")
    parser.add_argument("--only", nargs="*", choices=VARIANTS)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    serve(arguments) if arguments.variant else measure(arguments)


if __name__ == "__main__":
    main()
