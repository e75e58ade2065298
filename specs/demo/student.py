#!/usr/bin/env python3
"""What making the demo needs besides `qdqc train`.

    student.py texts TRAIN VOCABULARY OUTPUT
    student.py cut TEACHER TRAIN STUDENT
    student.py pack TRAINED OUTPUT

`texts` writes the texts of TRAIN, a TSV file of sentences and labels, and others made from them: with words left
out or put in place of others, and joined in pairs. Their labels are those of what they were made from and may be
wrong: they are for a teacher to answer.

`cut` cuts a small BertForSequenceClassification out of the one in the folder TEACHER, to be trained further. It
keeps

- the word pieces that TRAIN holds most often, and every ASCII letter, digit and sign, so that every English word
  can be spelt;
- the first and the last layer, and in each the neurons of the feed-forward part with the largest weights;
- the first positions.

Hidden states keep their size, so that each part that is left computes what it did.

`pack` copies a trained folder with its weights, but not its ranges, rounded to half precision.

Needs numpy, safetensors and tokenizers.
"""

import argparse
import collections
import json
import pathlib
import random
import shutil

import numpy as np
from safetensors.numpy import load_file, save_file
from tokenizers import BertWordPieceTokenizer

# Of the texts that are made: with other words, and joined.
NOISY, JOINED = 25_000, 15_000
SEED = 7
# Of the student.
PIECES, LAYERS, NEURONS, POSITIONS = 3300, (0, 5), 256, 128
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]


def labelled(file):
    """The texts of a TSV file and their labels."""
    lines = file.read_text(encoding="utf-8").split("\n")[1:]
    return [tuple(line.split("\t")) for line in lines if line]


def vocabulary_of(file):
    """The word pieces of a vocab.txt, in the order of their ids."""
    return file.read_text(encoding="utf-8").removesuffix("\n").split("\n")


# ------------------------------------------------------------ texts


def texts(arguments):
    known = labelled(arguments.train)
    rng = random.Random(SEED)
    used = [word for text, _ in known for word in text.split()]
    rare = sorted(set(used))
    others = [piece for piece in vocabulary_of(arguments.vocabulary) if piece.isalpha() and len(piece) > 2]
    joints = [" , ", " and ", " but ", " . ", " , but ", " ", " with ", " -- "]

    def noisy(text):
        words = []
        for word in text.split():
            draw = rng.random()
            if draw < 0.08:
                continue
            source = used if draw < 0.16 else rare if draw < 0.24 else others if draw < 0.28 else [word]
            words.append(rng.choice(source))
        return " ".join(words) or text

    phrases = [row for row in known if len(row[0].split()) >= 3]
    rows = list(known)
    rows += ((noisy(text), label) for text, label in rng.choices(phrases, k=NOISY))
    for _ in range(JOINED):
        (first, label), (second, _) = rng.choice(known), rng.choice(known)
        rows.append((first.strip() + rng.choice(joints) + second, label))
    lines = ["sentence\tlabel", *("\t".join(row) for row in rows)]
    arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{len(rows)} texts")


# ------------------------------------------------------------ cut


def kept_pieces(vocabulary, known):
    """Special tokens, then the other pieces to keep in the vocabulary's order."""
    tokenizer = BertWordPieceTokenizer({piece: row for row, piece in enumerate(vocabulary)}, lowercase=True)
    counts = collections.Counter()
    for encoding in tokenizer.encode_batch([text for text, _ in known], add_special_tokens=False):
        counts.update(encoding.tokens)
    kept = {piece for piece in vocabulary if len(piece.removeprefix("##")) == 1 and piece.isascii()}
    frequent = (piece for piece, _ in counts.most_common() if piece not in kept and piece not in SPECIAL)
    kept.update([piece for piece, _ in zip(frequent, range(PIECES - len(SPECIAL) - len(kept)))])
    return SPECIAL + [piece for piece in vocabulary if piece in kept]


def largest_neurons(tensors, layer):
    """The places of the neurons whose weights before and after have the largest product of norms."""
    before = np.linalg.norm(tensors[f"{layer}.intermediate.dense.weight"], axis=1)
    after = np.linalg.norm(tensors[f"{layer}.output.dense.weight"], axis=0)
    return np.sort(np.argsort(-before * after, kind="stable")[:NEURONS])


def smaller(tensors, rows):
    """The tensors that are kept of a teacher's; `rows` are those of the word pieces."""
    kept = {}
    for name, tensor in tensors.items():
        place = name.split(".")
        if name.startswith("bert.encoder.layer."):
            layer, part = int(place[3]), ".".join(place[4:])
            if layer not in LAYERS:
                continue
            if part.startswith("intermediate."):
                tensor = tensor[largest_neurons(tensors, f"bert.encoder.layer.{layer}")]
            elif part == "output.dense.weight":
                tensor = tensor[:, largest_neurons(tensors, f"bert.encoder.layer.{layer}")]
            place[3] = str(LAYERS.index(layer))
        elif name == "bert.embeddings.word_embeddings.weight":
            tensor = tensor[rows]
        elif name == "bert.embeddings.position_embeddings.weight":
            tensor = tensor[:POSITIONS]
        kept[".".join(place)] = np.ascontiguousarray(tensor)
    return kept


def cut(arguments):
    vocabulary = vocabulary_of(arguments.teacher / "vocab.txt")
    pieces = kept_pieces(vocabulary, labelled(arguments.train))
    place = {piece: row for row, piece in enumerate(vocabulary)}
    tensors = smaller(load_file(arguments.teacher / "model.safetensors"), [place[piece] for piece in pieces])
    config = json.loads((arguments.teacher / "config.json").read_text(encoding="utf-8")) | {
        "vocab_size": len(pieces),
        "num_hidden_layers": len(LAYERS),
        "intermediate_size": NEURONS,
        "max_position_embeddings": POSITIONS,
    }
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True, "model_max_length": POSITIONS}
    write(arguments.student, tensors, config)
    (arguments.student / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    (arguments.student / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")
    print(f"{sum(tensor.size for tensor in tensors.values())} parameters")


# ------------------------------------------------------------ pack


def pack(arguments):
    tensors = load_file(arguments.trained / "model.safetensors")
    packed = {
        name: tensor if name.endswith("._amax") else tensor.astype(np.float16) for name, tensor in tensors.items()
    }
    config = json.loads((arguments.trained / "config.json").read_text(encoding="utf-8"))
    config = {name: value for name, value in config.items() if name not in ("_name_or_path", "dtype")}
    write(arguments.output, packed, config | {"torch_dtype": "float16"})
    for name in ("vocab.txt", "tokenizer_config.json"):
        shutil.copyfile(arguments.trained / name, arguments.output / name)
    print(f"{(arguments.output / 'model.safetensors').stat().st_size} bytes")


def write(folder, tensors, config):
    """A checkpoint, but for its tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for run, files in (
        (texts, ("train", "vocabulary", "output")),
        (cut, ("teacher", "train", "student")),
        (pack, ("trained", "output")),
    ):
        command = commands.add_parser(run.__name__)
        command.set_defaults(run=run)
        for file in files:
            command.add_argument(file, type=pathlib.Path)
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
