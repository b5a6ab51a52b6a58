"""Golden logits of torchvision's and timm's networks: python scripts/golden/state_dicts.py

Tens of megabytes of weights a network are not kept: both sides fill a tensor by its name in the
library's state dict, its shape and each number's index (`filled`, and the same in
crates/sd-models/tests/state_dicts.rs). The file holds the logits alone.
"""

import math

import numpy as np
import timm
import torch
import torchvision
from cases import Cases

CLASSES = 10


def uniform(name, count):
    """Numbers in [0, 1), multiples of 2^-24: a hash of the name and each index."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():  # FNV-1a
        seed = (seed ^ byte) * 0x100000001B3 % 2**64
    x = np.arange(count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(seed)
    x ^= x >> np.uint64(32)
    x *= np.uint64(0xD6E8FEB86659FD93)
    x ^= x >> np.uint64(32)
    return (x >> np.uint64(40)).astype(np.float64) / 2**24


def bounds(name, shape):
    """About what keeps activations of one size, and norms that are not at their start."""
    if name == "input":
        return -1.0, 1.0
    if name.endswith("running_mean"):
        return -0.5, 0.5
    if name.endswith("running_var"):
        return 0.5, 2.0
    if len(shape) == 1:
        return (0.5, 1.5) if name.endswith("weight") else (-0.5, 0.5)
    # Half-way between LeCun's and He's initialisation where a ReLU follows.
    bound = math.sqrt((4.0 if len(shape) == 4 else 3.0) / math.prod(shape[1:]))
    return -bound, bound


def filled(name, shape):
    low, high = bounds(name, shape)
    numbers = low + (high - low) * uniform(name, math.prod(shape))
    return torch.from_numpy(numbers.astype(np.float32)).reshape(shape)


def images(count, side):
    """8x8 squares of one colour each: a mean over noise would hardly differ between images."""
    squares = filled("input", (count, 3, 8, 8)).double()
    return torch.nn.functional.interpolate(squares, size=side, mode="nearest")


def fill(module):
    tensors = module.state_dict()
    state = {name: filled(name, tuple(t.shape)) if t.dim() else t for name, t in tensors.items()}
    module.load_state_dict(state)
    return module.double()


def add(cases, name, module, x, modes=("eval",)):
    """Logits in each mode, in this order: training moves the running statistics."""
    module = fill(module)
    with torch.no_grad():
        parts = {f"logits_{mode}": module.train(mode == "train")(x) for mode in modes}
    cases.add(name, **parts)


def for_cifar(mobilenet):
    """torchvision's MobileNetV2 with stride 1 in the stem and in the stage of 24 channels."""
    mobilenet.features[0][0].stride = (1, 1)
    block = mobilenet.features[2]
    block.conv[1][0].stride = (1, 1)
    # A narrow network has as many channels before that block as after it: its shape stays.
    block.use_res_connect = block.conv[0][0].in_channels == block.out_channels
    return mobilenet


def mobilenet_v2(width, classes):
    return torchvision.models.mobilenet_v2(num_classes=classes, width_mult=width, dropout=0.0)


if __name__ == "__main__":
    cases = Cases()
    for name, side in {"resnet18": 224, "resnet50": 64, "vgg11_bn": 224}.items():
        module = getattr(torchvision.models, name)(num_classes=CLASSES)
        add(cases, f"torchvision/{name}", module, images(2, side))
    for name, side in {"resnet18": 96, "vgg11_bn": 224, "mobilenetv2_035": 64}.items():
        module = timm.create_model(name, num_classes=CLASSES)
        add(cases, f"timm/{name}", module, images(2, side))
    small = for_cifar(mobilenet_v2(0.35, CLASSES))
    modes = ("eval", "train", "afterwards")
    add(cases, "torchvision/mobilenet_v2", small, images(4, 32), modes)
    cases.write("sd-models", "state_dicts")
