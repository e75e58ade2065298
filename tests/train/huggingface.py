#!/usr/bin/env python3
"""Trained folders in HuggingFace's own classes.

    huggingface.py QDQC [SPEC=FOLDER]...

For every spec that can be trained this trains `tests/tiny` for a few steps, in float and with quantizers, loads the
folder by the class that its config names, and gives both programs the same tokens. Every weight must be there and
taken, and every output must be the same within 1e-5, of its largest number where that is more than 1. HuggingFace knows no quantizers, so that the outputs compared
are float ones; of what a quantized run adds, HuggingFace may leave nothing but ranges.

With SPEC=FOLDER it loads these folders instead of training any: `sequence-classification=specs/demo`.

Needs numpy, safetensors, torch and transformers.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
import transformers
from safetensors.numpy import load_file, save_file

TINY = pathlib.Path(__file__).parent.parent / "tiny"
TOLERANCE = 1e-5

# ------------------------------------------------------------ what each learns from

FILMS = "text\tlabel\n" + "the good king\tpositive\nthe bad war\tnegative\nthe dark city\tneutral\n" * 4
PAIRS = [{"text": f"the year {at}", "pair": ["a good book", "the bad war"][at % 2], "label": at % 2} for at in range(8)]
QUESTIONS = {
    "data": [
        {
            "paragraphs": [
                {
                    "context": f"the good king lived in {city} for a year",
                    "qas": [{"id": city, "question": "where", "answers": [{"text": city, "answer_start": 23}]}],
                }
                for city in ("paris", "london")
            ]
        }
    ]
}
CHOICES = [{"text": f"the year {at}", "choices": ["good book", "bad war"], "label": at % 2} for at in range(8)]


def lines(records):
    return "".join(json.dumps(record) + "\n" for record in records)


# Of each spec: the file, what is in it, and flags.
DATA = {
    "causal-lm": ("in.txt", "the king lived in paris\nwar and peace\n" * 4, ()),
    "masked-lm": ("in.txt", "the king of the good city lived in a great house\n" * 6, ()),
    "multiple-choice": ("in.jsonl", lines(CHOICES), ("--fresh", "classifier")),
    "next-sentence-prediction": ("in.jsonl", lines(PAIRS), ()),
    "pre-training": ("in.jsonl", lines(PAIRS), ()),
    "question-answering": ("in.json", json.dumps(QUESTIONS), ()),
    "sentence-embedding": ("in.txt", "war and peace\nthe good king\nthe dark city\n", ("--teacher", TINY)),
    "sequence-classification": ("in.tsv", FILMS, ()),
    "token-classification": ("in.conll", "the neutral\nking positive\n\nwar negative\nand neutral\n\n" * 4, ()),
}


def run(*command):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"`{' '.join(map(str, command))}` ended with {done.returncode}:\n{done.stderr.strip()}")
    return done.stdout


# ------------------------------------------------------------ both programs


def tokens(config, spec):
    """Three texts of other lengths, the third a single token, as HuggingFace's tensors."""
    random = np.random.default_rng(1)
    shape = (3, 2, 12) if spec == "multiple-choice" else (3, 12)
    ids = random.integers(5, config.vocab_size, shape)
    lengths = np.array([12, 7, 1]).reshape(-1, *[1] * (len(shape) - 1))
    mask = (np.arange(12) < lengths).astype(np.int64) * np.ones(shape, np.int64)
    types = (np.arange(12) >= 4).astype(np.int64) * np.ones(shape, np.int64)
    return {"input_ids": ids * mask, "attention_mask": mask, "token_type_ids": types * mask}


def pooled(output, mask):
    """The mean of the states of tokens, of length 1."""
    mask = mask[..., None].float()
    return torch.nn.functional.normalize((output.last_hidden_state * mask).sum(1) / mask.sum(1), dim=-1)


def huggingface(spec, folder, given):
    """The outputs by qdqc's names, from the class that is meant."""
    named = json.loads((folder / "config.json").read_text(encoding="utf-8"))["architectures"][0]
    kind = getattr(transformers, named)
    settings = {"add_pooling_layer": False} if spec == "sentence-embedding" else {}
    model, report = kind.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True, **settings
    )
    left = [name for name in report["unexpected_keys"] if not name.endswith("._amax")]
    if report["missing_keys"] or report["mismatched_keys"] or left:
        sys.exit(f"{spec}: {named} lacks {report['missing_keys']}, {report['mismatched_keys']}; left over: {left}")
    inputs = {name: torch.from_numpy(tensor) for name, tensor in given.items()}
    with torch.no_grad():
        output = model.eval()(**inputs)
    if spec == "sentence-embedding":
        return {"sentence_embedding": pooled(output, inputs["attention_mask"]).numpy()}
    return {name: tensor.numpy() for name, tensor in output.items() if name.endswith("logits")}


def qdqc(binary, spec, folder, given, place):
    inputs, outputs = place / "inputs.safetensors", place / "outputs.safetensors"
    save_file(given, inputs)
    outputs.unlink(missing_ok=True)
    run(binary, "run", spec, "-c", folder, "--float", "--tensors", inputs, "-o", outputs)
    return load_file(outputs)


def compare(binary, spec, folder, place):
    """The largest difference between two numbers of the same place, by the largest number above 1."""
    transformers.AutoTokenizer.from_pretrained(folder)
    given = tokens(transformers.AutoConfig.from_pretrained(folder), spec)
    theirs, ours = huggingface(spec, folder, given), qdqc(binary, spec, folder, given, place)
    if not theirs or not set(theirs) <= set(ours):
        sys.exit(f"{spec}: HuggingFace gives {sorted(theirs)}, qdqc {sorted(ours)}")
    return max(
        float(np.abs(tensor - ours[name]).max() / max(1.0, np.abs(tensor).max())) for name, tensor in theirs.items()
    )


def trained(binary, place):
    """Each spec's folders, float and quantized."""
    for spec, (name, text, flags) in DATA.items():
        data = place / name
        data.write_text(text, encoding="utf-8")
        for kind in ("--float", "--no-dropout"):
            folder = place / f"{spec}{kind}"
            command = ("train", spec, "-c", TINY, "--input", data, "-o", folder, "--steps", 3, "--batch", 4)
            run(binary, *command, "--learning-rate", 1e-3, kind, *flags)
            yield spec, "float" if kind == "--float" else "quantized", folder


def main():
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    binary, named = pathlib.Path(sys.argv[1]).resolve(), [word.split("=", 1) for word in sys.argv[2:]]
    failed = False
    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        folders = [(spec, folder, pathlib.Path(folder)) for spec, folder in named]
        for spec, kind, folder in folders or trained(binary, place):
            difference = compare(binary, spec, folder, place)
            failed |= not difference <= TOLERANCE
            print(f"{spec} ({kind}): {difference:.1e}{'' if difference <= TOLERANCE else '  TOO LARGE'}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
