"""qdqc as a program: exports, and what it computes itself."""

import json
import subprocess
import sys
from pathlib import Path

from safetensors.numpy import load_file, save_file


class Refusal(Exception):
    """qdqc ended with an error; the message is its own."""


class Tool:
    def __init__(self, binary: Path):
        self.binary = binary

    def call(self, *words) -> str:
        command = [str(self.binary), *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, env={"NO_COLOR": "1"})
        if done.returncode != 0:
            written = " ".join(["qdqc", *command[1:]])
            raise Refusal(f"`{written}` ended with {done.returncode}:\n{done.stderr.strip()}")
        return done.stdout

    def export(self, case, checkpoint: Path, output: Path, *flags) -> Path:
        self.call("export", case.spec, "-c", checkpoint, "-o", output, *case.settings, *case.interface, *flags)
        return output

    def run(self, case, checkpoint: Path, feeds: dict, folder: Path, *flags) -> dict:
        """The outputs by name, quantizers simulated. The inputs that are given say what the graph is."""
        if "--float" not in flags:
            flags = (*flags, "--engine", "candle")
        given, made = folder / "inputs.safetensors", folder / "outputs.safetensors"
        save_file(feeds, given)
        command = ["run", case.spec, "-c", checkpoint, *case.settings, *case.requests, *flags]
        self.call(*command, "--threads", 1, "--tensors", given, "-o", made)
        return load_file(made)

    def compare(self, case, checkpoint: Path, feeds: dict, model: Path) -> dict:
        """What `qdqc compare` finds between itself and this interpreter's ONNX Runtime."""
        given = model.with_suffix(".safetensors")
        save_file(feeds, given)
        command = ["compare", case.spec, "-c", checkpoint, *case.settings, "--tensors", given, "--onnx", model]
        return json.loads(self.call(*command, "--python", sys.executable, "--threads", 1, "--json"))
