#!/usr/bin/env python3
"""Makes data/fashion-mnist-small: a seeded, stratified part of Fashion-MNIST.

    python3 scripts/fashion_mnist_subset.py FULL [--out data/fashion-mnist-small]

FULL is a folder with the four files of the whole data set, as `cargo xtask data fetch
fashion-mnist` leaves it. The standard library is enough. The same input gives the same images and
labels; the compressed bytes also depend on the version of zlib.
"""

import argparse
import gzip
import random
import struct
from pathlib import Path

CLASSES = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
]
SIDE = 28
IMAGES, LABELS = 0x0803, 0x0801

LICENSE = """\
The MIT License (MIT)

Copyright © 2017 Zalando SE, https://tech.zalando.com

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or
substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES
OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN
CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""

README = """\
# A part of Fashion-MNIST

{train:,} training and {test:,} test images of the 60,000 and 10,000 of
[Fashion-MNIST](https://github.com/zalandoresearch/fashion-mnist) (Han Xiao, Kashif Rasul, Roland
Vollgraf, [arXiv:1708.07747](https://arxiv.org/abs/1708.07747)): grey, 28×28, {per_train} and
{per_test} of each of the ten classes. They are for a first run without a download. Accuracies on
them are not comparable with published ones, which are of the whole data set.

| file | what |
| --- | --- |
| `train-images-idx3-ubyte.gz`, `train-labels-idx1-ubyte.gz` | {train:,} images and labels |
| `t10k-images-idx3-ubyte.gz`, `t10k-labels-idx1-ubyte.gz` | {test:,} images and labels |
| `class_names.txt` | the classes, by label |
| `LICENSE` | the MIT licence under which Zalando published the images |

Made by

    cargo xtask data fetch fashion-mnist
    python3 scripts/fashion_mnist_subset.py data/fashion-mnist --seed {seed}

which draws from each class without replacement and keeps the order of the original. The training
images come from the original training images alone, the test images from the test images.
"""


def read_idx(folder, name, magic, sides):
    """The items of a file, each as bytes."""
    path = folder / f"{name}.gz"
    data = gzip.decompress(path.read_bytes()) if path.exists() else (folder / name).read_bytes()
    header = struct.unpack_from(f">{2 + len(sides)}I", data)
    if header[0] != magic or list(header[2:]) != sides:
        raise SystemExit(f"{folder / name}: header {header}, expected {magic} and sides {sides}")
    size = 1
    for side in sides:
        size *= side
    items = data[4 * len(header) :]
    if len(items) != header[1] * size:
        raise SystemExit(f"{folder / name}: {len(items)} bytes, expected {header[1]} × {size}")
    return [items[i * size : (i + 1) * size] for i in range(header[1])]


def write_idx(path, magic, sides, items):
    header = struct.pack(f">{2 + len(sides)}I", magic, len(items), *sides)
    path.write_bytes(gzip.compress(header + b"".join(items), compresslevel=9, mtime=0))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("full", type=Path, help="the folder of the whole data set")
    parser.add_argument("--out", type=Path, default=Path("data/fashion-mnist-small"))
    parser.add_argument("--train", type=int, default=600, help="training images of each class")
    parser.add_argument("--test", type=int, default=100, help="test images of each class")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    for split, count in [("train", options.train), ("t10k", options.test)]:
        images = read_idx(options.full, f"{split}-images-idx3-ubyte", IMAGES, [SIDE, SIDE])
        labels = read_idx(options.full, f"{split}-labels-idx1-ubyte", LABELS, [])
        if len(images) != len(labels):
            raise SystemExit(f"{split}: {len(images)} images, {len(labels)} labels")
        draw = random.Random(f"{split} {options.seed}")
        chosen = []
        for label in range(len(CLASSES)):
            members = [i for i, found in enumerate(labels) if found[0] == label]
            chosen += draw.sample(members, count)
        chosen.sort()
        write_idx(
            options.out / f"{split}-images-idx3-ubyte.gz",
            IMAGES,
            [SIDE, SIDE],
            [images[i] for i in chosen],
        )
        write_idx(
            options.out / f"{split}-labels-idx1-ubyte.gz", LABELS, [], [labels[i] for i in chosen]
        )
        print(f"{split}: {len(chosen)} of {len(images)} images")

    (options.out / "class_names.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    (options.out / "LICENSE").write_text(LICENSE)
    readme = README.format(
        train=options.train * len(CLASSES),
        test=options.test * len(CLASSES),
        per_train=options.train,
        per_test=options.test,
        seed=options.seed,
    )
    (options.out / "README.md").write_text(readme)


if __name__ == "__main__":
    main()
