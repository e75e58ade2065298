"""qdqc as a program: exports, and what it computes itself."""

import subprocess
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
            raise Refusal(f"`{' '.join(['qdqc', *map(str, words)])}` ended with {done.returncode}:\n{done.stderr.strip()}")
        return done.stdout

    def export(self, case, checkpoint: Path, output: Path, *flags) -> Path:
        self.call("export", case.spec, "-c", checkpoint, "-o", output, *case.settings, *case.interface, *flags)
        return output

    def run(self, case, checkpoint: Path, feeds: dict, folder: Path, *flags) -> dict:
        """The outputs by name. The inputs that are given say what the graph is."""
        given, made = folder / "inputs.safetensors", folder / "outputs.safetensors"
        save_file(feeds, given)
        self.call("run", case.spec, "-c", checkpoint, *case.settings, *case.requests, *flags, "--threads", 1, "--tensors", given, "-o", made)
        return load_file(made)
