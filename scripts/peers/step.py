"""A training step on a batch that is there already, whole and, where not compiled, by part."""

from time import perf_counter

import torch

from experiment import parse, record
from objective import objective
from record import repeat, reset_peak_memory

# Small, so that the weights stay ordinary numbers however often the same batch is repeated.
RATE = 1e-3
PARTS = ["forward", "objective", "backward", "update"]


def optimiser(network, config):
    """SGD as torch has it fastest; biases and norms do not decay."""
    groups = {True: [], False: []}
    for parameter in network.parameters():
        groups[parameter.dim() > 1].append(parameter)
    decay = config["weight_decay"]
    return torch.optim.SGD(
        [
            {"params": groups[True], "weight_decay": decay},
            {"params": groups[False], "weight_decay": 0.0},
        ],
        lr=RATE,
        momentum=config["momentum"],
        nesterov=config["nesterov"],
        fused=True,
    )


def whole(experiment, images, labels):
    """A step as one function."""
    loss_of = objective(experiment.config["objective"])
    sgd = optimiser(experiment.network, experiment.config["train"]["sgd"])

    def forward(images, labels):
        with experiment.autocast():
            outputs = experiment.network(images)
        return loss_of(outputs, labels)

    forward = experiment.compiled(forward)

    def step():
        loss = forward(images, labels)
        loss.item()
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        experiment.wait()

    return step


def by_part(experiment, images, labels):
    """Seconds of each part, by name."""
    loss_of = objective(experiment.config["objective"])
    sgd = optimiser(experiment.network, experiment.config["train"]["sgd"])
    times = {part: [] for part in PARTS}

    def step():
        clock = [perf_counter()]

        def end_part():
            experiment.wait()
            clock.append(perf_counter())

        with experiment.autocast():
            outputs = experiment.network(images)
        end_part()
        loss = loss_of(outputs, labels)
        loss.item()
        end_part()
        sgd.zero_grad()
        loss.backward()
        end_part()
        sgd.step()
        end_part()
        for part, begin, end in zip(PARTS, clock, clock[1:]):
            times[part].append(end - begin)

    runs = len(repeat(step, experiment.seconds))
    return {part: seconds[-runs:] for part, seconds in times.items()}


def main():
    arguments, experiment = parse(__doc__)
    document = record("step", arguments)
    sizes = arguments.batch or [experiment.config["train"]["batch_size"]]
    for batch in experiment.batches(sizes):
        images, labels = experiment.images(batch), experiment.labels(batch)
        reset_peak_memory()
        times = repeat(whole(experiment, images, labels), experiment.seconds)
        document.add(experiment.name, "step", experiment.setting, batch, batch, times)
        # Compiled, the parts are one; a probe asks for the whole alone.
        if arguments.mode == "eager" and not arguments.probe:
            reset_peak_memory()
            for part, times in by_part(experiment, images, labels).items():
                document.add(experiment.name, part, experiment.setting, batch, batch, times)
    document.print()


main()
