#!/usr/bin/env python3
"""A package for a machine with a GPU that has neither cargo nor a network: programs and CIFAR-100.

    scripts/gpu/package.py pack PROGRAM… DATA     # here: DATA holds cifar-100-binary/
    scripts/gpu/package.py unpack                 # there

`pack` writes gpu-package/: programs.tar.xz, and CIFAR-100 without loss in six files of about 17 MB, so
that each can travel alone. `unpack` needs numpy, and as many cores as there are files makes it fast.
"""

import io
import lzma
import subprocess
import sys
import tarfile
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

PACKAGE = Path(__file__).resolve().parents[2] / "gpu-package"
FOLDER, NAMES = "cifar-100-binary", "fine_label_names.txt"
# Coarse label, fine label, and the red, green and blue planes of an image.
LABELS, SHAPE = 2, (3, 32, 32)
RECORD = LABELS + 3 * 32 * 32
PART = 10_000


def residuals(images):
    """What is left of images `[N, 3, 32, 32]` after a prediction from their green plane, and from the
    left, upper and upper left neighbours: small numbers, which compress well."""
    red, green, blue = images.swapaxes(0, 1)
    planes = np.stack([green, red - green, blue - green], 1)
    planes[..., 1:] -= planes[..., :-1].copy()
    planes[..., 1:, :] -= planes[..., :-1, :].copy()
    return planes


def images_of(residuals):
    """The inverse of `residuals`, modulo 256 like it."""
    planes = residuals.cumsum(-2, dtype=np.uint8).cumsum(-1, dtype=np.uint8)
    green, red, blue = planes.swapaxes(0, 1)
    return np.stack([red + green, green, blue + green], 1)


def compress(part):
    records = np.frombuffer(part, np.uint8).reshape(-1, RECORD)
    images = records[:, LABELS:].reshape(-1, *SHAPE)
    return lzma.compress(records[:, :LABELS].tobytes() + residuals(images).tobytes())


def decompress(path):
    content = np.frombuffer(lzma.decompress(path.read_bytes()), np.uint8)
    count = len(content) // RECORD
    labels, planes = content[: LABELS * count], content[LABELS * count :]
    images = images_of(planes.reshape(-1, *SHAPE))
    return np.hstack([labels.reshape(-1, LABELS), images.reshape(count, -1)]).tobytes()


def pack(programs, data):
    PACKAGE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as stripped, io.BytesIO() as archive:
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for program in map(Path, programs):
                copy = Path(stripped) / program.name
                subprocess.run(["strip", "-o", copy, program], check=True)
                tar.add(copy, f"bin/{program.name}")
            tar.add(Path(data) / FOLDER / NAMES, f"data/{FOLDER}/{NAMES}")
        (PACKAGE / "programs.tar.xz").write_bytes(lzma.compress(archive.getvalue()))
    for split in ("train", "test"):
        content = (Path(data) / FOLDER / f"{split}.bin").read_bytes()
        assert len(content) % RECORD == 0, f"{split}.bin is not CIFAR-100's binary form"
        parts = [content[i : i + PART * RECORD] for i in range(0, len(content), PART * RECORD)]
        with ProcessPoolExecutor() as pool:
            for number, part in enumerate(pool.map(compress, parts), 1):
                (PACKAGE / f"cifar100-{split}-{number}.xz").write_bytes(part)
    for file in sorted(PACKAGE.glob("*.xz")):
        print(f"{file.stat().st_size / 1e6:5.1f} MB  {file.name}")


def unpack():
    with tarfile.open(PACKAGE / "programs.tar.xz") as tar:
        tar.extractall(PACKAGE, filter="data")
    folder = PACKAGE / "data" / FOLDER
    parts = sorted(PACKAGE.glob("cifar100-*.xz"))
    with ProcessPoolExecutor() as pool:
        contents = dict(zip(parts, pool.map(decompress, parts)))
    for split in ("train", "test"):
        whole = b"".join(contents[part] for part in parts if f"-{split}-" in part.name)
        (folder / f"{split}.bin").write_bytes(whole)
        print(f"{split}: {len(whole) // RECORD} images")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["pack", *programs, data] if programs:
            pack(programs, data)
        case ["unpack"]:
            unpack()
        case _:
            sys.exit(__doc__)
