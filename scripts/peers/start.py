"""A process from its start to the first label: imports, network, one image of zeros."""

import torch

from experiment import parse


@torch.inference_mode()
def main():
    _, experiment = parse(__doc__)
    experiment.network.eval()
    image = torch.zeros(1, *experiment.shape).to(memory_format=experiment.format)
    deepest = len(experiment.network.classifiers) - 1
    print(experiment.network.forward_until(image, deepest).argmax().item())


main()
