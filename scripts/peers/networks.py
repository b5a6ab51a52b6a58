"""The networks of this project in plain PyTorch, from the same configuration files.

Written as a PyTorch user would write them, so that the comparison is with PyTorch and not with a
translation of our code. `count.py` tells their parameters, which have to be ours.
"""

from functools import partial
from math import log2

from torch import nn


def take(table, context, *keys):
    """The values of `keys`; any other key in `table` is one that this file does not know."""
    unknown = set(table) - set(keys)
    if unknown:
        raise SystemExit(f"{context}: found {sorted(unknown)}, the peers know {sorted(keys)}")
    return [table.get(key) for key in keys]


def expect(context, found, expected):
    if found != expected:
        raise SystemExit(f"{context}: found {found!r}, the peers know {expected!r}")


def dense(inputs, outputs, kernel=3, stride=1, groups=1):
    padding = kernel // 2
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)


def separable(inputs, outputs, stride=1):
    return nn.Sequential(
        dense(inputs, inputs, stride=stride, groups=inputs),
        *norm_relu(inputs),
        dense(inputs, outputs, kernel=1),
    )


def convolution(config):
    """What makes a 3×3 convolution of the configured kind."""
    if config == "dense":
        return dense
    if config == "depthwise_separable":
        return separable
    (grouped,) = take(config, "conv", "grouped")
    groups, shuffle = take(grouped, "conv.grouped", "groups", "shuffle")
    expect("conv.grouped.shuffle", shuffle or False, False)
    return partial(dense, groups=groups)


def norm_relu(channels):
    return nn.BatchNorm2d(channels), nn.ReLU(inplace=True)


class Eca(nn.Module):
    """Efficient channel attention, its kernel from the number of channels."""

    def __init__(self, channels):
        super().__init__()
        kernel = int((log2(channels) + 1) / 2) | 1
        self.convolution = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, maps):
        means = maps.mean((2, 3)).unsqueeze(1)
        weights = self.convolution(means).sigmoid().squeeze(1)
        return maps * weights[..., None, None]


class Classifier(nn.Module):
    """A body, a global average and a linear layer; gives the average and the logits."""

    def __init__(self, body, width, classes):
        super().__init__()
        self.body = body
        self.linear = nn.Linear(width, classes)

    def forward(self, maps):
        feature = self.body(maps).mean((2, 3))
        return feature, self.linear(feature)


class PooledTo(nn.Module):
    """Average pool down to at most `side`."""

    def __init__(self, side):
        super().__init__()
        self.side = side

    def forward(self, maps):
        tile = -(-maps.shape[2] // self.side)
        return maps if tile == 1 else nn.functional.avg_pool2d(maps, tile)


def light(side):
    def build(channels, width, ratio, classes):
        body = nn.Sequential(
            Eca(channels),
            nn.Conv2d(channels, channels, 3, 2, 1, groups=channels, bias=False),
            *norm_relu(channels),
            PooledTo(side),
            nn.Conv2d(channels, width, 1, bias=False),
            *norm_relu(width),
        )
        return Classifier(body, width, classes)

    return build


def byot(channels, width, ratio, classes):
    middle = width // 4
    body = nn.Sequential(
        dense(channels, middle, kernel=1),
        *norm_relu(middle),
        nn.Conv2d(middle, middle, ratio, ratio, bias=False),
        *norm_relu(middle),
        dense(middle, width, kernel=1),
        *norm_relu(width),
    )
    return Classifier(body, width, classes)


def chain(channels, width, ratio, classes):
    layers, widest = [Eca(channels)], channels
    for left in reversed(range(max(1, int(log2(ratio))))):
        outputs = min(widest, width) if left else width
        layers += [separable(channels, outputs, stride=2), *norm_relu(outputs)]
        channels, widest = outputs, 2 * outputs
    return Classifier(nn.Sequential(*layers), width, classes)


def exit_kind(config):
    if isinstance(config, str):
        expect("exits.kind", config, "byot")
        return byot
    light_exit, chain_exit = take(config, "exits.kind", "light", "chain")
    kind, values = ("light", light_exit) if light_exit else ("chain", chain_exit)
    attention, side = take(values, f"exits.kind.{kind}", "attention", "side")
    expect(f"exits.kind.{kind}.attention", attention, {"eca": {}})
    return light(side or 1) if light_exit else chain


class Residual(nn.Module):
    def __init__(self, conv, attention, inputs, outputs, stride):
        super().__init__()
        self.branch = nn.Sequential(
            conv(inputs, outputs, stride=stride),
            *norm_relu(outputs),
            conv(outputs, outputs),
            nn.BatchNorm2d(outputs),
            *attention(outputs),
        )
        self.shortcut = nn.Sequential()
        if inputs != outputs or stride != 1:
            projection = dense(inputs, outputs, kernel=1, stride=stride)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(outputs))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, maps):
        return self.relu(self.branch(maps) + self.shortcut(maps))


def resnet18(config):
    """Stem and stages with their channels and strides; images of about 32×32."""
    depth, stem, conv, attention, width, output_stride = take(
        config, "resnet", "depth", "stem", "conv", "attention", "width", "output_stride"
    )
    for name, found, expected in [
        ("depth", depth, 18),
        ("width", width or 1, 1),
        ("stem", stem, "small"),
    ]:
        expect(f"resnet.{name}", found, expected)
    stem = nn.Sequential(dense(3, 64), *norm_relu(64))
    stages, inputs, reached = [], 64, 1
    sizes = zip((64, 128, 256, 512), by_stage(conv, 4), by_stage(attention, 4))
    for index, (outputs, conv, weighs) in enumerate(sizes):
        stride = 2 if index > 0 and reached < (output_stride or 8) else 1
        reached *= stride
        weigh = attention_layers("resnet.attention", weighs)
        conv = convolution(conv)
        first = Residual(conv, weigh, inputs, outputs, stride)
        blocks = nn.Sequential(first, Residual(conv, weigh, outputs, outputs, 1))
        stages.append((blocks, outputs, reached))
        inputs = outputs
    return stem, stages


def vgg11(config):
    """Stem and stages with their channels and strides; the stem is the first convolution."""
    depth, head, conv, attention, width, output_stride = take(
        config, "vgg", "depth", "head", "conv", "attention", "width", "output_stride"
    )
    for name, found, expected in [
        ("depth", depth, 11),
        ("head", head, "linear"),
        ("width", width or 1, 1),
    ]:
        expect(f"vgg.{name}", found, expected)
    stem = nn.Sequential(dense(3, 64), *norm_relu(64))
    stages, inputs, reached = [], 64, 1
    sizes = ((64, 0), (128, 1), (256, 2), (512, 2), (512, 2))
    sizes = zip(sizes, by_stage(conv, 5), by_stage(attention, 5))
    for (outputs, count), conv, weighs in sizes:
        layers = []
        for _ in range(count):
            layers += [convolution(conv)(inputs, outputs), *norm_relu(outputs)]
            inputs = outputs
        layers += attention_layers("vgg.attention", weighs)(outputs)
        if reached < (output_stride or 32):
            layers.append(nn.MaxPool2d(2))
            reached *= 2
        stages.append((nn.Sequential(*layers), outputs, reached))
    return stem, stages


def by_stage(value, stages):
    """One value for all stages, or a list with one for each."""
    return value if isinstance(value, list) else [value] * stages


def attention_layers(context, attention):
    """What makes the layers of an attention for a number of channels: none, or ECA."""
    if attention == "none":
        return lambda channels: ()
    expect(context, attention, {"eca": {}})
    return lambda channels: (Eca(channels),)


class MultiExit(nn.Module):
    """A backbone, exits after some of its stages, and the classifier after the last."""

    def __init__(self, config, classes):
        super().__init__()
        backbone, exits = take(config, "model", "backbone", "exits")
        resnet, vgg = take(backbone, "model.backbone", "resnet", "vgg")
        self.stem, stages = resnet18(resnet) if resnet else vgg11(vgg)
        self.stages = nn.ModuleList(stage for stage, _, _ in stages)
        _, width, last = stages[-1]
        self.classifiers = nn.ModuleDict()
        if exits:
            after, kind = take(exits, "model.exits", "after", "kind")
            make = exit_kind(kind)
            for stage in after:
                _, channels, stride = stages[stage - 1]
                exit = make(channels, width, last // stride, classes)
                self.classifiers[str(stage - 1)] = exit
        head = Classifier(nn.Identity(), width, classes)
        self.classifiers[str(len(stages) - 1)] = head

    def exit_names(self):
        shallow = len(self.classifiers) - 1
        return [f"exit{number + 1}" for number in range(shallow)] + ["deepest"]

    def forward(self, images):
        """Feature and logits of every exit in 32 bits, shallow first."""
        maps, outputs = self.stem(images), []
        for index, stage in enumerate(self.stages):
            maps = stage(maps)
            if str(index) in self.classifiers:
                feature, logits = self.classifiers[str(index)](maps)
                outputs.append((feature.float(), logits.float()))
        return outputs

    def forward_until(self, images, exit):
        """Logits of one exit alone."""
        last = list(self.classifiers)[exit]
        maps = self.stem(images)
        for stage in self.stages[: int(last) + 1]:
            maps = stage(maps)
        return self.classifiers[last](maps)[1].float()
