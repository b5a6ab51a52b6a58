"""Holds exported networks against ONNX's checker and, in ONNX Runtime, against libtorch.

    SD_ONNX_CASES=DIR cargo xtask test -p sd-train --test onnx
    python scripts/onnx/check.py DIR

Every folder of DIR has a network's files and `golden.safetensors`: images, and the logits that
libtorch computes. Needs onnx, onnxruntime and numpy.
"""

import json
import pathlib
import sys

import numpy
import onnx
import onnxruntime

BAR = 1e-4


def safetensors(path):
    """The 32-bit floats of a file, by name."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    return {
        name: numpy.frombuffer(data, "<f4", offset=8 + size + entry["data_offsets"][0],
                               count=numpy.prod(entry["shape"])).reshape(entry["shape"])
        for name, entry in header.items()
    }


def run(path, inputs):
    """The file's outputs by name, after the full check."""
    onnx.checker.check_model(str(path), full_check=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    wanted = {value.name: inputs[value.name] for value in session.get_inputs()}
    names = [value.name for value in session.get_outputs()]
    return dict(zip(names, session.run(names, wanted)))


def files(folder):
    """Every file's outputs; a segment's map is the next one's input."""
    golden = safetensors(folder / "golden.safetensors")
    for path in sorted(folder.glob("*.onnx")):
        yield path, golden, run(path, golden)
        # The batch is symbolic: one image alone is the first of them.
        first = {name: value[:1] for name, value in golden.items()}
        yield path, first, run(path, first)
    maps = dict(golden)
    for path in sorted((folder / "staged").glob("*.onnx")):
        outputs = run(path, maps)
        maps.update({name: value for name, value in outputs.items() if name.startswith("map")})
        yield path, golden, {name: value for name, value in outputs.items() if name in golden}


def main():
    root = pathlib.Path(sys.argv[1])
    worst, count = 0.0, 0
    for folder in sorted(path.parent for path in root.glob("*/golden.safetensors")):
        difference = 0.0
        for path, golden, outputs in files(folder):
            count += 1
            assert outputs, f"{path} has no outputs"
            for name, value in outputs.items():
                assert value.shape == golden[name].shape, (path, name, value.shape)
                difference = max(difference, float(numpy.abs(value - golden[name]).max()))
        largest = max(float(numpy.abs(v).max()) for n, v in safetensors(folder / "golden.safetensors").items() if n != "images")
        print(f"{folder.name:32} difference {difference:.1e} of logits up to {largest:.1f}")
        worst = max(worst, difference)
    print(f"{count} runs, largest difference {worst:.1e}")
    sys.exit(0 if count and worst <= BAR else f"found {worst:.1e}, expected at most {BAR:.0e}")


if __name__ == "__main__":
    main()
