"""Parameters of configurations: a JSON list like that of `cargo xtask count --json`."""

import json
import sys

from experiment import TASKS, read
from networks import MultiExit


def size(*modules):
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def count(path):
    config = read(path)
    *_, classes = TASKS[config["data"]["dataset"]]
    network = MultiExit(config["model"], classes)
    exits = []
    for name, (last, classifier) in zip(network.exit_names(), network.classifiers.items()):
        stages = network.stages[: int(last) + 1]
        exits.append({"name": name, "params": size(network.stem, stages, classifier)})
    return {
        "config": path,
        "deployed": {"params": exits[-1]["params"]},
        "framework": {"params": size(network)},
        "exits": exits,
    }


print(json.dumps([count(path) for path in sys.argv[1:]]))
