"""torchvision's augmentation through a DataLoader, on random images of CIFAR's size."""

import argparse

import numpy
import torch
import torchvision
from PIL import Image
from torchvision.transforms import v2

from record import Record, repeat, reset_peak_memory

IMAGES, SIDE = 5_000, 32
MEAN, DEVIATION = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
PIPELINES = {
    "normalize": ([], []),
    "crop_flip": ([v2.RandomCrop(SIDE, padding=4), v2.RandomHorizontalFlip()], []),
    "auto_augment_erasing": (
        [
            v2.RandomCrop(SIDE, padding=4),
            v2.RandomHorizontalFlip(),
            v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10),
        ],
        [v2.RandomErasing()],
    ),
}


class Images(torch.utils.data.Dataset):
    """Images in memory, as torchvision's CIFAR keeps them."""

    def __init__(self, mode, pipeline):
        before, after = PIPELINES[pipeline]
        generator = numpy.random.default_rng(0)
        shape = (IMAGES, SIDE, SIDE, 3)
        self.images = generator.integers(0, 256, shape, numpy.uint8)
        # PIL changes the pixels in the one mode, torch's own kernels in the other.
        first = [v2.ToImage()] if mode == "tensor" else []
        self.transform = v2.Compose(
            [
                *first,
                *before,
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(MEAN, DEVIATION),
                *after,
            ]
        )

    def __len__(self):
        return IMAGES

    def __getitem__(self, index):
        return self.transform(Image.fromarray(self.images[index])), index % 100


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=["pil", "tensor"], default="pil")
    parser.add_argument("--pipeline", choices=PIPELINES, action="append")
    parser.add_argument("--threads", type=int, default=2, help="worker processes")
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--batch", type=int, default=128)
    arguments = parser.parse_args()
    program = f"torchvision {torchvision.__version__}"
    document = Record("data", program, arguments.threads, "cpu")
    for pipeline in arguments.pipeline or PIPELINES:
        loader = torch.utils.data.DataLoader(
            Images(arguments.mode, pipeline),
            batch_size=arguments.batch,
            shuffle=True,
            drop_last=True,
            num_workers=arguments.threads,
            persistent_workers=True,
        )
        reset_peak_memory()
        times = repeat(lambda: sum(len(labels) for _, labels in loader), arguments.seconds)
        images = len(loader) * arguments.batch
        setting = (arguments.mode, "f32", "nchw")
        document.add(pipeline, "epoch", setting, arguments.batch, images, times)
    document.print()


if __name__ == "__main__":
    main()
