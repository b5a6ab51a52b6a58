"""Golden costs of whole networks and of exits: python scripts/golden/costs.py

torchvision's networks, counted by PyTorch: parameters, and the multiply-accumulates of
convolutions and linear layers by hooks on their forward passes.

For one 3x32x32 image and 100 classes unless the name says 224: the stem is a 3x3 convolution with
stride 1, without pool, and the head one linear layer; 3x3 convolutions but the stem are compressed.
MobileNetV2 has stride 1 in its stem and in its stage of 24 channels.

Names with `224` are for one 3x224x224 image and 1000 classes: the networks as they are. VGG's
channels and head there have a quarter of their width.

Exits are counted apart from the backbone they hang on, all of them together, by PyTorch's counter of
operations, which sees convolutions and matrix products wherever they are.
"""

import torch
import torchvision
from cases import write_json
from modeling import (
    Cbam,
    Coordinate,
    Eca,
    ScanAttention,
    Shuffle,
    SimAm,
    SpatialGroup,
    SqueezeExcite,
    TpamiAttention,
    Triplet,
)
from modeling import (
    separable as separable_convolution,
)
from networks import Byot, Chain, Light, Scan, Tpami
from state_dicts import for_cifar, mobilenet_v2
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.vgg import VGG, cfgs, make_layers

CLASSES = 100


def resnet(depth):
    network = getattr(torchvision.models, f"resnet{depth}")(num_classes=CLASSES)
    network.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    network.maxpool = nn.Identity()
    return network


def vgg(depth):
    network = getattr(torchvision.models, f"vgg{depth}_bn")(num_classes=CLASSES)
    network.avgpool = nn.AdaptiveAvgPool2d(1)
    network.classifier = nn.Linear(512, CLASSES)
    return without_biases(network)


def quarter_vgg11():
    channels = [c if c == "M" else c // 4 for c in cfgs["A"]]
    network = VGG(make_layers(channels, batch_norm=True), num_classes=1000)
    for index, (inputs, outputs) in {0: (128 * 49, 1024), 3: (1024, 1024), 6: (1024, 1000)}.items():
        network.classifier[index] = nn.Linear(inputs, outputs)
    return without_biases(network)


def without_biases(network):
    # A batch norm follows each convolution: a bias would be subtracted again.
    for module in network.features:
        if isinstance(module, nn.Conv2d):
            module.bias = None
    return network


def not_beyond_stride_4(network):
    """Stage 4 of a ResNet keeps the resolution of stage 3."""
    network.layer4[0].conv1.stride = network.layer4[0].downsample[0].stride = (1, 1)
    return network


def without_last_pools(network, kept):
    """A VGG whose stages after the first `kept` keep their resolution."""
    pools = [i for i, m in enumerate(network.features) if isinstance(m, nn.MaxPool2d)]
    for index in pools[kept:]:
        network.features[index] = nn.Identity()
    return network


def grouped8(old):
    inputs, outputs = old.in_channels, old.out_channels
    return nn.Conv2d(inputs, outputs, 3, old.stride, 1, groups=8, bias=False)


def separable(old):
    return separable_convolution(old.in_channels, old.out_channels, old.stride)


def compressed(network, replacement):
    """`network` with every 3x3 convolution but the first replaced."""
    named = [(name, m) for name, m in network.named_modules() if isinstance(m, nn.Conv2d)]
    for name, old in named[1:]:
        if old.kernel_size == (3, 3):
            place, _, last = name.rpartition(".")
            setattr(network.get_submodule(place), last, replacement(old))
    return network


def cost(network, side=32):
    macs = 0

    def count(module, _, output):
        nonlocal macs
        each = module.weight[0].numel()
        macs += each * output.numel()

    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(count)
    with torch.no_grad():
        network.eval()(torch.zeros(1, 3, side, side))
    return {"params": sum(p.numel() for p in network.parameters()), "macs": macs}


# Channels of the map that an exit hangs on and the map's side, shallow first, and after the last stage.
PLACES = {
    "resnet18": [(64, 32), (128, 16), (256, 8), (512, 4)],
    "vgg11": [(64, 16), (128, 8), (256, 4), (512, 2), (512, 1)],
}

ATTENTIONS = {
    "none": lambda channels: nn.Identity(),
    # Equation 12 of its paper for these widths.
    "eca": lambda channels: Eca(channels, 3 if channels == 64 else 5),
    "simam": lambda channels: SimAm(1e-4),
    "squeeze_excite": lambda channels: SqueezeExcite(channels, 16),
    "cbam": lambda channels: Cbam(channels, 16, 7),
    "spatial_group": lambda channels: SpatialGroup(channels, 64),
    "coordinate": lambda channels: Coordinate(channels, 32),
    "shuffle": lambda channels: Shuffle(channels, min(64, channels // 2)),
    "triplet": lambda channels: Triplet(7),
    "scan": ScanAttention,
    "tpami": TpamiAttention,
}


def exits(places):
    """Each kind of exit on each of the places but the last."""
    *maps, (width, last) = places
    widths = [channels for channels, _ in places]
    bottlenecks = {"byot": Byot, "scan": Scan}
    kinds = {
        name: [kind(c, width, side // last, CLASSES) for c, side in maps]
        for name, kind in bottlenecks.items()
    }
    chains = [(c, widths[number:]) for number, (c, _) in enumerate(maps, 1)]
    kinds["tpami"] = [Tpami(channels, chain, CLASSES) for channels, chain in chains]
    for name, attention in ATTENTIONS.items():
        light = [Light(c, width, CLASSES, attention(c)) for c, _ in maps]
        kinds[f"light ({name})"] = light
    eca = ATTENTIONS["eca"]
    kinds["chain (eca)"] = [Chain(c, late(c, side // last, width), CLASSES, eca(c)) for c, side in maps]
    return kinds


def late(channels, ratio, width):
    """Channels after each halving: kept by the first, then doubled, `width` after the last."""
    halvings = ratio.bit_length() - 1
    return [min(channels << number, width) for number in range(halvings - 1)] + [width]


def cost_of_exits(modules, places):
    total = {"params": 0, "macs": 0}
    for module, (channels, side) in zip(modules, places):
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), counter:
            module.eval()(torch.zeros(1, channels, side, side))
        total["params"] += sum(p.numel() for p in module.parameters())
        total["macs"] += counter.get_total_flops() // 2
    return total


if __name__ == "__main__":
    networks = {
        "resnet18/dense": resnet(18),
        "resnet18/grouped8": compressed(resnet(18), grouped8),
        "resnet18/depthwise_separable": compressed(resnet(18), separable),
        "resnet18/output_stride4": not_beyond_stride_4(resnet(18)),
        "resnet34/dense": resnet(34),
        "resnet50/dense": resnet(50),
        "resnet101/dense": resnet(101),
        "resnet152/dense": resnet(152),
        "vgg11/dense": vgg(11),
        "vgg11/grouped8": compressed(vgg(11), grouped8),
        "vgg11/depthwise_separable": compressed(vgg(11), separable),
        "vgg11/output_stride4": without_last_pools(vgg(11), 2),
        "vgg13/dense": vgg(13),
        "vgg16/dense": vgg(16),
        "vgg19/dense": vgg(19),
    }
    for width in (1.0, 0.75, 0.5, 0.35, 1.4):
        networks[f"mobilenet_v2/{width}"] = for_cifar(mobilenet_v2(width, CLASSES))
    costs = {name: cost(network) for name, network in networks.items()}
    large = {
        "resnet18/224": torchvision.models.resnet18(),
        "vgg11/224": quarter_vgg11(),
        "mobilenet_v2/224": torchvision.models.mobilenet_v2(),
    }
    costs |= {name: cost(network, 224) for name, network in large.items()}
    write_json("sd-models", "costs", costs)
    by_kind = {
        name: {kind: cost_of_exits(each, places) for kind, each in exits(places).items()}
        for name, places in PLACES.items()
    }
    write_json("sd-models", "exit_costs", by_kind)
