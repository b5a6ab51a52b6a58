#!/usr/bin/env python3
"""Writes weights for a VGG11 whose stages 4 and 5 are depthwise-separable, from a dense VGG11.

    scripts/low_rank_start.py DENSE_RUN DATA OUT

Each dense kernel W of [O, I, 3, 3] becomes a depthwise and a pointwise convolution: for each input
channel the best approximation of rank one of its [O, 9] matrix. Between both stand a batch norm and
ReLU: the norm's shift of 2 standard deviations lets nearly all values pass, and the pointwise
weights are multiplied by the standard deviation that the norm divides by. Running statistics are
measured on 512 training images. Needs numpy.
"""

import gzip
import json
import struct
import sys
from pathlib import Path

import numpy as np

SHIFT = 2.0
EPSILON = 1e-5


def read_weights(path):
    raw = Path(path).read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    header = json.loads(raw[8 : 8 + length])
    metadata = header.pop("__metadata__", {})
    body = raw[8 + length :]
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        tensors[name] = np.frombuffer(body[begin:end], "<f4").reshape(entry["shape"])
    return tensors, metadata


def write_weights(path, tensors):
    header, body = {}, b""
    for name, tensor in sorted(tensors.items()):
        raw = np.ascontiguousarray(tensor, "<f4").tobytes()
        header[name] = {
            "dtype": "F32",
            "shape": list(tensor.shape),
            "data_offsets": [len(body), len(body) + len(raw)],
        }
        body += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + body)


def images(folder, metadata, count):
    raw = gzip.open(Path(folder) / "fashion-mnist-small/train-images-idx3-ubyte.gz").read()
    pixels = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 1, 28, 28)
    chosen = np.random.default_rng(0).permutation(len(pixels))[:count]
    padded = np.pad(pixels[chosen] / 255.0, ((0, 0), (0, 0), (2, 2), (2, 2)))
    data = json.loads(metadata["data"])["input"]
    mean, deviation = (np.array(data[key]).reshape(1, -1, 1, 1) for key in ("mean", "deviation"))
    return ((padded - mean) / deviation).astype(np.float32)


def windows(x):
    """The 3×3 neighbourhoods, [N, C, H, W, 9]."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    view = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    return view.reshape(*x.shape, 9)


def dense(x, weight):
    n, c, h, w = x.shape
    columns = windows(x).transpose(0, 2, 3, 1, 4).reshape(n * h * w, c * 9)
    return (columns @ weight.reshape(len(weight), -1).T).reshape(n, h, w, -1).transpose(0, 3, 1, 2)


def depthwise(x, weight):
    return np.einsum("nchwk,ck->nchw", windows(x), weight.reshape(-1, 9), optimize=True)


def pointwise(x, weight):
    return np.einsum("nchw,oc->nohw", x, weight[:, :, 0, 0], optimize=True)


def channel(x):
    return x.reshape(1, -1, 1, 1)


def norm_relu(x, tensors, path):
    get = lambda name: channel(tensors[f"{path}.{name}"])
    scaled = (x - get("running_mean")) / np.sqrt(get("running_var") + EPSILON)
    return np.maximum(scaled * get("weight") + get("bias"), 0)


def measure(x, tensors, path):
    tensors[f"{path}.running_mean"] = x.mean((0, 2, 3))
    tensors[f"{path}.running_var"] = x.var((0, 2, 3))


def pool(x):
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).max((3, 5))


def main():
    run, data, out = sys.argv[1:]
    tensors, metadata = read_weights(Path(run) / "model.safetensors")
    tensors = {name: value.copy() for name, value in tensors.items()}
    x = images(data, metadata, 512)
    layers = ["stem", "P", "stage2.0", "P", "stage3.0", "stage3.1", "P"]
    layers += ["stage4.0", "stage4.1", "P", "stage5.0", "stage5.1", "P"]
    kept = []
    for layer in layers:
        if layer == "P":
            x = pool(x)
            continue
        path = f"backbone.{layer}"
        if layer[:6] in ("stage4", "stage5"):
            weight = tensors.pop(f"{path}.conv.weight")
            outputs, inputs = weight.shape[:2]
            matrices = weight.transpose(1, 0, 2, 3).reshape(inputs, outputs, 9)
            u, s, v = np.linalg.svd(matrices, full_matrices=False)
            kept.append((s[:, 0] ** 2).sum() / (s**2).sum())
            filters = v[:, 0].reshape(inputs, 1, 3, 3)
            mixing = (u[:, :, 0] * s[:, :1]).T[:, :, None, None]
            between = depthwise(x, filters)
            measure(between, tensors, f"{path}.conv.norm")
            deviation = np.sqrt(tensors[f"{path}.conv.norm.running_var"] + EPSILON)
            tensors[f"{path}.conv.norm.weight"] = np.ones(inputs)
            tensors[f"{path}.conv.norm.bias"] = np.full(inputs, SHIFT)
            tensors[f"{path}.conv.depthwise.weight"] = filters
            tensors[f"{path}.conv.pointwise.weight"] = mixing * channel(deviation)
            passed = norm_relu(between, tensors, f"{path}.conv.norm")
            x = pointwise(passed, tensors[f"{path}.conv.pointwise.weight"])
            measure(x, tensors, f"{path}.norm")
        else:
            x = dense(x, tensors[f"{path}.conv.weight"])
        x = norm_relu(x, tensors, f"{path}.norm")
    write_weights(out, tensors)
    print("share of each kernel's energy that is kept:", " ".join(f"{k:.2f}" for k in kept))


main()
