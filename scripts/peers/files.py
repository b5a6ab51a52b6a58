"""torchvision's ImageFolder and DataLoader on JPEG files: random resized crop, flip, normalisation.

Prints the images per second of each epoch, and those of decoding alone in as many processes:

    python scripts/peers/files.py FOLDER --threads 2
"""

import argparse
import time

import torch
from PIL import Image
from torchvision import datasets
from torchvision.transforms import v2

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def decoded(path):
    """Loads nothing but the pixels."""
    with Image.open(path) as image:
        return image.convert("RGB")


def rate(loader, epochs):
    rates = []
    for _ in range(epochs + 1):
        start = time.perf_counter()
        images = sum(len(batch[1]) for batch in loader)
        rates.append(images / (time.perf_counter() - start))
    return rates[1:]  # The first starts the workers.


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--threads", type=int, default=2, help="worker processes")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=3)
    arguments = parser.parse_args()
    transforms = [
        v2.RandomResizedCrop(224),
        v2.RandomHorizontalFlip(),
        v2.PILToTensor(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(MEAN, DEVIATION),
    ]
    options = dict(
        batch_size=arguments.batch,
        shuffle=True,
        drop_last=True,
        num_workers=arguments.threads,
        persistent_workers=True,
    )
    augmented = datasets.ImageFolder(arguments.folder, v2.Compose(transforms))
    nothing = v2.Lambda(lambda image: 0)
    bare = datasets.ImageFolder(arguments.folder, nothing, loader=decoded)
    for name, images in [("augmented", augmented), ("decoded", bare)]:
        rates = rate(torch.utils.data.DataLoader(images, **options), arguments.epochs)
        print(name, " ".join(f"{one:.0f}/s" for one in rates))


if __name__ == "__main__":
    main()
