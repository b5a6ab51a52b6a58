"""Golden costs of whole networks: python scripts/golden/costs.py

torchvision's networks for one 3x32x32 image and 100 classes, counted by PyTorch: parameters, and
the multiply-accumulates of convolutions and linear layers by hooks on their forward passes. The
stem is a 3x3 convolution with stride 1, without pool, and the head one linear layer; 3x3
convolutions but the stem are compressed.
"""

import torch
import torchvision
from cases import write_json
from layers import DepthwiseSeparable
from torch import nn

CLASSES = 100


def resnet(depth):
    network = getattr(torchvision.models, f"resnet{depth}")(num_classes=CLASSES)
    network.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    network.maxpool = nn.Identity()
    return network


def vgg11():
    network = torchvision.models.vgg11_bn(num_classes=CLASSES)
    network.avgpool = nn.AdaptiveAvgPool2d(1)
    network.classifier = nn.Linear(512, CLASSES)
    # A batch norm follows each convolution: a bias would be subtracted again.
    for module in network.features:
        if isinstance(module, nn.Conv2d):
            module.bias = None
    return network


def grouped8(old):
    inputs, outputs = old.in_channels, old.out_channels
    return nn.Conv2d(inputs, outputs, 3, old.stride, 1, groups=8, bias=False)


def separable(old):
    return DepthwiseSeparable(old.in_channels, old.out_channels, 3, old.stride)


def compressed(network, replacement):
    """`network` with every 3x3 convolution but the first replaced."""
    named = [(name, m) for name, m in network.named_modules() if isinstance(m, nn.Conv2d)]
    for name, old in named[1:]:
        if old.kernel_size == (3, 3):
            place, _, last = name.rpartition(".")
            setattr(network.get_submodule(place), last, replacement(old))
    return network


def cost(network):
    macs = 0

    def count(module, _, output):
        nonlocal macs
        each = module.weight[0].numel()
        macs += each * output.numel()

    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(count)
    with torch.no_grad():
        network.eval()(torch.zeros(1, 3, 32, 32))
    return {"params": sum(p.numel() for p in network.parameters()), "macs": macs}


if __name__ == "__main__":
    networks = {
        "resnet18/dense": resnet(18),
        "resnet18/grouped8": compressed(resnet(18), grouped8),
        "resnet18/depthwise_separable": compressed(resnet(18), separable),
        "resnet34/dense": resnet(34),
        "resnet50/dense": resnet(50),
        "vgg11/dense": vgg11(),
        "vgg11/grouped8": compressed(vgg11(), grouped8),
        "vgg11/depthwise_separable": compressed(vgg11(), separable),
    }
    write_json("sd-models", "costs", {name: cost(network) for name, network in networks.items()})
