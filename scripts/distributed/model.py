#!/usr/bin/env python3
"""Computes the table of docs/scale.md: the time of an all-reduce and the efficiency of a step.

    scripts/distributed/model.py

Steps are those of docs/results/speed/README.md (bf16), parameters those of `cargo xtask count`.
"""

NETWORKS = [  # name, parameters in training, seconds of a step
    ("VGG11, dense", 9.27e6, 0.144),
    ("VGG11, compressed, with exits", 2.67e6, 0.137),
    ("ResNet-18, dense", 11.22e6, 0.448),
]
LINKS = [  # bytes per second, seconds, numbers of processes
    (10e9 / 8, 50e-6, (2, 8, 64)),  # Ethernet
    (400e9 / 8, 5e-6, (64,)),  # InfiniBand
    (450e9, 5e-6, (8,)),  # NVLink
]


def all_reduce(parameters, processes, bandwidth, latency):
    return 2 * (processes - 1) * (4 * parameters / (processes * bandwidth) + latency)


for name, parameters, step in NETWORKS:
    cells = [name, f"{4 * parameters / 1e6:.1f} MB", f"{1e3 * step:.0f} ms"]
    for bandwidth, latency, counts in LINKS:
        times = [all_reduce(parameters, count, bandwidth, latency) for count in counts]
        milliseconds = ", ".join(f"{1e3 * time:.2g}" for time in times)
        efficiencies = ", ".join(f"{100 * step / (step + time):.0f}" for time in times)
        cells.append(f"{milliseconds} ms: {efficiencies} %")
    print("| " + " | ".join(cells) + " |")
