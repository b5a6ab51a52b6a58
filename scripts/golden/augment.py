#!/usr/bin/env python3
"""Writes crates/sd-data/tests/golden/augment.json: what torchvision makes of a few images.

    python3 scripts/golden/augment.py

Needs torch, torchvision, Pillow and numpy; the file names the versions that made it. Of most
results the CRC-32 is kept, which tells equal from not; of single operations on small images also
the pixels, in hexadecimal, which tell what is not equal.
"""

import json
import zlib
from pathlib import Path

import numpy
import PIL
import torch
import torchvision
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F
from torchvision.transforms.autoaugment import (
    AutoAugment,
    AutoAugmentPolicy,
    RandAugment,
    TrivialAugmentWide,
    _apply_op,
)

TARGET = Path(__file__).parents[2] / "crates/sd-data/tests/golden/augment.json"
FILL = 77
WHOLE = 300  # values up to which an image is kept


def image(seed, height, width, channels, low, high):
    """A slope with noise, between `low` and `high`."""
    random = numpy.random.default_rng(seed)
    y, x = numpy.mgrid[0:1:height * 1j, 0:1:width * 1j]
    slope = random.uniform(-1, 1, (2, channels))
    values = y[..., None] * slope[0] + x[..., None] * slope[1]
    values = values + random.normal(0, 0.25, (height, width, channels))
    values = (values - values.min()) / (values.max() - values.min())
    return (low + values * (high - low)).round().astype(numpy.uint8)


def images():
    found = {
        "small": image(1, 8, 9, 3, 0, 255),
        "small grey": image(2, 10, 7, 1, 30, 180),
        "cifar": image(3, 32, 32, 3, 5, 240),
        "dim": image(4, 20, 32, 3, 90, 130),
        "mnist": image(5, 28, 28, 1, 0, 255),
        "thin": image(6, 2, 40, 3, 0, 255),
        "noise": numpy.random.default_rng(7).integers(0, 256, (31, 32, 3), numpy.uint8),
    }
    # One value in a channel, two in another: no contrast to stretch, little to equalise.
    found["flat"] = image(8, 16, 16, 3, 0, 255)
    found["flat"][..., 0] = 200
    found["flat"][..., 1] = 100 + (found["flat"][..., 1] > 150)
    return found


def pil(array):
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)


def checksum(picture):
    return zlib.crc32(numpy.asarray(picture).tobytes())


def apply(picture, name, magnitude):
    fill = [FILL] * len(picture.getbands())
    return _apply_op(picture, name, magnitude, InterpolationMode.NEAREST, fill)


def scales(name, array):
    """Every operation of each scale at some of its magnitudes, in both directions."""
    height, width, _ = array.shape
    picture = pil(array)
    for space, table, bins, picks in [
        ("auto", AutoAugment()._augmentation_space(10, (height, width)), 10, range(10)),
        ("auto", RandAugment()._augmentation_space(31, (height, width)), 31, [1, 9, 20, 30]),
        ("wide", TrivialAugmentWide()._augmentation_space(31), 31, [1, 6, 13, 20, 25, 30]),
    ]:
        for kind, (magnitudes, signed) in table.items():
            row = {"image": name, "space": space, "bins": bins, "kind": kind, "checksums": []}
            for bin in picks if magnitudes.ndim else [0]:
                magnitude = float(magnitudes[bin] if magnitudes.ndim else magnitudes)
                opposite = -magnitude if signed else magnitude
                both = [apply(picture, kind, one) for one in [magnitude, opposite]]
                row["checksums"].append([bin, *map(checksum, both)])
            yield row


def policies(array):
    """Each pair of each policy, both operations applied, in both directions."""
    height, width, _ = array.shape
    for policy in [AutoAugmentPolicy.CIFAR10, AutoAugmentPolicy.IMAGENET]:
        auto = AutoAugment(policy)
        table = auto._augmentation_space(10, (height, width))
        for index, pair in enumerate(auto.policies):
            checksums = []
            for negative in [False, True]:
                picture = pil(array)
                for kind, _, bin in pair:
                    magnitudes, signed = table[kind]
                    magnitude = float(magnitudes[bin]) if bin is not None else 0.0
                    picture = apply(picture, kind, -magnitude if signed and negative else magnitude)
                checksums.append(checksum(picture))
            probabilities = [probability for _, probability, _ in pair]
            yield {
                "policy": policy.value,
                "pair": index,
                "probabilities": probabilities,
                "checksums": checksums,
            }


def operations(name, array):
    picture = pil(array)
    factors = [0.0, 0.35, 0.999, 1.0, 1.7, 3.2]
    for operation, change, amounts in [
        ("Brightness", F.adjust_brightness, factors),
        ("Contrast", F.adjust_contrast, factors),
        ("Color", F.adjust_saturation, factors),
        ("Sharpness", F.adjust_sharpness, factors),
        ("Hue", F.adjust_hue, [-0.5, -0.3, -0.013, 0.0, 0.1, 0.25, 0.5]),
        ("Solarize", F.solarize, [0.0, 1.0, 127.5, 128.0, 255.0, 256.0]),
        ("Posterize", F.posterize, range(1, 9)),
        ("Rotate", lambda x, a: F.rotate(x, a, fill=FILL), [90.0, 180.0, 270.0, 45.0, -45.0, 0.5]),
    ]:
        for amount in amounts:
            changed = change(picture, amount)
            row = {"image": name, "operation": operation, "amount": amount}
            row["checksum"] = checksum(changed)
            if array.size <= WHOLE:
                row["pixels"] = numpy.asarray(changed).tobytes().hex()
            yield row


def main():
    found = images()
    golden = {
        "versions": {
            "torch": torch.__version__.split("+")[0],
            "torchvision": torchvision.__version__.split("+")[0],
            "pillow": PIL.__version__,
            "numpy": numpy.__version__,
        },
        "fill": FILL,
        "images": {
            name: {"shape": array.shape, "pixels": array.tobytes().hex()}
            for name, array in found.items()
        },
        "scales": [case for name, array in found.items() for case in scales(name, array)],
        "policies": list(policies(found["cifar"])),
        "operations": [case for name, array in found.items() for case in operations(name, array)],
    }
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for key, value in golden.items():
        if isinstance(value, list):
            rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in value)
            lines.append(f"{json.dumps(key)}: [\n{rows}\n]")
        else:
            lines.append(f"{json.dumps(key)}: {json.dumps(value)}")
    TARGET.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
