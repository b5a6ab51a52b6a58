"""Golden numbers of the learning rate: python scripts/golden/schedules.py

The schedules as configurations write them, and the rate of each step that torch.optim.lr_scheduler
gives: MultiStepLR, CosineAnnealingLR and OneCycleLR, the first two after a LinearLR.
"""

import warnings

import torch
from cases import write_json
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    CosineAnnealingLR,
    LinearLR,
    MultiStepLR,
    OneCycleLR,
    SequentialLR,
)

STEPS_PER_EPOCH = 7


def rising(optimiser, steps):
    """(step + 1) / steps of the rate: full at the last step of the rise."""
    return LinearLR(optimiser, start_factor=1 / steps, total_iters=steps - 1)


def step(optimiser, total, rate, milestones, factor, warmup_epochs):
    milestones = [STEPS_PER_EPOCH * epoch for epoch in milestones]
    falling = MultiStepLR(optimiser, milestones, gamma=factor)
    if warmup_epochs == 0:
        return falling
    return ChainedScheduler([falling, rising(optimiser, STEPS_PER_EPOCH * warmup_epochs)])


def cosine(optimiser, total, rate, warmup_epochs):
    steps = STEPS_PER_EPOCH * warmup_epochs
    falling = CosineAnnealingLR(optimiser, T_max=total - steps)
    if steps == 0:
        return falling
    return SequentialLR(optimiser, [rising(optimiser, steps), falling], milestones=[steps])


def one_cycle(optimiser, total, peak, warmup):
    return OneCycleLR(optimiser, peak, total_steps=total, pct_start=warmup, cycle_momentum=False)


def rates(kind, epochs, **values):
    total = STEPS_PER_EPOCH * epochs
    start = values.get("rate", values.get("peak"))
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=start)
    scheduler = kind(optimiser, total, **values)
    found = []
    for at in range(total):
        found.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        if at + 1 < total:
            scheduler.step()
    schedule = {kind.__name__: values}
    return {
        "schedule": schedule,
        "steps_per_epoch": STEPS_PER_EPOCH,
        "epochs": epochs,
        "rates": found,
    }


if __name__ == "__main__":
    # SequentialLR warns of its own call to step(epoch).
    warnings.filterwarnings("ignore", message="The epoch parameter")
    schedules = [
        rates(step, 6, rate=0.1, milestones=[2, 4, 5], factor=0.2, warmup_epochs=0),
        rates(step, 6, rate=0.1, milestones=[2, 4, 5], factor=0.2, warmup_epochs=1),
        rates(step, 6, rate=0.1, milestones=[1, 4], factor=0.1, warmup_epochs=2),
        rates(cosine, 5, rate=0.1, warmup_epochs=0),
        rates(cosine, 5, rate=0.1, warmup_epochs=1),
        rates(one_cycle, 5, peak=0.4, warmup=0.3),
        rates(one_cycle, 9, peak=0.05, warmup=0.25),
    ]
    write_json("sd-train", "schedules", schedules)
