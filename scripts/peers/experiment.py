"""A configuration and a setting from the command line, and what they make."""

import argparse
import tomllib

import torch

from networks import MultiExit
from record import Record

# A first look at a setting is on smaller batches: it may be a hundred times slower than another.
PROBE_DIVISOR = 8
# Channels, height, width and classes of the data sets that the peers know.
TASKS = {"cifar10": (3, 32, 32, 10), "cifar100": (3, 32, 32, 100)}


def read(path):
    with open(path, "rb") as file:
        config = tomllib.load(file)
    dataset = config["data"]["dataset"]
    if not isinstance(dataset, str) or dataset not in TASKS:
        raise SystemExit(f"{path}: data.dataset is {dataset}, the peers know {sorted(TASKS)}")
    return config


class Experiment:
    """A configuration in one setting: mode (eager, compile), precision and memory layout."""

    def __init__(self, arguments):
        self.config = read(arguments.config)
        self.name = self.config["name"]
        *self.shape, self.classes = TASKS[self.config["data"]["dataset"]]
        self.setting = (arguments.mode, arguments.precision, arguments.layout)
        self.seconds = None if arguments.probe else arguments.seconds
        torch.set_flush_denormal(True)
        torch.set_num_threads(arguments.threads)
        torch.manual_seed(0)
        self.format = (
            torch.channels_last if arguments.layout == "channels_last" else torch.contiguous_format
        )
        self.device = arguments.device
        # As in our programs: the fastest algorithm of each convolution, and TF32 for what stays f32.
        torch.backends.cudnn.benchmark = True
        torch.backends.cudnn.allow_tf32 = True
        torch.backends.cuda.matmul.allow_tf32 = True
        network = MultiExit(self.config["model"], self.classes)
        self.network = network.to(self.device, memory_format=self.format)

    def batches(self, sizes):
        """The sizes to measure; smaller ones for a first look."""
        return [max(size // PROBE_DIVISOR, 1) for size in sizes] if self.seconds is None else sizes

    def images(self, batch):
        return torch.randn(batch, *self.shape).to(self.device, memory_format=self.format)

    def labels(self, batch):
        return torch.randint(self.classes, (batch,)).to(self.device)

    def autocast(self):
        device = torch.device(self.device).type
        return torch.autocast(device, torch.bfloat16, enabled=self.setting[1] == "bf16")

    def wait(self):
        """Until the device is done: a GPU works asynchronously."""
        if self.device != "cpu":
            torch.cuda.synchronize(self.device)

    def compiled(self, function):
        """The function as it is, or compiled where the setting says so."""
        if self.setting[0] == "eager":
            return function
        # Compiled functions share their code with those before and count against one limit.
        torch.compiler.reset()
        return torch.compile(function, dynamic=False)


def parse(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("config")
    parser.add_argument("--mode", choices=["eager", "compile"], default="eager")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--layout", choices=["nchw", "channels_last"], default="channels_last")
    parser.add_argument("--device", default="cpu", help="cpu or cuda:N")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--probe", action="store_true", help="a first look")
    parser.add_argument("--batch", type=int, action="append", help="may be repeated")
    arguments = parser.parse_args()
    return arguments, Experiment(arguments)


def record(subject, arguments):
    return Record(subject, f"pytorch {torch.__version__}", arguments.threads, arguments.device)
