"""Where golden numbers go: the tests of a crate, case by case.

A tensor is named `CASE/PART`, or `CASE/PART/VARIABLE` for the variables of a module, whose names
are those of the Rust crates. PyTorch computes in float64 and the files hold float32, so that the
numbers are those of the formula and not those of one kernel.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parents[2]
# Of modeling.py, whose layers are held against the Rust crates'.
sys.path.append(str(ROOT / "crates/sd-train/src/export/pytorch"))


class Cases:
    """Tensors of one file."""

    def __init__(self):
        self.tensors = {}

    def add(self, case, **parts):
        """Adds a case: each part a tensor, or the variables of a module by name."""
        for part, value in parts.items():
            named = value if isinstance(value, dict) else {None: value}
            for variable, tensor in named.items():
                key = f"{case}/{part}" if variable is None else f"{case}/{part}/{variable}"
                assert key not in self.tensors, key
                kind = torch.float32 if tensor.is_floating_point() else torch.int64
                self.tensors[key] = tensor.detach().to(kind).contiguous().clone()

    def write(self, crate, name):
        path = golden(crate) / f"{name}.safetensors"
        save_file(self.tensors, path)
        said(path)


def write_json(crate, name, value):
    path = golden(crate) / f"{name}.json"
    path.write_text(json.dumps(value, indent=1) + "\n")
    said(path)


def golden(crate):
    folder = ROOT / "crates" / crate / "tests" / "golden"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def said(path):
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")


def normal(*shape):
    """Standard normal numbers that float32 holds exactly, in float64."""
    return torch.randn(*shape, dtype=torch.float32).double()


def unlike_the_start(module):
    """`module` in float64, with norms and running statistics that are not 1 and 0."""
    for name, tensor in module.named_parameters():
        if tensor.dim() == 1:
            tensor.data = 0.3 * torch.randn_like(tensor) + (1.0 if name.endswith("weight") else 0.0)
    for name, tensor in module.named_buffers():
        if name.endswith("running_mean"):
            tensor.normal_(0.0, 0.5)
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2.0)
    return module.double()


def variables(module):
    """Parameters and running statistics. torch also counts batches; nothing depends on it."""
    return {k: v.clone() for k, v in module.state_dict().items() if "num_batches" not in k}


def gradients(module):
    return {name: parameter.grad for name, parameter in module.named_parameters()}
