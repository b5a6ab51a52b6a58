"""Golden numbers of how layers start: python scripts/golden/initialisation.py

What torch.nn draws for layers of the same shape, from the seed that the test sets too. Both draw
with the same generator of libtorch, so the numbers are the same and not only their distribution;
the bound is U(-bound, bound)'s.
"""

import torch
from cases import write_json
from modeling import Eca, conv
from torch import nn

SEED = 7


def statistics(name, make):
    torch.manual_seed(SEED)
    layer = make()
    fan_in = nn.init._calculate_fan_in_and_fan_out(layer.weight)[0]
    drawn = {}
    for variable, tensor in layer.named_parameters():
        x = tensor.detach().double()
        drawn[variable] = {
            "min": x.min().item(),
            "max": x.max().item(),
            "mean": x.mean().item(),
            "deviation": x.std().item(),
        }
    return {"name": name, "bound": fan_in**-0.5, "variables": drawn}


if __name__ == "__main__":
    layers = [
        statistics("dense", lambda: conv(64, 128, 3)),
        statistics("grouped", lambda: conv(64, 128, 3, groups=8)),
        statistics("depthwise", lambda: conv(512, 512, 3, groups=512)),
        statistics("eca", lambda: Eca(8, 5)),
        statistics("linear", lambda: nn.Linear(512, 4096)),
    ]
    write_json("sd-layers", "initialisation", {"seed": SEED, "layers": layers})
