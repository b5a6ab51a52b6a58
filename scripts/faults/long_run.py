#!/usr/bin/env python3
"""Memory, file handles and threads of a run of 2,000 steps and 50 evaluations.

    scripts/faults/long_run.py target/release/sd-train

Trains a small network on one thread and reads /proc between its epochs. Fails where the memory after
an epoch is more than 2 % from that after the fifth, by when every buffer has been made, or where the
handles or threads are others. Linux alone; no packages.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONFIG = Path(__file__).parents[2] / "configs/cifar100/vgg11-grouped8-light.toml"
SMALL = [
    "data.dataset={ synthetic = { classes = 4, train = 400, test = 80, channels = 1, height = 32, width = 32, seed = 0 } }",
    "data.validation.fraction=0.2",
    "model.backbone.vgg.width=0.125",
    "model.exits.after=[2, 4]",
    "train.epochs=50",
    "train.batch_size=8",
    "train.precision=f32",
    "train.schedule={ one_cycle = { peak = 0.05, warmup = 0.3 } }",
]
STEPS_PER_EPOCH = 40
SETTLED = 5
TOLERANCE = 0.02


def looked_at(process):
    """Resident memory in kB, open files and threads, at this moment."""
    proc = Path(f"/proc/{process}")
    status = dict(line.split(":", 1) for line in (proc / "status").read_text().splitlines())
    return int(status["VmRSS"].split()[0]), len(list((proc / "fd").iterdir())), int(status["Threads"])


def run(program, folder):
    """What was seen in each epoch, by its number: of memory the most, of the others the least and most."""
    command = [program, "train", CONFIG, "--device", "cpu", "--threads", "1", "--out", folder / "run"]
    command += [word for change in SMALL for word in ("-s", change)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seen = {}
    while process.poll() is None:
        try:
            epochs = (folder / "run" / "epochs.jsonl").read_bytes().count(b"\n")
            seen.setdefault(epochs, []).append(looked_at(process.pid))
        except (FileNotFoundError, KeyError, ProcessLookupError):
            pass  # Not begun, or just ended.
        time.sleep(0.02)
    if process.returncode != 0:
        sys.exit(f"FAILED: {program} ended with {process.returncode}")
    epochs = (folder / "run" / "epochs.jsonl").read_bytes().count(b"\n")
    if epochs != 50:
        sys.exit(f"FAILED: {epochs} epochs, expected 50")
    return seen


def main():
    with tempfile.TemporaryDirectory() as folder:
        seen = run(sys.argv[1], Path(folder))
    # While an epoch runs, the loader has its threads; the last of all is the report's.
    peaks = {
        epoch: tuple(max(values) for values in zip(*looks))
        for epoch, looks in sorted(seen.items())
        if SETTLED <= epoch < 50
    }
    if len(peaks) < 40:
        sys.exit(f"FAILED: only {len(peaks)} of 45 epochs were seen")
    memory, files, threads = zip(*peaks.values())
    first = memory[0]
    spread = max(abs(value - first) for value in memory) / first
    steps = STEPS_PER_EPOCH * 50
    print(f"{steps} steps, 50 evaluations; {sum(map(len, seen.values()))} looks, {len(peaks)} epochs after the fifth")
    print(f"memory: {first / 1024:.1f} MiB after epoch {min(peaks)}, {memory[-1] / 1024:.1f} MiB after epoch "
          f"{max(peaks)}, at most {100 * spread:.2f} % from the first")
    print(f"open files: at most {min(files)} to {max(files)} in an epoch; threads: {min(threads)} to {max(threads)}")
    # A look may miss a file that is open for a moment; one that is left open adds up.
    grown = files[-1] > max(files[:5]) or threads[-1] > max(threads[:5])
    if spread > TOLERANCE or grown:
        sys.exit("FAILED: not flat")
    print("passed: flat")


if __name__ == "__main__":
    main()
