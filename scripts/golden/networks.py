"""Golden numbers of sd-models: python scripts/golden/networks.py

Exits, stages of residual blocks, and small whole networks with exits, in plain PyTorch with the
names that the Rust crates give their variables: features and logits from the same weights, while
training and in evaluation.
"""

import torch
from cases import Cases, normal, unlike_the_start, variables
from modeling import (
    BatchNormRelu,
    Eca,
    Grouped,
    ScanAttention,
    SqueezeExcite,
    TpamiAttention,
    conv,
    separable,
    separable_pair,
)
from torch import nn


def dense(inputs, outputs, stride):
    return conv(inputs, outputs, 3, stride)


def grouped4(inputs, outputs, stride):
    return Grouped(inputs, outputs, stride, groups=4, shuffle=True)


def conv_norm(inputs, outputs, kernel, stride, norm=BatchNormRelu):
    # A window that is as wide as its step tiles the map.
    padding = 0 if kernel == stride else kernel // 2
    layer = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
    return nn.ModuleDict({"conv": layer, "norm": norm(outputs)})


def through(modules, x):
    for module in modules.values():
        x = module(x)
    return x


class Byot(nn.Module):
    """Be Your Own Teacher's bottleneck."""

    def __init__(self, channels, width, ratio, classes, middle=None):
        super().__init__()
        middle = middle or width // 4
        self.reduce = conv_norm(channels, middle, 1, 1)
        self.shrink = conv_norm(middle, middle, ratio, ratio)
        self.expand = conv_norm(middle, width, 1, 1)
        self.linear = nn.Linear(width, classes)

    def forward(self, x):
        for part in (self.reduce, self.shrink, self.expand):
            x = through(part, x)
        feature = x.mean((2, 3))
        return feature, self.linear(feature)


class Scan(Byot):
    """SCAN's attention before the bottleneck with M = 128."""

    def __init__(self, channels, width, ratio, classes):
        super().__init__(channels, width, ratio, classes, middle=128)
        self.attention = ScanAttention(channels)

    def forward(self, x):
        return super().forward(self.attention(x))


class Tpami(nn.Module):
    """Attention and a chain of separable convolutions: `widths` after each, the map halved by
    each."""

    def __init__(self, channels, widths, classes, stride=2):
        super().__init__()
        self.attention = TpamiAttention(channels)
        self.chain = len(widths)
        for number, width in enumerate(widths, 1):
            self.add_module(f"separable{number}", separable_pair(channels, width, stride))
            channels = width
        self.linear = nn.Linear(channels, classes)

    def forward(self, x):
        x = self.attention(x)
        for number in range(1, self.chain + 1):
            x = getattr(self, f"separable{number}")(x)
        feature = x.mean((2, 3))
        return feature, self.linear(feature)


class Light(nn.Module):
    """Attention, a depthwise-separable reduction, pooled to `side` between its halves, linear."""

    def __init__(self, channels, width, classes, attention, side=1):
        super().__init__()
        self.attention = attention
        self.reduce = separable(channels, width, 2)
        self.norm = BatchNormRelu(width)
        self.linear = nn.Linear(width, classes)
        self.side = side

    def forward(self, x):
        x = self.reduce.norm(self.reduce.depthwise(self.attention(x)))
        tile = -(-x.shape[2] // self.side)
        x = nn.functional.avg_pool2d(x, tile, tile)
        feature = self.norm(self.reduce.pointwise(x)).mean((2, 3))
        return feature, self.linear(feature)


class Chain(nn.Module):
    """Attention, and depthwise-separable convolutions that halve the map, `widths` after each,
    linear."""

    def __init__(self, channels, widths, classes, attention):
        super().__init__()
        self.attention = attention
        self.chain = len(widths)
        for number, width in enumerate(widths, 1):
            step = {"conv": separable(channels, width, 2), "norm": BatchNormRelu(width)}
            self.add_module(f"separable{number}", nn.ModuleDict(step))
            channels = width
        self.linear = nn.Linear(channels, classes)

    def forward(self, x):
        x = self.attention(x)
        for number in range(1, self.chain + 1):
            x = through(getattr(self, f"separable{number}"), x)
        feature = x.mean((2, 3))
        return feature, self.linear(feature)


class Residual(nn.Module):
    """Basic block or bottleneck: `layers` by name, attention before the sum."""

    def __init__(self, layers, inputs, outputs, stride, attention):
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.branch = list(layers)
        self.attention = attention
        if inputs != outputs or stride != 1:
            self.shortcut = conv_norm(inputs, outputs, 1, stride, nn.BatchNorm2d)

    def forward(self, x):
        y = x
        for name in self.branch:
            y = getattr(self, name)(y)
        shortcut = through(self.shortcut, x) if hasattr(self, "shortcut") else x
        return (self.attention(y) + shortcut).relu()


def basic(kind, inputs, width, stride, attention=None):
    layers = {
        "conv1": kind(inputs, width, stride),
        "norm1": BatchNormRelu(width),
        "conv2": kind(width, width, 1),
        "norm2": nn.BatchNorm2d(width),
    }
    return Residual(layers, inputs, width, stride, attention or nn.Identity())


def bottleneck(kind, inputs, width, stride, attention=None):
    layers = {
        "conv1": conv(inputs, width, 1),
        "norm1": BatchNormRelu(width),
        "conv2": kind(width, width, stride),
        "norm2": BatchNormRelu(width),
        "conv3": conv(width, 4 * width, 1),
        "norm3": nn.BatchNorm2d(4 * width),
    }
    return Residual(layers, inputs, 4 * width, stride, attention or nn.Identity())


class Linear(nn.Module):
    """The head: pool, linear."""

    def __init__(self, width, classes):
        super().__init__()
        self.linear = nn.Linear(width, classes)

    def forward(self, x):
        feature = x.mean((2, 3))
        return feature, self.linear(feature)


class Network(nn.Module):
    """A stem, stages, a head, and exits after some of the stages."""

    def __init__(self, stem, stages, head, exits):
        super().__init__()
        self.backbone = nn.ModuleDict({"stem": stem})
        for number, stage in enumerate(stages, 1):
            self.backbone[f"stage{number}"] = stage
        self.head = head
        self.after = {}
        for number, (stage, shallow) in enumerate(exits.items(), 1):
            self.add_module(f"exit{number}", shallow)
            self.after[f"stage{stage}"] = f"exit{number}"

    def forward(self, x):
        """Features and logits of all exits, shallow first: [exits, N, D] and [exits, N, K]."""
        x = through(self.backbone["stem"], x)
        outputs = []
        for name, stage in self.backbone.items():
            if name == "stem":
                continue
            x = stage(x)
            if name in self.after:
                outputs.append(getattr(self, self.after[name])(x))
        outputs.append(self.head(x))
        features, logits = zip(*outputs)
        return torch.stack(features), torch.stack(logits)


def blocks(*residuals):
    return nn.Sequential(*residuals)


def resnet18(kind, widths, classes, exits):
    stages, inputs = [], widths[0]
    for index, width in enumerate(widths):
        stride = 1 if index == 0 else 2
        stages.append(blocks(basic(kind, inputs, width, stride), basic(kind, width, width, 1)))
        inputs = width
    return Network(conv_norm(3, widths[0], 3, 1), stages, Linear(widths[-1], classes), exits)


class VggStage(nn.Module):
    """Convolutions with norms, numbered, then a max pool. The stem is stage 1's first."""

    def __init__(self, kind, inputs, width, layers):
        super().__init__()
        for number in layers:
            layer = nn.ModuleDict({"conv": kind(inputs, width, 1), "norm": BatchNormRelu(width)})
            self.add_module(str(number), layer)
            inputs = width

    def forward(self, x):
        for layer in self.children():
            x = through(layer, x)
        return nn.functional.max_pool2d(x, 2)


def vgg11(kind, widths, classes, exits):
    stages, inputs = [], widths[0]
    for width, layers in zip(widths, ([], [0], [0, 1], [0, 1], [0, 1])):
        stages.append(VggStage(kind, inputs, width, layers))
        inputs = width
    return Network(conv_norm(3, widths[0], 3, 1), stages, Linear(widths[-1], classes), exits)


def add(cases, case, module, *input_shape):
    """Evaluation first: training moves the running statistics."""
    module = unlike_the_start(module)
    weights, x = variables(module), normal(*input_shape)
    parts = {}
    for mode in ("eval", "train"):
        output = module.train(mode == "train")(x)
        features_logits = output if isinstance(output, tuple) else (output,)
        names = ("features", "logits") if len(features_logits) == 2 else ("map",)
        parts |= {f"{name}_{mode}": value for name, value in zip(names, features_logits)}
    after = {k: v for k, v in variables(module).items() if "running" in k}
    cases.add(case, input=x, weights=weights, after=after, **parts)


if __name__ == "__main__":
    torch.manual_seed(0)

    exits = Cases()
    add(exits, "byot", Byot(8, 16, ratio=4, classes=5), 4, 8, 8, 8)
    add(exits, "byot_at_the_last_size", Byot(8, 16, ratio=1, classes=5), 4, 8, 2, 2)
    add(exits, "scan", Scan(8, 16, ratio=1, classes=5), 4, 8, 2, 2)
    add(exits, "tpami", Tpami(8, [16, 16], 5), 4, 8, 8, 8)
    add(exits, "tpami_odd", Tpami(8, [16, 16], 5), 4, 8, 7, 7)
    add(exits, "tpami_at_the_last_size", Tpami(8, [16], 5, stride=1), 4, 8, 2, 2)
    add(exits, "light", Light(8, 16, 5, Eca(8, 3)), 4, 8, 8, 8)
    add(exits, "light_side_2", Light(8, 16, 5, Eca(8, 3), side=2), 4, 8, 8, 8)
    add(exits, "light_squeeze_excite", Light(8, 16, 5, SqueezeExcite(8, 4)), 4, 8, 8, 8)
    add(exits, "chain", Chain(8, [8, 16, 16], 5, Eca(8, 3)), 4, 8, 16, 16)
    add(exits, "chain_odd", Chain(8, [8, 16], 5, Eca(8, 3)), 4, 8, 7, 7)
    add(exits, "chain_at_the_last_size", Chain(8, [16], 5, Eca(8, 3)), 4, 8, 2, 2)
    exits.write("sd-models", "exits")

    stages = Cases()
    shapes = 2, 8, 8, 8
    add(stages, "basic_stage1", blocks(basic(dense, 8, 8, 1), basic(dense, 8, 8, 1)), *shapes)
    halved = blocks(
        basic(separable, 8, 16, 2, SqueezeExcite(16, 4)),
        basic(separable, 16, 16, 1, SqueezeExcite(16, 4)),
    )
    add(stages, "basic_stage2", halved, *shapes)
    widened = [bottleneck(grouped4, inputs, 8, 1) for inputs in (8, 32, 32)]
    add(stages, "bottleneck_stage1", blocks(*widened), *shapes)
    stages.write("sd-models", "stages")

    networks = Cases()
    shallow = {2: Byot(8, 16, ratio=4, classes=5), 3: Byot(8, 16, ratio=2, classes=5)}
    network = resnet18(grouped4, (8, 8, 8, 16), 5, shallow)
    add(networks, "resnet18", network, 4, 3, 16, 16)
    shallow = {2: Light(8, 16, 5, Eca(8, 3)), 4: Light(16, 16, 5, Eca(8, 3))}
    network = vgg11(separable, (8, 8, 8, 16, 16), 5, shallow)
    add(networks, "vgg11", network, 4, 3, 32, 32)
    networks.write("sd-models", "networks")
