#!/usr/bin/env python3
"""Images per second of the measured steps, and their share of the rate of a large matrix product.

    scripts/gpu/speed.py DEVICE COUNT.json RECORDS.jsonl…

COUNT.json is what `count --json` printed, RECORDS.jsonl what the benchmarks of the step printed. A step
counts as three forward passes: 6 floating-point operations per multiply-accumulate.
"""

import json
import sys
from statistics import median
from time import perf_counter

import torch

SIZE, PRODUCTS = 8192, 20


def matrix_rate(device):
    """Floating-point operations per second of a bf16 matrix product."""
    size, products = (SIZE, PRODUCTS) if device.startswith("cuda") else (1024, 2)
    a, b = (torch.randn(size, size, device=device).bfloat16() for _ in range(2))
    wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    for _ in range(3):
        a @ b
    wait()
    start = perf_counter()
    for _ in range(products):
        a @ b
    wait()
    return 2 * size**3 * products / (perf_counter() - start)


def main(device, count, *files):
    macs = {row["model"]: row["framework"]["macs"] for row in json.load(open(count))}
    rate = matrix_rate(device)
    print(f"{device}: a bf16 matrix product computes {rate / 1e12:.1f} TFLOP/s")
    seconds = {}
    for file in files:
        for line in open(file):
            record = json.loads(line)
            for found in record["measurements"]:
                if found["part"] == "step":
                    key = (found["config"], record["program"], found["mode"])
                    times = seconds.setdefault((*key, found["images"]), [])
                    times.extend(found["timing"]["raw_seconds"])
    for (config, program, mode, images), times in seconds.items():
        speed = images / median(times)
        share = 6 * macs[config] * speed / rate
        print(f"{config} {program} {mode}: {speed:.0f} images/s, {share:.1%} of the product's rate")


main(*sys.argv[1:])
