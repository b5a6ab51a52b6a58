"""Holds a run's event files, as TensorBoard itself reads them, against its epochs.jsonl.

    python scripts/formats/event_files.py RUN    # needs tensorboard
"""

import json
import pathlib
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

run = pathlib.Path(sys.argv[1])
events = EventAccumulator(str(run / "tb"), size_guidance={"scalars": 0})
events.Reload()


def points(tag):
    return {event.step: event.value for event in events.Scalars(tag)}


compared = 0
for line in (run / "epochs.jsonl").read_text().splitlines():
    epoch = json.loads(line)
    valid = epoch["valid"] or {"exits": []}
    exits = [("train", exit) for exit in epoch["train"]]
    exits += [("valid", exit) for exit in [*valid["exits"], *filter(None, [valid.get("ensemble")])]]
    expected = {"train/loss": epoch["loss"]}
    for split, exit in exits:
        names = {"top1": "top1", "top5": "top5", "cross_entropy": "loss"}
        expected |= {f"{split}/{tag}_{exit['name']}": exit[key] for tag, key in names.items()}
    for tag, value in expected.items():
        found = points(tag)[epoch["step"]]
        if abs(found - value) > 1e-6 * max(1, abs(value)):
            raise SystemExit(f"{tag} of step {epoch['step']}: found {found}, expected {value}")
        compared += 1
if not compared:
    raise SystemExit(f"{run}: no epoch to compare")
print(f"{compared} values are what TensorBoard reads, of {len(events.Tags()['scalars'])} tags")
