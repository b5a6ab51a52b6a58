"""An evaluation step, and the latency of the network that ends at each exit."""

import torch
import torch.nn.functional as F

from experiment import parse, record
from record import repeat, reset_peak_memory

EVALUATION_BATCH = 256
LATENCY_BATCHES = [1, 64]


def evaluation(experiment, images, labels):
    """All exits and their mean: top-1, top-5 and cross-entropy of each."""

    def forward(images):
        with experiment.autocast():
            return experiment.network(images)

    forward = experiment.compiled(forward)

    def run():
        logits = [logits for _, logits in forward(images)]
        for scores in [*logits, torch.stack(logits).mean(0)]:
            hits = scores.topk(5).indices == labels.unsqueeze(1)
            hits[:, 0].sum().item()
            hits.sum().item()
            F.cross_entropy(scores, labels, reduction="sum").item()

    return run


def until(experiment, images, exit):
    def forward(images):
        with experiment.autocast():
            return experiment.network.forward_until(images, exit)

    forward = experiment.compiled(forward)

    def run():
        forward(images)
        experiment.wait()

    return run


@torch.inference_mode()
def main():
    arguments, experiment = parse(__doc__)
    experiment.network.eval()
    document = record("infer", arguments)

    def measure(part, batch, work):
        reset_peak_memory()
        times = repeat(work, experiment.seconds)
        document.add(experiment.name, part, experiment.setting, batch, batch, times)

    (batch,) = experiment.batches([EVALUATION_BATCH])
    work = evaluation(experiment, experiment.images(batch), experiment.labels(batch))
    measure("evaluation", batch, work)
    for batch in experiment.batches(arguments.batch or LATENCY_BATCHES):
        images = experiment.images(batch)
        for exit, name in enumerate(experiment.network.exit_names()):
            measure(name, batch, until(experiment, images, exit))
    document.print()


main()
