"""An image classifier with exits, in plain PyTorch; needs torch and safetensors alone.

    network = MultiExit.from_folder(".")
    pixels = ...                                    # bytes [N, C, H, W], RGB or grey
    logits = network(network.prepare(pixels))       # {"exit1": [N, K], …, "deepest": [N, K]}

Shapes are (channels, height, width) of one image's map. SPDX-License-Identifier: MIT OR Apache-2.0
"""

import json
from collections import OrderedDict
from itertools import count
from math import log2
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

Shape = tuple[int, int, int]
# A name, or one name with its options.
Choice = str | dict[str, Any]


def chosen(choice: Choice) -> tuple[str, dict[str, Any]]:
    return (choice, {}) if isinstance(choice, str) else next(iter(choice.items()))


def per_stage(choice: Any, stages: int) -> list[Any]:
    return choice if isinstance(choice, list) else [choice] * stages


def named(**layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(layers))


# Layers


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)


class BatchNormRelu(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).relu()


class BatchNormRelu6(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return F.relu6(super().forward(x))


class GlobalAverage(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


def conv_norm(
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int = 1,
    norm: Any = BatchNormRelu,
    groups: int = 1,
) -> nn.Sequential:
    return named(conv=conv(inputs, outputs, kernel, stride, groups), norm=norm(outputs))


class Grouped(nn.Conv2d):
    """A convolution in groups, whose outputs `shuffle` interleaves."""

    def __init__(self, inputs: int, outputs: int, stride: int, groups: int, shuffle: bool) -> None:
        super().__init__(inputs, outputs, 3, stride, 1, groups=groups, bias=False)
        self.shuffle = nn.ChannelShuffle(groups) if shuffle else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.shuffle(super().forward(x))


def separable(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return named(
        depthwise=conv(inputs, inputs, 3, stride, groups=inputs),
        norm=BatchNormRelu(inputs),
        pointwise=conv(inputs, outputs, 1),
    )


def separable_pair(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Twice depthwise, pointwise, batch norm, ReLU."""

    def half(outputs: int, stride: int) -> nn.Sequential:
        return named(
            depthwise=conv(inputs, inputs, 3, stride, groups=inputs),
            pointwise=conv(inputs, outputs, 1),
            norm=BatchNormRelu(outputs),
        )

    return named(first=half(inputs, stride), second=half(outputs, 1))


def convolution(choice: Choice, inputs: int, outputs: int, stride: int = 1) -> nn.Module:
    """A 3×3 convolution, dense or compressed."""
    kind, options = chosen(choice)
    if kind == "depthwise_separable":
        return separable(inputs, outputs, stride)
    if kind == "grouped":
        return Grouped(inputs, outputs, stride, options["groups"], options.get("shuffle", False))
    return conv(inputs, outputs, 3, stride)


# Attention: modules that scale a map


class Eca(nn.Conv1d):
    """x · σ(convolution over the channels' means), https://arxiv.org/abs/1910.03151."""

    def __init__(self, channels: int, kernel: int | None = None) -> None:
        kernel = kernel or int(abs(log2(channels) + 1) / 2) | 1
        super().__init__(1, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        weights = super().forward(x.mean((2, 3))[:, None]).sigmoid()[:, 0]
        return x * weights[:, :, None, None]


class SimAm(nn.Module):
    """x · σ(d² / (4 (v + λ)) + ½), v the variance over n - 1."""

    def __init__(self, lambda_: float) -> None:
        super().__init__()
        self.strength = lambda_

    def forward(self, x: Tensor) -> Tensor:
        variance = x.var((2, 3), unbiased=True, keepdim=True)
        distance = (x - x.mean((2, 3), keepdim=True)) ** 2
        return x * (distance / (4 * (variance + self.strength)) + 0.5).sigmoid()


class Excitation(nn.Module):
    """W₂ relu(W₁ rows)."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.squeeze = nn.Parameter(torch.randn(hidden, channels) / 2)
        self.excite = nn.Parameter(torch.randn(channels, hidden) / 2)

    def forward(self, rows: Tensor) -> Tensor:
        return F.linear(F.linear(rows, self.squeeze).relu(), self.excite)


class SqueezeExcite(Excitation):
    """Without biases, https://arxiv.org/abs/1709.01507, equation 3."""

    def forward(self, x: Tensor) -> Tensor:
        return x * super().forward(x.mean((2, 3))).sigmoid()[:, :, None, None]


class Cbam(nn.Module):
    """Channels, then positions, from mean and maximum, https://arxiv.org/abs/1807.06521."""

    def __init__(self, channels: int, reduction: int, kernel: int) -> None:
        super().__init__()
        self.channel = Excitation(channels, reduction)
        self.spatial = conv(2, 1, kernel)

    def forward(self, x: Tensor) -> Tensor:
        weights = self.channel(x.mean((2, 3))) + self.channel(x.amax((2, 3)))
        x = x * weights.sigmoid()[:, :, None, None]
        planes = torch.stack([x.mean(1), x.amax(1)], 1)
        return x * self.spatial(planes).sigmoid()


class SpatialGroup(nn.Module):
    """Each position by its likeness to the mean of its group, https://arxiv.org/abs/1905.09646."""

    def __init__(self, channels: int, groups: int | None = None) -> None:
        super().__init__()
        groups = groups or min(channels, 64)
        self.weight = nn.Parameter(torch.zeros(groups))
        self.bias = nn.Parameter(torch.ones(groups))

    def forward(self, x: Tensor) -> Tensor:
        parts = x.unflatten(1, (len(self.weight), -1))
        likeness = (parts.mean((3, 4), keepdim=True) * parts).sum(2)
        centred = likeness - likeness.mean((2, 3), keepdim=True)
        deviation = centred.square().mean((2, 3), keepdim=True).sqrt()
        scale, shift = self.weight[:, None, None], self.bias[:, None, None]
        weights = (scale * centred / (deviation + 1e-5) + shift).sigmoid()
        return (parts * weights[:, :, None]).flatten(1, 2)


class Coordinate(nn.Module):
    """Each value by its row and its column, https://arxiv.org/abs/2103.02907."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = max(8, channels // reduction)
        self.reduce = conv(channels, hidden, 1)
        self.norm = nn.BatchNorm2d(hidden)
        self.row = conv(hidden, channels, 1)
        self.column = conv(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        lines = torch.cat([x.mean(3), x.mean(2)], 2)[..., None]
        lines = F.hardswish(self.norm(self.reduce(lines)))
        rows, columns = lines.split([height, width], 2)
        rows, columns = self.row(rows).sigmoid(), self.column(columns).sigmoid()
        return x * rows * columns.transpose(2, 3)


class Gate(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.weight[:, None, None] + self.bias[:, None, None]).sigmoid()


class Shuffle(nn.Module):
    """Half of each group by channel, half by position, https://arxiv.org/abs/2102.00240."""

    def __init__(self, channels: int, groups: int | None = None) -> None:
        super().__init__()
        self.groups = groups or min(max(channels // 2, 1), 64)
        self.channel = Gate(channels // self.groups // 2)
        self.spatial = Gate(channels // self.groups // 2)

    def forward(self, x: Tensor) -> Tensor:
        parts = []
        for part in x.chunk(self.groups, 1):
            by_channel, by_position = part.chunk(2, 1)
            parts.append(by_channel * self.channel(by_channel.mean((2, 3), keepdim=True)))
            normalised = F.group_norm(by_position, by_position.shape[1])
            parts.append(by_position * self.spatial(normalised))
        return F.channel_shuffle(torch.cat(parts, 1), 2)


class Triplet(nn.Module):
    """The mean of three maps, each weighted along one axis, https://arxiv.org/abs/2010.03045."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        for axis in ("along_channels", "along_height", "along_width"):
            self.add_module(axis, conv_norm(2, 1, kernel, norm=nn.BatchNorm2d))

    def forward(self, x: Tensor) -> Tensor:
        maps = []
        for axis, branch in enumerate(self.children(), 1):
            planes = torch.stack([x.amax(axis), x.mean(axis)], 1)
            maps.append(x * branch(planes).sigmoid()[:, 0].unsqueeze(axis))
        return sum(maps) / 3


class ScanAttention(nn.Module):
    """That of https://arxiv.org/abs/1906.03951, cut to the input's size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down = conv_norm(channels, channels, 3, 2)
        self.up = nn.ConvTranspose2d(channels, channels, 4, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        return x * self.norm(self.up(self.down(x))[:, :, :height, :width]).sigmoid()


class TpamiAttention(nn.Module):
    """That of https://doi.org/10.1109/TPAMI.2021.3067100."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.separable = separable_pair(channels, channels, 2)
        self.norm = BatchNormRelu(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.separable(x))
        y = F.interpolate(y, size=x.shape[2:], mode="bilinear", align_corners=False)
        return x * y.sigmoid()


def attention(choice: Choice, channels: int) -> nn.Module:
    kind, options = chosen(choice)
    match kind:
        case "none":
            return nn.Identity()
        case "simam":
            return SimAm(options["lambda"])
        case "triplet":
            return Triplet(**options)
    kinds = {
        "eca": Eca,
        "squeeze_excite": SqueezeExcite,
        "cbam": Cbam,
        "spatial_group": SpatialGroup,
        "coordinate": Coordinate,
        "shuffle": Shuffle,
        "scan": ScanAttention,
        "tpami": TpamiAttention,
    }
    return kinds[kind](channels, **options)


# Backbones: stem and stages, and the head


def scaled(base: int, width: float) -> int:
    """`base · width` rounded to a multiple of 8, at least 8."""
    return max(1, int(base * width / 8 + 0.5)) * 8


class Residual(nn.Module):
    """relu(attention(branch(x)) + shortcut(x)), with two convolutions or a bottleneck of three."""

    def __init__(
        self, kind: Choice, attends: Choice, inputs: int, width: int, stride: int, bottleneck: bool
    ) -> None:
        super().__init__()
        outputs = 4 * width if bottleneck else width
        if bottleneck:
            convs = [
                conv(inputs, width, 1),
                convolution(kind, width, width, stride),
                conv(width, outputs, 1),
            ]
        else:
            convs = [convolution(kind, inputs, width, stride), convolution(kind, width, width)]
        self.depth = len(convs)
        for number, layer in enumerate(convs, 1):
            last = number == self.depth
            norm = nn.BatchNorm2d(outputs) if last else BatchNormRelu(width)
            self.add_module(f"conv{number}", layer)
            self.add_module(f"norm{number}", norm)
        self.attention = attention(attends, outputs)
        self.shortcut = nn.Identity()
        if inputs != outputs or stride != 1:
            self.shortcut = conv_norm(inputs, outputs, 1, stride, nn.BatchNorm2d)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for number in range(1, self.depth + 1):
            y = getattr(self, f"norm{number}")(getattr(self, f"conv{number}")(y))
        return (self.attention(y) + self.shortcut(x)).relu()


class InvertedResidual(nn.Module):
    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int) -> None:
        super().__init__()
        middle = inputs * expansion
        self.expand = nn.Identity()
        if expansion != 1:
            self.expand = conv_norm(inputs, middle, 1, norm=BatchNormRelu6)
        self.depthwise = conv_norm(middle, middle, 3, stride, BatchNormRelu6, groups=middle)
        self.project = conv_norm(middle, outputs, 1, norm=nn.BatchNorm2d)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.adds else y


def resnet(config: dict[str, Any], channels: int) -> nn.Sequential:
    deep, large, width = config["depth"] >= 50, config["stem"] == "large", config.get("width", 1.0)
    blocks = {18: (2, 2, 2, 2), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
    inputs, stride = scaled(64, width), 4 if large else 1
    output_stride = config.get("output_stride", 8 * stride)
    parts = {"stem": conv_norm(channels, inputs, 7 if large else 3, 2 if large else 1)}
    if large:
        parts["stem"].add_module("pool", nn.MaxPool2d(3, 2, 1))
    kinds, attentions = per_stage(config["conv"], 4), per_stage(config["attention"], 4)
    for stage, layers in enumerate(blocks.get(config["depth"], (3, 4, 6, 3))):
        outputs = scaled(64 << stage, width)
        step = 2 if stage > 0 and stride < output_stride else 1
        stride *= step
        residuals = []
        for block in range(layers):
            step = step if block == 0 else 1
            residuals.append(Residual(kinds[stage], attentions[stage], inputs, outputs, step, deep))
            inputs = 4 * outputs if deep else outputs
        parts[f"stage{stage + 1}"] = nn.Sequential(*residuals)
    return named(**parts)


def vgg(config: dict[str, Any], channels: int) -> nn.Sequential:
    """The stem is the first layer of the first stage."""
    extra = {11: (1, 1, 2, 2, 2), 13: (2,) * 5, 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
    width, output_stride = config.get("width", 1.0), config.get("output_stride", 32)
    kinds, attentions = per_stage(config["conv"], 5), per_stage(config["attention"], 5)
    inputs = scaled(64, width)
    parts = {"stem": conv_norm(channels, inputs, 3)}
    for stage, layers in enumerate(extra[config["depth"]]):
        outputs = scaled(64 << min(stage, 3), width)
        blocks: dict[str, nn.Module] = {}
        for layer in range(1 if stage == 0 else 0, layers):
            kernel = convolution(kinds[stage], inputs, outputs)
            blocks[str(layer)] = named(conv=kernel, norm=BatchNormRelu(outputs))
            inputs = outputs
        blocks["attention"] = attention(attentions[stage], outputs)
        if 1 << stage < output_stride:
            blocks["pool"] = nn.MaxPool2d(2)
        parts[f"stage{stage + 1}"] = named(**blocks)
    return named(**parts)


def mobilenet_v2(config: dict[str, Any], channels: int) -> nn.Sequential:
    def multiple_of_8(channels: float) -> int:
        nearest = max(1, int(channels / 8 + 0.5)) * 8
        return nearest if nearest >= 0.9 * channels else nearest + 8

    # Expansion, channels and blocks of each row of the paper's table 2, by resolution.
    rows = [
        [(1, 16, 1)],
        [(6, 24, 2)],
        [(6, 32, 3)],
        [(6, 64, 4), (6, 96, 3)],
        [(6, 160, 3), (6, 320, 1)],
    ]
    large, width = config["stem"] == "large", config.get("width", 1.0)
    inputs = multiple_of_8(32 * width)
    parts = {"stem": conv_norm(channels, inputs, 3, 2 if large else 1, BatchNormRelu6)}
    for stage, of_stage in enumerate(rows):
        blocks: dict[str, nn.Module] = {}
        stride = 2 if stage >= (1 if large else 2) else 1
        for expansion, base, layers in of_stage:
            for _ in range(layers):
                outputs = multiple_of_8(base * width)
                block = InvertedResidual(inputs, outputs, expansion, 1 if blocks else stride)
                blocks[str(len(blocks))] = block
                inputs = outputs
        if stage == 4:
            outputs = multiple_of_8(1280 * max(1.0, width))
            blocks["last"] = conv_norm(inputs, outputs, 1, norm=BatchNormRelu6)
        parts[f"stage{stage + 1}"] = named(**blocks)
    return named(**parts)


def linear_head(channels: int, classes: int) -> nn.Sequential:
    return named(pool=GlobalAverage(), linear=nn.Linear(channels, classes))


def classic_head(channels: int, classes: int, width: int, side: int) -> nn.Sequential:
    return named(
        pool=nn.AdaptiveAvgPool2d(side),
        flatten=nn.Flatten(),
        hidden1=nn.Linear(channels * side * side, width),
        relu1=nn.ReLU(),
        dropout1=nn.Dropout(),
        hidden2=nn.Linear(width, width),
        relu2=nn.ReLU(),
        dropout2=nn.Dropout(),
        linear=nn.Linear(width, classes),
    )


# Exits: from a map to logits, through features as wide as the last stage


def bottleneck_exit(shape: Shape, last: Shape, classes: int, middle: int) -> nn.Sequential:
    ratio = max(1, shape[1] // last[1])
    shrink = nn.Conv2d(middle, middle, ratio, ratio, bias=False)
    return named(
        reduce=conv_norm(shape[0], middle, 1),
        shrink=named(conv=shrink, norm=BatchNormRelu(middle)),
        expand=conv_norm(middle, last[0], 1),
        **linear_head(last[0], classes)._modules,
    )


def halved(shape: Shape, channels: int) -> Shape:
    return channels, (shape[1] + 1) // 2, (shape[2] + 1) // 2


def light_exit(
    shape: Shape, last: Shape, classes: int, attends: nn.Module, side: int
) -> nn.Sequential:
    """Attention, and a separable convolution with its map averaged to `side` between both halves."""
    reduce = separable(shape[0], last[0], 2)
    longer, shorter = sorted(halved(shape, shape[0])[1:], reverse=True)
    pool = nn.AvgPool2d(min((longer - 1) // side + 1, shorter))
    return named(
        attention=attends,
        reduce=named(
            depthwise=reduce.depthwise, norm=reduce.norm, pool=pool, pointwise=reduce.pointwise
        ),
        norm=BatchNormRelu(last[0]),
        **linear_head(last[0], classes)._modules,
    )


def chain_exit(shape: Shape, last: Shape, classes: int, attends: nn.Module) -> nn.Sequential:
    """Attention, and separable convolutions that halve the map to the last stage's size."""
    steps: dict[str, nn.Module] = {}
    wider, ends = shape[0], False
    for number in count(1):
        inputs, (_, height, width) = shape[0], halved(shape, shape[0])
        ends = height <= last[1] and width <= last[2]
        outputs = last[0] if ends else min(wider, last[0])
        layers = named(conv=separable(inputs, outputs, 2), norm=BatchNormRelu(outputs))
        steps[f"separable{number}"] = layers
        if ends:
            break
        shape, wider = (outputs, height, width), 2 * outputs
    return named(attention=attends, **steps, **linear_head(last[0], classes)._modules)


def tpami_exit(shape: Shape, last: Shape, classes: int) -> nn.Sequential:
    steps: dict[str, nn.Module] = {}
    attends = TpamiAttention(shape[0])
    while shape[1] > last[1] or shape[0] != last[0]:
        stride = 2 if shape[1] > last[1] else 1
        wider = min(2 * shape[0], last[0])
        after = halved(shape, wider) if stride == 2 else (wider, *shape[1:])
        outputs = wider if after[1] > last[1] else last[0]
        steps[f"separable{len(steps) + 1}"] = separable_pair(shape[0], outputs, stride)
        shape = (outputs, *after[1:])
    return named(attention=attends, **steps, **linear_head(last[0], classes)._modules)


def exit_on(choice: Choice, shape: Shape, last: Shape, classes: int) -> nn.Sequential:
    kind, options = chosen(choice)
    match kind:
        case "byot":
            return bottleneck_exit(shape, last, classes, max(1, last[0] // 4))
        case "scan":
            attends = named(attention=ScanAttention(shape[0]))
            body = bottleneck_exit(shape, last, classes, 128)
            return named(**attends._modules, **body._modules)
        case "tpami":
            return tpami_exit(shape, last, classes)
    attends = attention(options["attention"], shape[0])
    if kind == "light":
        return light_exit(shape, last, classes, attends, options["side"])
    return chain_exit(shape, last, classes, attends)


class MultiExit(nn.Module):
    """A backbone with exits, as `config.json` describes it, with random weights."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.config = config
        model, image, classes = config["model"], config["input"], len(config["label_names"])
        family, options = chosen(model["backbone"])
        build = {"resnet": resnet, "vgg": vgg, "mobilenet_v2": mobilenet_v2}[family]
        self.backbone = build(options, image["channels"])
        shapes = self._shapes(image)
        last = shapes[-1]
        match options.get("head", "linear"):
            case "linear":
                self.head = linear_head(last[0], classes)
            case head:
                width = scaled(4096, options.get("width", 1.0))
                self.head = classic_head(last[0], classes, width, 7 if head == "classic7x7" else 1)
        self._exits = {}
        exits = model.get("exits") or {"after": []}
        for number, stage in enumerate(exits["after"], 1):
            name = f"exit{number}"
            self._exits[f"stage{stage}"] = name
            self.add_module(name, exit_on(exits["kind"], shapes[stage - 1], last, classes))
        for name in ("mean", "deviation"):
            values = torch.tensor(image[name])[:, None, None]
            self.register_buffer(name, values, persistent=False)

    @classmethod
    def from_folder(cls, folder: str | Path) -> "MultiExit":
        """The network of an exported folder, for evaluation."""
        folder = Path(folder)
        network = cls(json.loads((folder / "config.json").read_text(encoding="utf-8")))
        weights = load_file(folder / "model.safetensors")
        if timm_layers := network.config.get("timm_layers"):
            own, renamed = network.state_dict(), {}
            for name, tensor in weights.items():
                layer, _, part = name.rpartition(".")
                name = f"{timm_layers[layer]}.{part}"
                # timm has biases of zero before batch norms, and linear layers as convolutions.
                if name in own:
                    renamed[name] = tensor.reshape(own[name].shape)
            weights = renamed
            if (folder / "exits.safetensors").exists():
                weights |= load_file(folder / "exits.safetensors")
        network.load_state_dict(weights)
        return network.eval()

    @property
    def exit_names(self) -> list[str]:
        """`exit1`, `exit2`, …, `deepest`."""
        return [*self._exits.values(), "deepest"]

    def forward(self, images: Tensor, until: str = "deepest") -> dict[str, Tensor]:
        """Logits [N, K] of the exits, shallow first, up to `until`, after which nothing runs."""
        if until not in self.exit_names:
            raise ValueError(f"until: found {until!r}, expected one of {self.exit_names}")
        logits: dict[str, Tensor] = {}
        x = images
        for place, stage in self.backbone.named_children():
            x = stage(x)
            if name := self._exits.get(place):
                logits[name] = getattr(self, name)(x)
                if name == until:
                    return logits
        logits["deepest"] = self.head(x)
        return logits

    def prepare(self, pixels: Tensor) -> Tensor:
        """Bytes [N, C, H, W] of any size as in training: resized, cropped, bordered, normalised."""
        image = self.config["input"]
        border, resize = image["border"], image["resize"]
        height, width = image["height"] - 2 * border, image["width"] - 2 * border
        size = height, width
        if resize != "triangle":
            shorter, shortest = resize["shorter_side"]["pixels"], min(pixels.shape[2:])
            size = tuple(shorter * side // shortest for side in pixels.shape[2:])
        if size != tuple(pixels.shape[2:]):
            pixels = F.interpolate(pixels, size, mode="bilinear", antialias=True)
        top, left = (round((size[0] - height) / 2), round((size[1] - width) / 2))
        pixels = pixels[:, :, top : top + height, left : left + width]
        return (F.pad(pixels, [border] * 4).to(self.mean) / 255 - self.mean) / self.deviation

    @torch.no_grad()
    def _shapes(self, image: dict[str, Any]) -> list[Shape]:
        """Shape of the map after each stage."""
        training, shapes = self.training, []
        self.eval()
        x = torch.zeros(1, image["channels"], image["height"], image["width"])
        for stage in self.backbone:
            x = stage(x)
            shapes.append(tuple(x.shape[1:]))
        self.train(training)
        return shapes[1:]
