"""Timing, and the JSON document that `cargo xtask bench SUBJECT --json` prints too."""

import json
import os
import platform
import subprocess
import sys
from datetime import datetime, timezone
from statistics import median
from time import perf_counter

WARM_UP = 2
LEAST, MOST = 3, 1000
# A first look at a setting.
PROBE_WARM_UP, PROBE_RUNS, PROBE_SECONDS = 1, 2, 10.0


def repeat(work, seconds):
    """Seconds of each repetition, for a budget of so many, after an unmeasured few; with None for
    a budget, of one or two."""
    probe = seconds is None
    for _ in range(PROBE_WARM_UP if probe else WARM_UP):
        work()
    least, most = (1, PROBE_RUNS) if probe else (LEAST, MOST)
    budget = PROBE_SECONDS if probe else seconds
    times, start = [], perf_counter()
    while len(times) < least or (len(times) < most and perf_counter() - start < budget):
        begin = perf_counter()
        work()
        times.append(perf_counter() - begin)
    return times


def reset_peak_memory():
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass  # The peak is then that since the start of the process.


def peak_memory():
    """The most memory held since the reset, in bytes; None where the system does not say."""
    kibibytes = line_of("/proc/self/status", "VmHWM:")
    return int(kibibytes.split()[0]) * 1024 if kibibytes else None


def line_of(path, start):
    """What follows `start` in the first line of the file that begins so."""
    try:
        with open(path) as file:
            for line in file:
                if line.startswith(start):
                    return line[len(start) :].strip(" \t\n:")
    except OSError:
        pass
    return None


class Record:
    """One run of a benchmark; its fields are those of BenchRecord in sd-report."""

    def __init__(self, subject, program, threads, device):
        self.document = {
            "schema_version": 1,
            "subject": subject,
            "program": program,
            "command": " ".join(["python", *map(os.path.basename, sys.argv[:1]), *sys.argv[1:]]),
            "started": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "host": host(),
            "threads": threads,
            "device": device,
            "measurements": [],
        }

    def add(self, config, part, setting, batch, images, times):
        mode, precision, layout = setting
        self.document["measurements"].append(
            {
                "config": config,
                "part": part,
                "mode": mode,
                "precision": precision,
                "layout": layout,
                "batch": batch,
                "images": images,
                "peak_memory_bytes": peak_memory(),
                "timing": {"raw_seconds": times},
            }
        )
        rate = images / median(times)
        print(f"{config} {' '.join(setting)} {part} {batch}: {rate:.1f}/s", file=sys.stderr)

    def print(self):
        print(json.dumps(self.document))


def host():
    memory = line_of("/proc/meminfo", "MemTotal:")
    return {
        "os": platform.platform(),
        "cpu": line_of("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": int(memory.split()[0]) * 1024 if memory else None,
        "commit": commit(),
    }


def commit():
    git = ["git", "rev-parse", "--verify", "HEAD"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
