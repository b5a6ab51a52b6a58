"""Golden numbers of sd-layers: python scripts/golden/layers.py

Each layer with torch.nn's modules, or as its paper's formula: the output for an input, and the
gradients of the input and of each parameter for an upstream gradient.
"""

import torch
from cases import Cases, gradients, normal, unlike_the_start, variables
from torch import nn


def conv(inputs, outputs, kernel, stride=1, groups=1):
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)


class Grouped(nn.Conv2d):
    def __init__(self, inputs, outputs, kernel, stride, groups, shuffle):
        super().__init__(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.shuffle = nn.ChannelShuffle(groups) if shuffle else nn.Identity()

    def forward(self, x):
        return self.shuffle(super().forward(x))


class BatchNormRelu(nn.BatchNorm2d):
    def forward(self, x):
        return super().forward(x).relu()


class DepthwiseSeparable(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride):
        super().__init__()
        self.depthwise = conv(inputs, inputs, kernel, stride, groups=inputs)
        self.norm = BatchNormRelu(inputs)
        self.pointwise = conv(inputs, outputs, 1)

    def forward(self, x):
        return self.pointwise(self.norm(self.depthwise(x)))


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


class SqueezeExcite(nn.Module):
    """Equation 3 of the paper, without biases."""

    def __init__(self, channels, reduction):
        super().__init__()
        self.squeeze = nn.Parameter(torch.randn(channels // reduction, channels) / 2)
        self.excite = nn.Parameter(torch.randn(channels, channels // reduction) / 2)

    def forward(self, x):
        weights = (self.excite @ (self.squeeze @ x.mean((2, 3)).T).relu()).T.sigmoid()
        return x * weights[:, :, None, None]


def add(cases, case, layer, train, *input_shape):
    layer = unlike_the_start(layer).train(train)
    weights = variables(layer)
    x = normal(*input_shape).requires_grad_()
    output = layer(x)
    upstream = normal(*output.shape)
    (output * upstream).sum().backward()
    parts = {"weights": weights, "gradients": gradients(layer)}
    parts["after"] = {k: v for k, v in variables(layer).items() if "running" in k}
    cases.add(case, input=x, upstream=upstream, output=output, input_gradient=x.grad, **parts)


if __name__ == "__main__":
    torch.manual_seed(0)
    cases = Cases()
    shape = (2, 8, 7, 6)
    add(cases, "dense", conv(8, 12, 3, 2), True, *shape)
    add(cases, "grouped", Grouped(8, 12, 3, 1, groups=4, shuffle=False), True, *shape)
    add(cases, "grouped_shuffled", Grouped(8, 12, 3, 2, groups=4, shuffle=True), True, *shape)
    add(cases, "depthwise_separable", DepthwiseSeparable(8, 12, 3, 2), True, *shape)
    add(cases, "depthwise_separable_eval", DepthwiseSeparable(8, 12, 3, 2), False, *shape)
    add(cases, "eca", Eca(3), True, *shape)
    add(cases, "simam", SimAm(), True, *shape)
    add(cases, "squeeze_excite", SqueezeExcite(8, 2), True, *shape)
    add(cases, "batch_norm", nn.BatchNorm2d(8), True, *shape)
    add(cases, "batch_norm_eval", nn.BatchNorm2d(8), False, *shape)
    add(cases, "batch_norm_relu", BatchNormRelu(8), True, *shape)
    add(cases, "batch_norm_relu_eval", BatchNormRelu(8), False, *shape)
    add(cases, "linear", nn.Linear(8, 5), True, 3, 8)
    cases.write("sd-layers", "layers")
