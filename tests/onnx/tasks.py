"""What is tried, as tasks that share no state: each is a function and its arguments."""

import agreement
import cases
import codes
import engines
import fusion
import inputs
import files
import saturation

# 28 is the newest opset, and 27 the newest whose QuantizeLinear ONNX Runtime has. TensorRT
# reads up to 25; the generic profile says the same in newer ones.
OPSETS = {13: "tensorrt", 17: "tensorrt", 21: "tensorrt", 25: "tensorrt", 27: "generic", 28: "generic"}
WEIGHTS = ("qdq", "folded")
PROFILES = ("tensorrt", "onnxruntime", "openvino", "generic")
MODES = {"quantized": (), "float": ("--float",)}
# OpenVINO takes most of the time: of the two forms of weights, it is given one at each opset.
OPENVINO = {(13, "qdq"), (17, "folded"), (21, "qdq"), (28, "folded")}
NOT_YET = "Could not find an implementation for QuantizeLinear(28)"


def plan(tool, folders, specs) -> dict[str, list]:
    """Tasks by the name under which they are reported."""
    groups = {}

    def add(name, run, *arguments):
        groups.setdefault(name, []).append((run, arguments))

    for case in cases.matrix(specs):
        for mode in MODES:
            add(case.name, every_opset, tool, folders, case, mode)
        add(case.name, every_profile, tool, folders, case)
    for case in cases.CALLS:
        add(case.name, some_opsets, tool, folders, case)
    for case in cases.ACTIVATIONS:
        add("activations", activation, tool, folders, case)
    for task in files.TASKS:
        add("files", task, tool, folders, specs)
    return groups


def expected(tool, folders, case, mode, model, folder):
    """Inputs for every size of a case, and qdqc's outputs."""
    calls = [inputs.make(model, sizes, seed=number) for number, sizes in enumerate(case.sizes)]
    checkpoint = folders[case.checkpoint]
    return calls, [tool.run(case, checkpoint, feeds, folder, *MODES[mode]) for feeds in calls]


def every_opset(findings, folder, tool, folders, case, mode):
    known = None
    for opset, profile in OPSETS.items():
        for weights in WEIGHTS:
            flags = (*MODES[mode], "--profile", profile, "--opset", opset, "--weights", weights)
            known = one(findings, folder, tool, folders, case, mode, flags, known, (opset, weights) in OPENVINO)


def every_profile(findings, folder, tool, folders, case):
    for mode in MODES:
        known = None
        for profile in PROFILES:
            flags = (*MODES[mode], "--profile", profile)
            known = one(findings, folder, tool, folders, case, mode, flags, known)
            if mode == "quantized" and profile in ("tensorrt", "onnxruntime"):
                findings.attempt("same codes", shown(case, flags), same_codes, folder, tool, folders, case, known)
            if mode == "quantized" and profile == "onnxruntime":
                fused(findings, folder, case, flags)


def some_opsets(findings, folder, tool, folders, case):
    for mode in MODES:
        known = None
        for opset, weights in ((13, "folded"), (17, "qdq"), (28, "folded")):
            flags = (*MODES[mode], "--profile", OPSETS[opset], "--opset", opset, "--weights", weights)
            known = one(findings, folder, tool, folders, case, mode, flags, known)


def activation(findings, folder, tool, folders, case):
    known = None
    for opset in (13, 20, 28):
        flags = ("--float", "--profile", "generic", "--opset", opset)
        known = one(findings, folder, tool, folders, case, "float", flags, known)


def one(findings, folder, tool, folders, case, mode, flags, known, openvino=True):
    """Exports a model, checks it, and runs it in every engine."""
    place = shown(case, flags)
    path = folder / "model.onnx"
    if findings.attempt("exported", place, tool.export, case, folders[case.checkpoint], path, *flags) is None:
        return known
    model = findings.attempt("checked", place, engines.check, path)
    if model is None:
        return known
    if known is None:
        known = expected(tool, folders, case, mode, model, folder)
    calls, wanted = known

    def compared(rule, engine, *arguments):
        return rule(engine(path, calls, *arguments), wanted)

    def attempt(what, *check):
        findings.attempt(what, place, *check)

    def optimized(what, engine, *arguments):
        if mode == "quantized" and not saturation.is_exact(engine, *arguments):
            findings.held[f"{what} LEFT OUT, as integer sums saturate on this processor"] += 1
            return
        attempt(what, compared, loose, engine, *arguments)

    def in_order(what, engine, *arguments):
        attempt(what, lambda: equal(engine(path, calls, *arguments)))

    def equal(made):
        try:
            return agreement.close(made, wanted)
        except agreement.Disagreement:
            if mode == "float":
                raise
        # qdqc's sums of codes are exact, and these are sums of floats: a number at a tie may move.
        if opset != 28:
            same_codes(folder, tool, folders, case, known)
        findings.held["moved by codes at ties"] += 1
        return agreement.alike(made, wanted)

    loose = agreement.close if mode == "float" else agreement.alike
    opset = model.opset_import[0].version
    if mode == "quantized" and opset == 28:
        attempt("without a kernel", has_no_kernel, path)
        in_order("onnx reference", engines.run_reference)
    else:
        in_order("onnxruntime", engines.run_onnxruntime, False)
        optimized("optimized", engines.run_onnxruntime, True)
        if mode == "quantized":
            attempt("codes", codes.check, path, calls)
    if openvino:
        optimized("openvino", engines.run_openvino)
    return known


def shown(case, flags) -> str:
    return " ".join(map(str, ("qdqc export", case.spec, *case.settings, *case.interface, *flags)))


def has_no_kernel(path):
    """Once ONNX Runtime takes quantizers of this opset, it is to be run like the others."""
    try:
        engines.session(path, optimized=False)
    except Exception as error:
        if NOT_YET in str(error):
            return
        raise
    raise agreement.Disagreement("ONNX Runtime runs QuantizeLinear of opset 28 now: take this exception out")


def same_codes(folder, tool, folders, case, known) -> int:
    """How many codes of activations are the same in qdqc, or lie at a tie."""
    compared = 0
    for feeds in known[0]:
        report = tool.compare(case, folders[case.checkpoint], feeds, folder / "model.onnx")
        codes = report["given"]
        if codes["unexplained"] or not report["agrees"]:
            counts = f"{codes['differ']} of {codes['codes']} codes differ, {codes['unexplained']} of them not at ties"
            raise agreement.Disagreement(counts)
        compared += codes["codes"]
    return compared


def fused(findings, folder, case, flags):
    path, place, sizes = folder / "model.onnx", shown(case, flags), case.sizes[0]
    fixed = {**sizes, "past + seq": sizes.get("past", 0) + sizes["seq"]}
    findings.attempt("fused", place, fusion.check, path)
    findings.attempt("fused", f"{place} (fixed sizes)", fusion.check, path, fixed)
