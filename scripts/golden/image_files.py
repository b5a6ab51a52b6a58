#!/usr/bin/env python3
"""Writes crates/sd-image/tests/golden/fit.json: what torchvision makes of images of any size; and
crates/sd-data/tests/golden/image_files.json: what it makes of a crop of them.

    python3 scripts/golden/image_files.py

Needs torch, torchvision, Pillow and numpy; the files name the versions that made them. The images
are made by a formula that the tests have too; the pixels are in hexadecimal.
"""

import json
from pathlib import Path

import numpy
import PIL
import torchvision
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

CRATES = Path(__file__).parents[2] / "crates"

# Height and width, the shorter side after resizing, the side of the middle.
FITS = [
    (40, 40, 12, 12),
    (33, 61, 12, 12),
    (61, 33, 16, 12),
    (7, 9, 14, 12),
    (50, 13, 13, 12),
    (12, 12, 12, 12),
    (3, 200, 8, 8),
]
# Channels, side, and the top, left, height and width of a part that is resized to the whole.
PARTS = [(3, 12, 2, 3, 5, 7), (1, 12, 0, 0, 12, 9), (3, 12, 11, 4, 1, 1), (1, 9, 1, 2, 8, 7)]


def image(height, width, channels):
    y, x, c = numpy.mgrid[0:height, 0:width, 0:channels]
    return ((x * 7 + y * 13 + c * 29 + x * y * (c + 1)) % 256).astype(numpy.uint8)


def pil(values):
    return Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)


def main():
    fits = []
    for height, width, shorter, side in FITS:
        resized = F.resize(pil(image(height, width, 3)), shorter, InterpolationMode.BILINEAR)
        fitted = numpy.asarray(F.center_crop(resized, side))
        fits.append({"source": [height, width], "shorter": shorter, "side": side,
                     "pixels": fitted.tobytes().hex()})
    parts = []
    for channels, side, *part in PARTS:
        found = F.resized_crop(pil(image(side, side, channels)), *part, [side, side],
                               InterpolationMode.BILINEAR)
        parts.append({"channels": channels, "side": side, "part": part,
                      "pixels": numpy.asarray(found).tobytes().hex()})
    versions = {"torchvision": torchvision.__version__.split("+")[0], "Pillow": PIL.__version__}
    for target, golden in [("sd-image/tests/golden/fit.json", {"fits": fits}),
                           ("sd-data/tests/golden/image_files.json", {"parts": parts})]:
        golden = {"versions": versions, **golden}
        (CRATES / target).write_text(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
