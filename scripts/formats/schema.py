"""Holds the configuration's JSON schema against a validator: every experiment of configs/ fits it,
and what a person mistypes does not.

    python scripts/formats/schema.py    # needs jsonschema
"""

import copy
import json
import pathlib
import tomllib

import jsonschema

ROOT = pathlib.Path(__file__).resolve().parents[2]
MISTAKES = [
    (["train", "epoch"], 3),
    (["train", "epochs"], "many"),
    (["model", "backbone", "vgg", "depth"], "eleven"),
    (["objective", "distillation"], {}),
    (["model", "exits", "kind"], {"heavy": {}}),
]


def changed(experiment, keys, value):
    experiment = copy.deepcopy(experiment)
    table = experiment
    for key in keys[:-1]:
        table = table[key]
    table[keys[-1]] = value
    return experiment


schema = json.loads((ROOT / "docs/configuration.schema.json").read_text())
Validator = jsonschema.validators.validator_for(schema)
Validator.check_schema(schema)
validator = Validator(schema)
# A sweep is not an experiment.
files = [file for file in (ROOT / "configs").rglob("*.toml") if file.parent.name != "sweeps"]
for file in files:
    for error in validator.iter_errors(tomllib.loads(file.read_text())):
        raise SystemExit(f"{file}: {error.json_path}: {error.message}")
quickstart = tomllib.loads((ROOT / "configs/quickstart.toml").read_text())
for keys, value in MISTAKES:
    if validator.is_valid(changed(quickstart, keys, value)):
        raise SystemExit(f"{'.'.join(keys)} = {value!r} fits the schema")
print(f"{len(files)} experiments fit the schema, {len(MISTAKES)} mistakes do not")
