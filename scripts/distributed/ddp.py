#!/usr/bin/env python3
"""Averaging gradients over two processes: this project against PyTorch's DDP, in turns.

    scripts/distributed/ddp.py target/release/examples/average NETWORK.safetensors [--rounds 7]

The gradients have the shapes of the network's parameters. DDP gets a module with these parameters whose
backward pass costs nothing else (its gradient is a constant), so that its step is the copy into its
buckets, the calls of Gloo and the copy back, as ours is. Both compute on one thread per process, over
the loopback interface. Prints a JSON record: milliseconds of each round (median of its calls).

Build the program with `cargo build --release -p sd-distributed --example average`. Needs PyTorch.
"""

import argparse
import json
import os
import socket
import statistics
import struct
import subprocess
import sys
import time
from pathlib import Path

CALLS = 40
WARM_UP = 5


def sizes_of(path):
    """Numbers of values of the parameters, without running statistics."""
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    shapes = {name: value["shape"] for name, value in header.items() if name != "__metadata__"}
    sizes = []
    for name, shape in sorted(shapes.items()):
        if "running_" not in name:
            size = 1
            for side in shape:
                size *= side
            sizes.append(size)
    return sizes


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def two(command):
    """What rank 0 of two processes of a command prints, a number."""
    port = str(free_port())
    processes = []
    for rank in range(2):
        names = {"RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        names |= {"OMP_NUM_THREADS": 1, "GLOO_SOCKET_IFNAME": "lo"}
        environment = os.environ | {name: str(value) for name, value in names.items()}
        processes.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    printed = [process.communicate()[0] for process in processes]
    if any(process.returncode for process in processes):
        sys.exit(f"FAILED: {command[0]}")
    return float(printed[0])


def ddp(sizes):
    """Times DDP in this process, one of two."""
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    dist.init_process_group("gloo")

    class Parameters(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.all = torch.nn.ParameterList(torch.zeros(size) for size in sizes)

        def forward(self, ones):
            return [(parameter, one) for parameter, one in zip(self.all, ones)]

    class Constant(torch.autograd.Function):
        @staticmethod
        def forward(context, *tensors):
            context.ones = tensors[len(tensors) // 2:]
            return torch.zeros(())

        @staticmethod
        def backward(context, _):
            return (*context.ones, *[None] * len(context.ones))

    class Loss(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Parameters()

        def forward(self, ones):
            return Constant.apply(*self.inner.all, *ones)

    module = torch.nn.parallel.DistributedDataParallel(Loss())
    ones = [torch.ones(size) for size in sizes]
    times = []
    for _ in range(CALLS + WARM_UP):
        module.zero_grad(set_to_none=True)
        loss = module(ones)
        started = time.perf_counter()
        loss.backward()
        times.append(1e3 * (time.perf_counter() - started))
    if dist.get_rank() == 0:
        print(f"{statistics.median(times[WARM_UP:]):.4f}")
    dist.destroy_process_group()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("network")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--ddp", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = sizes_of(options.network)
    if options.ddp:
        ddp(sizes)
        return
    program = str(Path(options.program).resolve())
    ours = [program, str(CALLS)]
    times = {"ours": [], "ddp": []}
    for _ in range(options.rounds):
        times["ours"].append(two(ours + [str(size) for size in sizes]))
        times["ddp"].append(two([sys.executable, __file__, program, options.network, "--ddp"]))
    by_size = {str(values): two(ours + [str(values)]) for values in (1, 1024, 10**5, 10**6, 10**7)}
    medians = {name: statistics.median(values) for name, values in times.items()}
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    record = {
        "command": " ".join(sys.argv),
        "commit": commit.stdout.strip(),
        "date": time.strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "parameters": sum(sizes),
        "tensors": len(sizes),
        "milliseconds": times,
        "median_milliseconds": medians,
        "ours_over_ddp": medians["ours"] / medians["ddp"],
        "milliseconds_by_values": by_size,
    }
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
