"""The programs that run ONNX files: a list of feeds in, a list of outputs by name out."""

import functools
import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnx
import onnxruntime
import openvino
from onnx.reference import ReferenceEvaluator


def session(path, optimized: bool, dump=None, fixed: dict | None = None):
    """ONNX Runtime on one thread, with its optimizations all off or at their defaults."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimized else levels.ORT_DISABLE_ALL
    if dump is not None:
        options.optimized_model_filepath = str(dump)
    for name, size in (fixed or {}).items():
        options.add_free_dimension_override_by_name(name, size)
    model = path if isinstance(path, bytes) else str(path)
    return onnxruntime.InferenceSession(model, options, ["CPUExecutionProvider"])


def run_onnxruntime(path, calls, optimized: bool):
    opened = session(path, optimized)
    names = [output.name for output in opened.get_outputs()]
    return [dict(zip(names, opened.run(None, feeds))) for feeds in calls]


@functools.cache
def core():
    return openvino.Core()


def run_openvino(path, calls):
    """OpenVINO's CPU device, computing in f32 what is not quantized; bf16 would be its default."""
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1}
    compiled = core().compile_model(str(path), "CPU", settings)
    results = []
    for feeds in calls:
        made = compiled(feeds)
        results.append({output.get_any_name(): np.array(made[output]) for output in compiled.outputs})
    return results


def run_reference(path, calls):
    """onnx's own evaluator, in Python: slow, and up to date with every opset."""
    evaluator = ReferenceEvaluator(str(path))
    return [dict(zip(evaluator.output_names, evaluator.run(None, feeds))) for feeds in calls]


def check(path):
    """onnx's checker in full, and shape inference that takes no contradiction."""
    onnx.checker.check_model(str(path), full_check=True)
    model = onnx.load(path)
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    return model
