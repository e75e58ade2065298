"""What an export is as files: the same bytes every time, numbers beside the model, 16-bit numbers."""

import numpy as np
import onnx

import agreement
import cases
import engines
import inputs
from checkpoints import SIZE

# Of an output's largest magnitude, against f32: one rounding moves 2**-12 and 2**-9 of a
# number, and there are some dozens on the way. Seen over all specs: 0.0041 and 0.048.
SIXTEEN_BITS = {"f16": 1e-2, "bf16": 8e-2}
# Of quantized models: such roundings turn codes by the dozen. Seen: 0.9966.
SIXTEEN_BITS_COSINE = 0.99

LARGE = cases.Case(
    "base-model",
    checkpoint="large",
    settings=tuple(word for field in ("vocab_size", "intermediate_size") for word in ("--set", f"{field}={SIZE}")),
)


def same_bytes(findings, folder, tool, folders, specs):
    for case in cases.matrix(specs):
        for flags in ((), ("--float",), ("--profile", "onnxruntime"), ("--external-data",)):
            place = f"qdqc export {case.spec} {' '.join([*case.settings, *case.interface, *flags])}"
            findings.attempt("same bytes", place, written_twice, folder, tool, folders, case, flags)


def written_twice(folder, tool, folders, case, flags):
    written = []
    for name in ("first", "second"):
        (folder / name).mkdir(exist_ok=True)
        tool.export(case, folders[case.checkpoint], folder / name / "model.onnx", *flags)
        written.append({path.name: path.read_bytes() for path in (folder / name).iterdir()})
    if written[0] != written[1]:
        raise agreement.Disagreement("two exports differ")


def external_data(findings, folder, tool, folders, specs):
    for flags in ((), ("--float",), ("--profile", "onnxruntime")):
        place = " ".join(["qdqc export base-model --external-data", *LARGE.settings, *flags])
        findings.attempt("external data", place, beside, folder, tool, folders, flags)


def beside(folder, tool, folders, flags):
    """The same model with its numbers in it and beside it: equal tensors, aligned, and equal outputs."""
    path, other = folder / "whole.onnx", folder / "parted.onnx"
    tool.export(LARGE, folders["large"], path, *flags)
    tool.export(LARGE, folders["large"], other, *flags, "--external-data")
    model = engines.check(path)
    engines.check(other)
    headers = onnx.load(other, load_external_data=False).graph.initializer
    outside = [tensor for tensor in headers if tensor.data_location == onnx.TensorProto.EXTERNAL]
    offsets = [int(entry.value) for tensor in outside for entry in tensor.external_data if entry.key == "offset"]
    if len(outside) < 3 or any(offset % 4096 for offset in offsets):
        raise agreement.Disagreement(f"{len(outside)} tensors are outside, at {offsets}, not all multiples of 4096")
    if onnx.load(other).graph.SerializeToString() != stripped(model.graph, headers):
        raise agreement.Disagreement("the graph is another one")
    calls = [inputs.make(model, sizes, seed=1) for sizes in LARGE.sizes]
    for optimized in (False, True):
        agreement.close(engines.run_onnxruntime(other, calls, optimized), engines.run_onnxruntime(path, calls, optimized), 0.0)
    agreement.close(engines.run_openvino(other, calls), engines.run_openvino(path, calls), 0.0)


def stripped(graph, headers) -> bytes:
    """A graph as onnx.load gives it from two files: what was outside says that it is inside."""
    copy = onnx.GraphProto()
    copy.CopyFrom(graph)
    for tensor, header in zip(copy.initializer, headers):
        if header.data_location == onnx.TensorProto.EXTERNAL:
            tensor.data_location = onnx.TensorProto.DEFAULT
    return copy.SerializeToString()


def sixteen_bits(findings, folder, tool, folders, specs):
    """Run where an engine has the kernels: ONNX Runtime those of f16, onnx's own evaluator those of bf16 from 21 on."""
    runs = {"f16": (17, lambda path, calls: engines.run_onnxruntime(path, calls, False)), "bf16": (21, engines.run_reference)}
    for case in [*cases.matrix(specs), cases.CROSSED_CACHE]:
        for dtype, (runs_at, run) in runs.items():
            for mode in ((), ("--float",)):
                for opset in (13, runs_at):
                    flags = ("--dtype", dtype, *mode, "--opset", opset)
                    place = " ".join(map(str, ("qdqc export", case.spec, *case.settings, *case.interface, *flags)))
                    path = folder / "model.onnx"
                    exported = findings.attempt("exported", place, tool.export, case, folders[case.checkpoint], path, *flags)
                    model = exported and findings.attempt("checked", place, engines.check, path)
                    if model and opset == runs_at:
                        attempted = (sixteen, folder, tool, folders, case, dtype, mode, model, run)
                        findings.attempt(dtype + " float" * bool(mode), place, *attempted)


def sixteen(folder, tool, folders, case, dtype, mode, model, run):
    # With nothing to read, what 16 bits leave of the mask depends on the engine.
    calls = [inputs.make(model, sizes, number, empty=False) for number, sizes in enumerate(case.sizes)]
    wanted = [tool.run(case, folders[case.checkpoint], widened(feeds), folder, *mode) for feeds in calls]
    got = [widened(outputs) for outputs in run(folder / "model.onnx", calls)]
    if mode:
        return agreement.close(got, wanted, SIXTEEN_BITS[dtype])
    return agreement.aligned(got, wanted, SIXTEEN_BITS_COSINE)


def widened(tensors: dict) -> dict:
    return {name: array if array.dtype.kind == "i" else array.astype(np.float32) for name, array in tensors.items()}


TASKS = [same_bytes, external_data, sixteen_bits]
