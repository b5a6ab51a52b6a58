#!/usr/bin/env python3
"""Writes small networks and images that are just within the default limits of sd-infer, or beyond them,
and measures what classifying them takes.

    python3 -m pip install pillow
    scripts/faults/crafted.py target/release/sd-infer [ARGUMENT…]

Prints for each pair of network and image: exit code, CPU seconds, peak memory in MB, and the message of
a refusal. Exits with 1 if a run ends by a signal, or takes more than 5 s or 1 GB.
"""

import io
import json
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import crafted_images


def varint(number):
    number &= (1 << 64) - 1
    encoded = b""
    while number > 127:
        encoded += bytes([number & 127 | 128])
        number >>= 7
    return encoded + bytes([number])


def field(tag, value):
    """A field of a protocol buffer: a number, or bytes with their length."""
    if isinstance(value, int):
        return varint(tag << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(tag << 3 | 2) + varint(len(value)) + value


def ints(tag, values):
    return b"".join(field(tag, value) for value in values)


class Network:
    """An ONNX file on square images, written node by node (the fields of onnx.proto)."""

    def __init__(self, side, channels=1):
        self.side, self.channels, self.count = side, channels, 0
        self.nodes, self.weights = b"", b""

    def name(self):
        self.count += 1
        return f"v{self.count}"

    def constant(self, shape, raw, kind):
        name = self.name()
        self.weights += field(5, ints(1, shape) + field(2, kind) + field(8, name) + field(9, raw))
        return name

    def floats(self, *shape, value=0.5):
        count = 1
        for side in shape:
            count *= side
        return self.constant(shape, struct.pack("<f", value) * count, 1)

    def node(self, operator, *inputs, **attributes):
        output = self.name()
        node = b"".join(field(1, name) for name in inputs) + field(2, output) + field(3, output + "n")
        node += field(4, operator)
        for name, value in attributes.items():
            kind = {list: 7, str: 3, int: 2}[type(value)]
            body = ints(8, value) if kind == 7 else field({3: 4, 2: 3}[kind], value)
            node += field(5, field(1, name) + body + field(20, kind))
        self.nodes += field(1, node)
        return output

    def window(self, operator, value, *weights, side, **attributes):
        """A window of this side, with padding that keeps the size."""
        pads = [side // 2, side // 2, (side - 1) // 2, (side - 1) // 2]
        return self.node(operator, value, *weights, kernel_shape=[side, side], strides=[1, 1], pads=pads, **attributes)

    def encode(self, output, channels):
        """The file, with two classes from the mean of a map of this many channels."""
        rows = self.node("Flatten", self.node("GlobalAveragePool", output), axis=1)
        logits = self.node("Gemm", rows, self.floats(channels, 2))

        def value(name, sides):
            dims = field(1, field(2, "batch")) + b"".join(field(1, field(1, side)) for side in sides)
            return field(1, name) + field(2, field(1, field(1, 1) + field(2, dims)))

        graph = self.nodes + field(2, "crafted") + self.weights
        graph += field(11, value("images", [self.channels, self.side, self.side])) + field(12, value(logits, [2]))
        pixels = dict(channels=self.channels, height=self.side, width=self.side, border=0, resize="triangle",
                      layout="nchw", mean=[0.5] * self.channels, deviation=[0.5] * self.channels)
        metadata = dict(metadata_version=1, version="0", name="crafted", input=pixels, classes=["a", "b"],
                        exits=[dict(name="deepest", params=0, macs=0)], ensemble=False, deployed_macs=0,
                        configuration="", configuration_sha256="")
        entry = field(1, "selfdistill") + field(2, json.dumps(metadata))
        return field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 17)) + field(14, entry)


def convolutions(side, channels, count):
    """Dense 3×3 convolutions in a row, which share one weight."""
    network = Network(side)
    map = network.node("Conv", "images", network.floats(channels, 1, 1, 1), kernel_shape=[1, 1])
    weight = network.floats(channels, channels, 3, 3, value=0.001)
    for _ in range(count):
        map = network.window("Conv", map, weight, side=3)
    return network.encode(map, channels)


def networks():
    """Names, and files: as much work or memory as the defaults accept, and more."""
    for operator, side in [("MaxPool", 240), ("AveragePool", 240), ("MaxPool", 512)]:
        network = Network(side)
        attributes = dict(count_include_pad=1) if operator == "AveragePool" else {}
        map = network.window(operator, "images", side=64, **attributes)
        yield f"{operator} 64×64 on {side}×{side}", network.encode(map, 1)
    yield "40 convolutions 3×3", convolutions(128, 64, 40)
    network = Network(160)
    map = network.window("Conv", "images", network.floats(17, 1, 3, 3), side=3)
    map = network.window("Conv", map, network.floats(17, 1, 46, 46), side=46, group=17)
    yield "depthwise 46×46", network.encode(map, 17)
    network = Network(512)
    map = "images"
    for _ in range(900):
        map = network.node("Sigmoid", map)
    yield "900 sigmoids", network.encode(map, 1)
    network = Network(224)
    map = network.window("Conv", "images", network.floats(16, 1, 3, 3), side=3)
    scale, zero = network.floats(), network.constant([], b"\0", 2)
    weight = network.constant([16, 16, 48, 48], b"\1" * (16 * 16 * 48 * 48), 3)
    map = network.node("QuantizeLinear", map, scale, zero)
    map = network.node("Cast", network.window("ConvInteger", map, weight, zero, side=48), to=1)
    yield "8 bits, 48×48, in rten", network.encode(map, 16)
    yield "a weight packed 240 times", convolutions(8, 160, 240)
    network = Network(4096, channels=3)
    yield "an input of 4096×4096", network.encode("images", 3)
    network = Network(512)
    constant = network.floats(1)
    yield "a mean of 250,000 inputs", network.encode(network.node("Mean", "images", *[constant] * 250_000), 1)
    network = Network(1)
    # A byte for each of the integers, and eight in memory.
    packed = field(1, 1_000_000) + field(2, 7) + field(8, "packed") + field(7, b"\1" * 1_000_000)
    network.weights += field(5, packed)
    yield "a million packed integers", network.encode("images", 1)
    network = Network(1)
    sides = network.constant([4], struct.pack("<4q", 1, 1, 1 << 20, 1 << 20), 7)
    yield "2⁴⁰ values", network.encode(network.node("Expand", "images", sides), 1)


def images():
    """Names, and files: 50 megapixels in every format, and what unpacks to more."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None
    turned = Image.Exif()
    turned[0x112] = 6
    for name, mode, options in [
        ("PNG", "RGBA", dict(format="PNG", exif=turned)),
        ("JPEG", "RGB", dict(format="JPEG", quality=1, progressive=True, subsampling=0)),
        ("JPEG, four colours", "CMYK", dict(format="JPEG", quality=1, progressive=True)),
        ("WebP", "RGBA", dict(format="WEBP", lossless=True, method=0)),
        ("WebP, lossy", "RGB", dict(format="WEBP", quality=0, method=0)),
    ]:
        encoded = io.BytesIO()
        Image.new(mode, (7071, 7071)).save(encoded, **options)
        yield name, encoded.getvalue()
    yield "JPEG of 99 scans", crafted_images.jpeg_of_many_scans()
    yield "PNG with a profile", crafted_images.png_with_profile()
    yield "WebP of 90,000 tables", crafted_images.webp_of_many_tables()
    encoded = io.BytesIO()
    Image.new("L", (4, 4)).save(encoded, format="PNG")
    yield "small", encoded.getvalue()


def main():
    if sys.argv[1] == "--write":
        folder = Path(sys.argv[2])
        for kind, files in [("network", networks()), ("image", images())]:
            for name, contents in files:
                assert len(contents) <= 1 << 20, name
                (folder / f"{kind} {name.replace('/', ' ')}").write_bytes(contents)
        return 0
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        # In another process: a child's peak memory includes that of the process that starts it.
        subprocess.run([sys.executable, __file__, "--write", folder], check=True)
        model, folder = Path(folder) / "model.onnx", Path(folder)
        for network in sorted(folder.glob("network *")):
            model.write_bytes(network.read_bytes())
            heavy = "packed" in network.name or "4096" in network.name
            for image in sorted(folder.glob("image *" if heavy else "image small")):
                arguments = [sys.argv[1], str(model), str(image), *sys.argv[2:]]
                process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
                message = process.stderr.read().decode().replace(str(model), "").strip()
                _, status, usage = os.wait4(process.pid, 0)
                code = os.waitstatus_to_exitcode(status)
                seconds, megabytes = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6
                failed |= code < 0 or seconds > 5 or megabytes > 1000
                names = f"{network.name[8:]}; {image.name[6:]}"
                print(f"{names:50} {code:3} {seconds:5.2f} s {megabytes:5.0f} MB  {message[:100]}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
