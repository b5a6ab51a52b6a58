"""Golden numbers of sd-layers' attention: python scripts/golden/attention.py

Each as its paper's formula, with the names that the Rust crate gives its variables: the output for
an input, and the gradients of the input and of each parameter for an upstream gradient.
"""

import torch
from cases import Cases
from layers import BatchNormRelu, add, conv
from torch import nn
from torch.nn import functional as F


class Eca(nn.Conv1d):
    """Equations 5 and 9 of the paper: x · σ(convolution over the channels' means)."""

    def __init__(self, kernel):
        super().__init__(1, 1, kernel, padding=kernel // 2, bias=False)

    def forward(self, x):
        weights = super().forward(x.mean((2, 3))[:, None]).sigmoid()[:, 0]
        return x * weights[:, :, None, None]


class SimAm(nn.Module):
    """The paper's listing: x · σ(d² / (4 (v + λ)) + ½), v the variance over n - 1."""

    def __init__(self, strength=1e-4):
        super().__init__()
        self.strength = strength

    def forward(self, x):
        variance = x.var((2, 3), unbiased=True, keepdim=True)
        distance = (x - x.mean((2, 3), keepdim=True)) ** 2
        return x * (distance / (4 * (variance + self.strength)) + 0.5).sigmoid()


class Excitation(nn.Module):
    """W₂ relu(W₁ rows)."""

    def __init__(self, channels, reduction):
        super().__init__()
        hidden = max(1, channels // reduction)
        self.squeeze = nn.Parameter(torch.randn(hidden, channels) / 2)
        self.excite = nn.Parameter(torch.randn(channels, hidden) / 2)

    def forward(self, rows):
        return (self.excite @ (self.squeeze @ rows.T).relu()).T


class SqueezeExcite(Excitation):
    """Equation 3 of the paper, without biases."""

    def forward(self, x):
        return x * super().forward(x.mean((2, 3))).sigmoid()[:, :, None, None]


class Cbam(nn.Module):
    """Equations 2 and 3 of the paper: channels from mean and maximum through the same layers, then
    positions from the mean and maximum over the channels."""

    def __init__(self, channels, reduction=16, kernel=7):
        super().__init__()
        self.channel = Excitation(channels, reduction)
        self.spatial = conv(2, 1, kernel)

    def forward(self, x):
        weights = self.channel(x.mean((2, 3))) + self.channel(x.amax((2, 3)))
        x = x * weights.sigmoid()[:, :, None, None]
        planes = torch.stack([x.mean(1), x.amax(1)], 1)
        return x * self.spatial(planes).sigmoid()


class SpatialGroup(nn.Module):
    """As the paper has it, group by group: c = g · x at each position with g the group's
    mean; ĉ = (c - mean) / (deviation + ε) over the positions; x · σ(γ ĉ + β)."""

    def __init__(self, groups):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(groups))
        self.bias = nn.Parameter(torch.ones(groups))

    def forward(self, x):
        parts = []
        for part, scale, shift in zip(x.chunk(len(self.weight), 1), self.weight, self.bias):
            likeness = (part.mean((2, 3), keepdim=True) * part).sum(1)
            centred = likeness - likeness.mean((1, 2), keepdim=True)
            deviation = centred.square().mean((1, 2), keepdim=True).sqrt()
            weights = (scale * centred / (deviation + 1e-5) + shift).sigmoid()
            parts.append(part * weights[:, None])
        return torch.cat(parts, 1)


class Coordinate(nn.Module):
    """As the paper has it, with the authors' hard swish for δ."""

    def __init__(self, channels, reduction=32):
        super().__init__()
        hidden = max(8, channels // reduction)
        self.reduce = conv(channels, hidden, 1)
        self.norm = nn.BatchNorm2d(hidden)
        self.row = conv(hidden, channels, 1)
        self.column = conv(hidden, channels, 1)

    def forward(self, x):
        height, width = x.shape[2:]
        lines = torch.cat([x.mean(3), x.mean(2)], 2)[..., None]
        lines = F.hardswish(self.norm(self.reduce(lines)))
        rows, columns = lines.split([height, width], 2)
        rows, columns = self.row(rows).sigmoid(), self.column(columns).sigmoid()
        return x * rows * columns.transpose(2, 3)


class Gate(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.ones(channels))

    def forward(self, x):
        return (x * self.weight[:, None, None] + self.bias[:, None, None]).sigmoid()


class Shuffle(nn.Module):
    """As the paper has it, group by group, then torch's channel shuffle of two groups.
    The paper's group norm has as many groups as channels; its own scale and shift are those of W₂
    and b₂ once more."""

    def __init__(self, channels, groups):
        super().__init__()
        self.groups = groups
        self.channel = Gate(channels // groups // 2)
        self.spatial = Gate(channels // groups // 2)

    def forward(self, x):
        parts = []
        for part in x.chunk(self.groups, 1):
            by_channel, by_position = part.chunk(2, 1)
            parts.append(by_channel * self.channel(by_channel.mean((2, 3), keepdim=True)))
            normalised = F.group_norm(by_position, by_position.shape[1])
            parts.append(by_position * self.spatial(normalised))
        return F.channel_shuffle(torch.cat(parts, 1), 2)


class Triplet(nn.Module):
    """As the paper has it: for each axis, the largest and the mean along it through a
    convolution and batch norm, σ; the mean of the three weighted maps."""

    def __init__(self, kernel=7):
        super().__init__()
        for name in ("along_channels", "along_height", "along_width"):
            layers = {"conv": conv(2, 1, kernel), "norm": nn.BatchNorm2d(1)}
            self.add_module(name, nn.ModuleDict(layers))

    def forward(self, x):
        maps = []
        for axis, branch in enumerate(self.children(), 1):
            planes = torch.stack([x.amax(axis), x.mean(axis)], 1)
            weights = branch["norm"](branch["conv"](planes)).sigmoid()[:, 0]
            maps.append(x * weights.unsqueeze(axis))
        return sum(maps) / 3


class ScanAttention(nn.Module):
    """SCAN's, without the biases that its batch norms take away; cut to the input's size."""

    def __init__(self, channels):
        super().__init__()
        down = {"conv": conv(channels, channels, 3, 2), "norm": BatchNormRelu(channels)}
        self.down = nn.ModuleDict(down)
        self.up = nn.ConvTranspose2d(channels, channels, 4, 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x):
        height, width = x.shape[2:]
        y = self.up(self.down["norm"](self.down["conv"](x)))
        return x * self.norm(y[:, :, :height, :width]).sigmoid()


class SeparablePair(nn.Module):
    """Twice depthwise, pointwise, batch norm, ReLU."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        for name, outputs, stride in (("first", inputs, stride), ("second", outputs, 1)):
            layers = {
                "depthwise": conv(inputs, inputs, 3, stride, groups=inputs),
                "pointwise": conv(inputs, outputs, 1),
                "norm": BatchNormRelu(outputs),
            }
            self.add_module(name, nn.ModuleDict(layers))

    def forward(self, x):
        for pair in self.children():
            for layer in pair.values():
                x = layer(x)
        return x


class TpamiAttention(nn.Module):
    """That of SCAN's journal version."""

    def __init__(self, channels):
        super().__init__()
        self.separable = SeparablePair(channels, channels, 2)
        self.norm = BatchNormRelu(channels)

    def forward(self, x):
        y = self.norm(self.separable(x))
        y = F.interpolate(y, size=x.shape[2:], mode="bilinear", align_corners=False)
        return x * y.sigmoid()


if __name__ == "__main__":
    torch.manual_seed(0)
    cases = Cases()
    odd, even = (2, 8, 7, 6), (2, 8, 6, 6)
    add(cases, "eca", Eca(3), True, *odd)
    add(cases, "simam", SimAm(), True, *odd)
    add(cases, "squeeze_excite", SqueezeExcite(8, 2), True, *odd)
    add(cases, "cbam", Cbam(8, reduction=2), True, *odd)
    add(cases, "cbam_kernel_3", Cbam(8, reduction=4, kernel=3), True, *odd)
    add(cases, "spatial_group", SpatialGroup(8), True, *odd)
    add(cases, "spatial_group_of_2", SpatialGroup(4), True, *odd)
    add(cases, "coordinate", Coordinate(8), True, *odd)
    add(cases, "coordinate_eval", Coordinate(8), False, *odd)
    add(cases, "shuffle", Shuffle(8, 4), True, *odd)
    add(cases, "shuffle_2", Shuffle(8, 2), True, *odd)
    add(cases, "triplet", Triplet(), True, *odd)
    add(cases, "triplet_eval_kernel_3", Triplet(kernel=3), False, *odd)
    for name, layer in (("scan", ScanAttention), ("tpami", TpamiAttention)):
        add(cases, name, layer(8), True, *even)
        add(cases, f"{name}_odd", layer(8), True, *odd)
        add(cases, f"{name}_eval", layer(8), False, *even)
    cases.write("sd-layers", "attention")
