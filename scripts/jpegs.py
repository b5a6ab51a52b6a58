"""Writes a folder of JPEGs of 500×375 pixels, as large as ImageNet's, to try training and loading with.

    python scripts/jpegs.py FOLDER [--images 10000] [--classes 10]

A tenth goes to val/, the rest to train/. Each picture is noise whose power falls with the frequency, as
in photographs, tinted by class. Needs numpy and Pillow.
"""

import argparse
from multiprocessing import Pool
from pathlib import Path

import numpy
from PIL import Image

WIDTH, HEIGHT = 500, 375
QUALITY = 90  # About 70 kB a file.


def picture(seed, label):
    """An image of one class."""
    random = numpy.random.default_rng([seed, label])
    rows = numpy.fft.fftfreq(HEIGHT)[:, None]
    columns = numpy.fft.rfftfreq(WIDTH)[None, :]
    frequency = numpy.hypot(rows, columns)
    frequency[0, 0] = numpy.inf
    noise = random.normal(size=(3, *frequency.shape)) + 1j * random.normal(size=(3, *frequency.shape))
    noise[1:] = 0.8 * noise[0] + 0.2 * noise[1:]  # Channels of a photograph are alike.
    waves = numpy.fft.irfft2(noise / frequency**1.1, s=(HEIGHT, WIDTH))
    waves *= 45 / waves.std()
    tint = numpy.random.default_rng(label).uniform(60, 196, size=(3, 1, 1))
    return Image.fromarray((waves + tint).clip(0, 255).astype(numpy.uint8).transpose(1, 2, 0))


def write(job):
    path, seed, label = job
    picture(seed, label).save(path, quality=QUALITY)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--classes", type=int, default=10)
    arguments = parser.parse_args()
    jobs = []
    for index in range(arguments.images):
        label = index % arguments.classes
        split = "val" if index // arguments.classes % 10 == 9 else "train"
        folder = arguments.folder / split / f"class{label:04}"
        folder.mkdir(parents=True, exist_ok=True)
        jobs.append((folder / f"{index:06}.jpg", index, label))
    with Pool() as pool:
        for _ in pool.imap_unordered(write, jobs, chunksize=16):
            pass


if __name__ == "__main__":
    main()
