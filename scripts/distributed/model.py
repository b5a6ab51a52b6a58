#!/usr/bin/env python3
"""Computes the table of docs/scale.md: efficiency of a step on N processes by the model given there.

    scripts/distributed/model.py

Steps are those of docs/results/speed/README.md (bf16), parameters those of `cargo xtask count`.
"""

NETWORKS = [  # name, parameters in training, seconds of a step
    ("VGG11, dense", 9.27e6, 0.144),
    ("VGG11, compressed, with exits", 2.67e6, 0.137),
    ("ResNet-18, dense", 11.22e6, 0.448),
]
ETHERNET = (10e9 / 8, 50e-6)  # bytes per second, seconds
INFINIBAND = (400e9 / 8, 5e-6)


def efficiency(parameters, step, processes, network):
    bandwidth, latency = network
    reduce = 2 * (processes - 1) * (4 * parameters / (processes * bandwidth) + latency)
    return f"{100 * step / (step + reduce):.0f} %"


for name, parameters, step in NETWORKS:
    ethernet = ", ".join(efficiency(parameters, step, processes, ETHERNET) for processes in (2, 8, 64))
    infiniband = efficiency(parameters, step, 64, INFINIBAND)
    size, time = f"{4 * parameters / 1e6:.1f} MB", f"{1e3 * step:.0f} ms"
    print(f"| {name} | {size} | {time} | {ethernet} | {infiniband} |")
