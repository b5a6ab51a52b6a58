"""Golden numbers of the optimiser: python scripts/golden/optimiser.py

torch.optim.SGD and AdamW with two groups, weights that decay and the rest that does not, for twenty
steps with a learning rate that falls on the way. The gradients are given, so that only the update
counts. Beside them clip_grad_norm_, of gradients that are longer than allowed and of shorter ones,
and the moving average that AveragedModel keeps of a batch norm's weight and buffer.
"""

import torch
from cases import Cases, normal
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

STEPS = 20
SHAPES = {
    "conv.weight": (4, 3, 3, 3),
    "norm.weight": (4,),
    "linear.weight": (3, 4),
    "linear.bias": (3,),
}




def given():
    return {name: normal(*shape).requires_grad_() for name, shape in SHAPES.items()}


def copies(tensors):
    return {name: value.detach().clone() for name, value in tensors.items()}


def add(cases, case, build):
    parameters = given()
    weights = copies(parameters)
    gradients = {name: normal(STEPS, *shape) for name, shape in SHAPES.items()}
    decaying = [value for name, value in parameters.items() if value.dim() > 1]
    others = [value for name, value in parameters.items() if value.dim() == 1]
    groups = [{"params": decaying, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}]
    optimiser = build(groups)
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


def clip(cases, case, longest):
    parameters = given()
    weights = copies(parameters)
    for value in parameters.values():
        value.grad = normal(*value.shape)
    gradients = {name: value.grad.unsqueeze(0).clone() for name, value in parameters.items()}
    norm = torch.nn.utils.clip_grad_norm_(parameters.values(), longest)
    clipped = {name: value.grad for name, value in parameters.items()}
    longest = torch.tensor(longest, dtype=torch.float64)
    cases.add(
        case, weights=weights, gradients=gradients, norm=norm, longest=longest, clipped=clipped
    )


def average(cases, channels):
    norm = torch.nn.BatchNorm1d(channels).double()
    steps = {"weight": normal(6, channels), "buffer": normal(6, channels)}

    def take(step):
        norm.weight.data.copy_(steps["weight"][step])
        norm.running_mean.copy_(steps["buffer"][step])

    take(0)
    kept = get_ema_multi_avg_fn(0.9)
    averaged = AveragedModel(norm, multi_avg_fn=kept, use_buffers=True)
    # The first update of AveragedModel copies.
    averaged.update_parameters(norm)
    for step in range(1, 6):
        take(step)
        averaged.update_parameters(norm)
    found = {"weight": averaged.module.weight, "buffer": averaged.module.running_mean}
    cases.add("average", steps=steps, average=found)


if __name__ == "__main__":
    torch.manual_seed(0)
    cases = Cases()
    add(cases, "nesterov", lambda groups: torch.optim.SGD(groups, 0.1, 0.9, nesterov=True))
    add(cases, "heavy_ball", lambda groups: torch.optim.SGD(groups, 0.1, 0.9))
    add(cases, "adamw", lambda groups: torch.optim.AdamW(groups, 0.1, betas=(0.9, 0.99)))
    clip(cases, "clip_longer", 1.5)
    clip(cases, "clip_shorter", 100.0)
    # The stem of the tests' network.
    average(cases, 8)
    cases.write("sd-train", "optimiser")
