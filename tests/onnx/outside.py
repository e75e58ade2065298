"""Gives every model that qdqc exports to outside software, and compares the answers.

    python3 -m venv VENV && VENV/bin/pip install --no-deps -r tests/onnx/requirements.txt
    cargo build && VENV/bin/python tests/onnx/outside.py target/debug/qdqc

README.md says what is tried and what must hold.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

# Nothing is written beside the sources.
sys.dont_write_bytecode = True
SHOWN = 5
TINY = Path(__file__).resolve().parent.parent / "tiny"


@dataclass
class Findings:
    """What came of some of the checks: how often each held, the worst differences, and what failed."""

    name: str
    held: Counter = field(default_factory=Counter)
    worst: dict = field(default_factory=dict)
    failures: list = field(default_factory=list)

    def attempt(self, what: str, place: str, check, *arguments):
        """A check that gives a difference (a float), a count (an int), or anything else."""
        try:
            result = check(*arguments)
        except Exception as error:
            message = str(error).strip() or traceback.format_exc()
            self.failures.append((place, f"{what}: {type(error).__name__}: {message}"))
            return None
        self.held[what] += result if type(result) is int else 1
        if type(result) is float:
            self.worst[what] = max(self.worst.get(what, 0.0), result)
        return result

    def add(self, other):
        self.held += other.held
        self.failures += other.failures
        for what, worst in other.worst.items():
            self.worst[what] = max(self.worst.get(what, 0.0), worst)

    def line(self) -> str:
        held = ", ".join(f"{what} {count}{self.difference(what)}" for what, count in self.held.items())
        failed = f"; {len(self.failures)} FAILED" if self.failures else ""
        return f"{self.name}: {held}{failed}"

    def difference(self, what) -> str:
        return f" ({self.worst[what]:.1e})" if what in self.worst else ""


def work(task) -> Findings:
    """A task in a process of the pool."""
    run, arguments = task
    findings = Findings("")
    with tempfile.TemporaryDirectory() as folder:
        try:
            run(findings, Path(folder), *arguments)
        except Exception:
            findings.failures.append((run.__name__, traceback.format_exc()))
    return findings


def show(failures):
    """What failed, and where; what failed alike in many places, with the first few of them."""
    places = {}
    for place, message in failures:
        places.setdefault(message, []).append(place)
    for message, where in places.items():
        print(f"FAILED {message}", file=sys.stderr)
        for place in where[:SHOWN]:
            print(f"    at {place}", file=sys.stderr)
        if len(where) > SHOWN:
            print(f"    and {len(where) - SHOWN} more", file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("qdqc", type=Path, help="the program")
    parser.add_argument("--jobs", type=int, default=2, help="processes to share the work [default: 2]")
    parser.add_argument("--only", default="", help="only what has this in its name")
    arguments = parser.parse_args()

    import checkpoints
    import tasks
    from tool import Tool

    started = time.monotonic()
    tool = Tool(arguments.qdqc.resolve())
    specs = [spec["name"] for spec in json.loads(tool.call("list", "--json"))]
    total = Findings("in all")
    with tempfile.TemporaryDirectory() as folder, multiprocessing.Pool(arguments.jobs) as pool:
        folders = checkpoints.make(TINY, Path(folder))
        groups = {name: todo for name, todo in tasks.plan(tool, folders, specs).items() if arguments.only in name}
        order = [(name, task) for name, todo in groups.items() for task in todo]
        found = {name: Findings(name) for name in groups}
        left = Counter(name for name, _ in order)
        for (name, _), findings in zip(order, pool.imap(work, [task for _, task in order])):
            found[name].add(findings)
            left[name] -= 1
            if not left[name]:
                print(found[name].line(), flush=True)
                total.add(found[name])
    print(f"{total.line()}; {time.monotonic() - started:.0f} s", flush=True)
    show(total.failures)
    return 1 if total.failures or not total.held else 0


if __name__ == "__main__":
    sys.exit(main())
