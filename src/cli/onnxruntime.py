"""Runs an ONNX model for `qdqc compare`: python -c SCRIPT FOLDER OPTIMIZE THREADS

Messages come in on standard input and go out on standard output, each after its
length in eight bytes, little-endian. The first is the model. Every other one, in
and out, is a safetensors file: named inputs in, named outputs out. The first one
out says in its metadata which `runtime` this is. What goes wrong is said there
too, and ends the program: a package that is `missing`, or why it `failed`.

FOLDER is where the model's external data lies. OPTIMIZE is 0 or 1; THREADS is 0
for as many as there are cores.
"""

import json
import os
import struct
import sys

# Whatever else writes to standard output must not come between the messages.
RESULTS = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)

DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
}
ONNX_TYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(bool)": "bool",
}


def read():
    length = sys.stdin.buffer.read(8)
    if len(length) < 8:
        sys.exit(0)
    return sys.stdin.buffer.read(struct.unpack("<Q", length)[0])


def write(message):
    RESULTS.write(struct.pack("<Q", len(message)) + message)
    RESULTS.flush()


def pack(tensors, **metadata):
    header, parts, end = {"__metadata__": metadata}, [], 0
    for name, array in tensors.items():
        found = [key for key, dtype in DTYPES.items() if dtype == array.dtype.name]
        if not found:
            raise TypeError(f"`{name}` holds {array.dtype.name}, which cannot be compared")
        parts.append(array.tobytes())
        start, end = end, end + len(parts[-1])
        header[name] = {"dtype": found[0], "shape": list(array.shape), "data_offsets": [start, end]}
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    return struct.pack("<Q", len(head)) + head + b"".join(parts)


def unpack(message):
    length = struct.unpack("<Q", message[:8])[0]
    tensors = {}
    for name, entry in json.loads(message[8 : 8 + length]).items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            array = numpy.frombuffer(message[8 + length + start : 8 + length + end], DTYPES[entry["dtype"]])
            tensors[name] = array.reshape(entry["shape"])
    return tensors


def fail(**why):
    write(pack({}, **why))
    sys.exit(1)


def session(model, folder, optimize, threads):
    options = onnxruntime.SessionOptions()
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Where external data lies, for a model that is not read from a file; versions
    # before 1.20 look in the working folder.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", folder)
    os.chdir(folder)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def main(folder, optimize, threads):
    loaded = session(read(), folder, optimize == "1", int(threads))
    write(pack({}, runtime=f"onnxruntime {onnxruntime.__version__}"))
    types = {value.name: value.type for value in loaded.get_inputs()}
    names = [value.name for value in loaded.get_outputs()]
    while True:
        given = unpack(read())
        for name, array in given.items():
            kind = types[name]
            dtype = ONNX_TYPES.get(kind) or kind[len("tensor(") : -1]
            given[name] = array.astype(dtype)
        write(pack(dict(zip(names, loaded.run(names, given)))))


try:
    import numpy
    import onnxruntime
except ModuleNotFoundError as error:
    fail(missing=error.name)
try:
    main(*sys.argv[1:])
except Exception as error:
    fail(failed=str(error))
