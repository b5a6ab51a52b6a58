"""Golden numbers of sd-layers: python scripts/golden/layers.py

Each layer with torch.nn's modules, or as its paper's formula: the output for an input, and the
gradients of the input and of each parameter for an upstream gradient.
"""

import torch
from cases import Cases, gradients, normal, unlike_the_start, variables
from modeling import BatchNormRelu, Grouped, conv, separable
from torch import nn


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
    add(cases, "grouped", Grouped(8, 12, 1, groups=4, shuffle=False), True, *shape)
    add(cases, "grouped_shuffled", Grouped(8, 12, 2, groups=4, shuffle=True), True, *shape)
    add(cases, "depthwise_separable", separable(8, 12, 2), True, *shape)
    add(cases, "depthwise_separable_eval", separable(8, 12, 2), False, *shape)
    add(cases, "batch_norm", nn.BatchNorm2d(8), True, *shape)
    add(cases, "batch_norm_eval", nn.BatchNorm2d(8), False, *shape)
    add(cases, "batch_norm_relu", BatchNormRelu(8), True, *shape)
    add(cases, "batch_norm_relu_eval", BatchNormRelu(8), False, *shape)
    add(cases, "linear", nn.Linear(8, 5), True, 3, 8)
    cases.write("sd-layers", "layers")
