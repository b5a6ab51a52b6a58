"""Golden numbers of the optimiser: python scripts/golden/optimiser.py

torch.optim.SGD with two groups, weights that decay and the rest that does not, for twenty steps
with a learning rate that falls on the way. The gradients are given, so that only the update counts.
"""

import torch
from cases import Cases, normal

STEPS = 20
SHAPES = {
    "conv.weight": (4, 3, 3, 3),
    "norm.weight": (4,),
    "linear.weight": (3, 4),
    "linear.bias": (3,),
}


def add(cases, case, nesterov):
    parameters = {name: normal(*shape).requires_grad_() for name, shape in SHAPES.items()}
    weights = {name: value.detach().clone() for name, value in parameters.items()}
    gradients = {name: normal(STEPS, *shape) for name, shape in SHAPES.items()}
    decaying = [value for name, value in parameters.items() if value.dim() > 1]
    others = [value for name, value in parameters.items() if value.dim() == 1]
    groups = [{"params": decaying, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=nesterov)
    rates = 0.1 * 0.9 ** torch.arange(STEPS, dtype=torch.float64)
    after = {name: [] for name in SHAPES}
    for step in range(STEPS):
        for group in optimiser.param_groups:
            group["lr"] = rates[step].item()
        for name, value in parameters.items():
            value.grad = gradients[name][step].clone()
        optimiser.step()
        for name, value in parameters.items():
            after[name].append(value.detach().clone())
    after = {name: torch.stack(values) for name, values in after.items()}
    cases.add(case, rates=rates, weights=weights, gradients=gradients, after=after)


if __name__ == "__main__":
    torch.manual_seed(0)
    cases = Cases()
    add(cases, "nesterov", nesterov=True)
    add(cases, "heavy_ball", nesterov=False)
    cases.write("sd-train", "optimiser")
