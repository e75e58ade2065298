#!/usr/bin/env python3
"""Spearman and Pearson (x 100) of sentence embeddings on STS-B.

    cargo build --release
    python3 benches/sts_b.py CHECKPOINT DATA [qdqc run flags...]

CHECKPOINT is a sentence encoder (all-MiniLM-L6-v2), DATA a folder with the
benchmark's `dev.tsv` and `test.tsv`: tab-separated without quoting or header,
score in column 5, sentences in columns 6 and 7. Every sentence goes through
`qdqc run sentence-embedding`; the score of a pair is the cosine of its two
vectors. Further arguments are handed to qdqc; without any, `--float`.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

QDQC = pathlib.Path(__file__).parent.parent / "target" / "release" / "qdqc"


def embeddings(checkpoint, sentences, flags):
    """One vector for each sentence, in order."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        for sentence in sentences:
            file.write(json.dumps({"text": sentence}) + "\n")
        file.flush()
        command = [QDQC, "run", "sentence-embedding", "-c", checkpoint, "--input", file.name, "--json", *flags]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    return [json.loads(line)["embedding"] for line in output.decode().splitlines()]


def ranks(values):
    """Ranks from 1; equal values share the mean of theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    result = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for index in order[start:end]:
            result[index] = (start + end + 1) / 2
        start = end
    return result


def pearson(left, right):
    mean_left, mean_right = sum(left) / len(left), sum(right) / len(right)
    left = [value - mean_left for value in left]
    right = [value - mean_right for value in right]
    product = sum(a * b for a, b in zip(left, right))
    return product / (sum(a * a for a in left) * sum(b * b for b in right)) ** 0.5


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    checkpoint, data = sys.argv[1], pathlib.Path(sys.argv[2])
    flags = sys.argv[3:] or ["--float"]
    for part in ("dev", "test"):
        lines = (data / f"{part}.tsv").read_text(encoding="utf-8").splitlines()
        rows = [line.split("\t") for line in lines if line]
        gold = [float(row[4]) for row in rows]
        sentences = [sentence for row in rows for sentence in (row[5], row[6])]
        vectors = embeddings(checkpoint, sentences, flags)
        cosines = [
            sum(a * b for a, b in zip(vectors[2 * i], vectors[2 * i + 1])) for i in range(len(rows))
        ]
        spearman = pearson(ranks(gold), ranks(cosines)) * 100
        print(f"{part}: {len(rows)} pairs, Spearman {spearman:.2f}, Pearson {pearson(gold, cosines) * 100:.2f}")


if __name__ == "__main__":
    main()
