#!/usr/bin/env python3
"""STS-B by exported models in ONNX Runtime, beside qdqc itself on the same checkpoint.

    sts_b_onnx.py DATA CHECKPOINT MODEL.onnx... [--qdqc FILE] [--flags='--recipe all.qdq']

DATA and the figures are those of sts_b.py. CHECKPOINT is what the models were
exported from, its tokenizer and `qdqc run` with the flags included. Each model
runs with ONNX Runtime's optimizations off and on. `cosine` is the mean and the
least, over sentences, between the model's embedding and qdqc's.

Needs numpy, onnxruntime and tokenizers.
"""

import argparse
import pathlib
import shlex

import numpy as np
import onnxruntime
import tokenizers

import sts_b

BATCH = 32


def onnxruntime_embeddings(path, level, batches):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = level
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    known = [value.name for value in session.get_inputs()]
    results = []
    for batch in batches:
        feed = {name: values for name, values in batch.items() if name in known}
        results.append(session.run(["sentence_embedding"], feed)[0])
    return np.concatenate(results)


def tokenized(checkpoint, sentences):
    """Batches of sentences in order, each padded to its longest."""
    tokenizer = tokenizers.Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    tokenizer.enable_padding()
    tokenizer.enable_truncation(128)
    batches = []
    for start in range(0, len(sentences), BATCH):
        encodings = tokenizer.encode_batch(sentences[start : start + BATCH])
        fields = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}
        batches.append(
            {name: np.array([getattr(one, field) for one in encodings], np.int64) for name, field in fields.items()}
        )
    return batches


def row(part, name, gold, vectors, own):
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = (vectors[0::2] * vectors[1::2]).sum(axis=1).tolist()
    spearman, pearson = sts_b.pearson(sts_b.ranks(gold), sts_b.ranks(cosines)), sts_b.pearson(gold, cosines)
    near = (vectors * own).sum(axis=1)
    figures = f"{spearman * 100:.3f} | {pearson * 100:.3f} | {near.mean():.6f} | {near.min():.4f}"
    print(f"| {part} | {name} | {figures} |", flush=True)


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("checkpoint", type=pathlib.Path)
    parser.add_argument("models", type=pathlib.Path, nargs="+")
    parser.add_argument("--qdqc", type=pathlib.Path, default=sts_b.QDQC)
    parser.add_argument("--flags", default="", help="flags of `qdqc run`")
    arguments = parser.parse_args()
    sts_b.QDQC = arguments.qdqc
    levels = onnxruntime.GraphOptimizationLevel
    print("| part | what | Spearman | Pearson | cosine | least |\n|---|---|---|---|---|---|")
    for part in ("dev", "test"):
        lines = (arguments.data / f"{part}.tsv").read_text(encoding="utf-8").splitlines()
        rows = [line.split("\t") for line in lines if line]
        gold = [float(row[4]) for row in rows]
        sentences = [sentence for row in rows for sentence in (row[5], row[6])]
        own = np.array(sts_b.embeddings(arguments.checkpoint, sentences, shlex.split(arguments.flags)))
        own /= np.linalg.norm(own, axis=1, keepdims=True)
        row(part, "qdqc", gold, own, own)
        batches = tokenized(arguments.checkpoint, sentences)
        for model in arguments.models:
            for name, level in (("off", levels.ORT_DISABLE_ALL), ("on", levels.ORT_ENABLE_ALL)):
                vectors = onnxruntime_embeddings(model, level, batches)
                row(part, f"{model.name}, optimizations {name}", gold, vectors, own)


if __name__ == "__main__":
    main()
