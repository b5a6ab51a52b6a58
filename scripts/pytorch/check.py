"""Holds exported PyTorch folders against libtorch, and those that timm loads against timm.

    SD_PYTORCH_CASES=DIR cargo xtask test -p sd-train --test pytorch
    python scripts/pytorch/check.py DIR

Every folder of DIR has the files of `export --to pytorch`, and beside it NAME.golden.safetensors:
images, and the logits of every exit that libtorch computes. Writes a digest of the tensors that
`modeling.py` expects, for the Rust test. In the virtual environment of
scripts/golden/requirements.txt.
"""

import hashlib
import importlib.util
import json
import sys
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file

BAR = 1e-5
ROOT = Path(__file__).resolve().parents[2]
MANIFEST = ROOT / "crates/sd-train/tests/golden/pytorch.json"


def multi_exit(folder):
    """The network as the folder's own modeling.py builds and loads it."""
    spec = importlib.util.spec_from_file_location("modeling", folder / "modeling.py")
    modeling = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(modeling)
    return modeling.MultiExit.from_folder(folder)


def difference(found, expected):
    """The largest one, relative to the largest logit if that is above 1."""
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1))


def digest(network):
    """SHA-256 of names and shapes, as the Rust test computes it from the files."""
    shapes = {
        name: list(tensor.shape)
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    lines = "".join(f"{name} {shapes[name]}\n" for name in sorted(shapes))
    return hashlib.sha256(lines.encode()).hexdigest()


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    sys.dont_write_bytecode = True
    manifest, worst, in_timm = {}, 0.0, 0
    for golden in sorted(Path(sys.argv[1]).glob("*.golden.safetensors")):
        name = golden.name.removesuffix(".golden.safetensors")
        folder, expected = golden.parent / name, load_file(golden)
        images = expected.pop("images")
        network = multi_exit(folder)
        logits = network(images)
        assert list(logits) == network.exit_names and logits.keys() == expected.keys(), name
        differences = [difference(logits[exit], expected[exit]) for exit in expected]
        first = network.exit_names[0]
        assert torch.equal(network(images, until=first)[first], logits[first]), name
        note = ""
        if "architecture" in network.config:
            in_timm += 1
            theirs = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
            differences.append(difference(theirs(images), expected["deepest"]))
            note = f", timm's {network.config['architecture']} {differences[-1]:.1e}"
        largest = max(float(value.abs().max()) for value in expected.values())
        print(f"{name:36} {max(differences):.1e} of logits up to {largest:.1f}{note}", flush=True)
        worst = max(worst, *differences)
        if not name.startswith("timm-vgg"):
            manifest[name] = digest(network)
    if manifest:
        MANIFEST.write_text(json.dumps(manifest, indent=1) + "\n")
    print(f"{len(manifest)} networks, {in_timm} in timm, largest difference {worst:.1e}")
    sys.exit(0 if manifest and in_timm and worst <= BAR else f"expected at most {BAR:.0e}")


if __name__ == "__main__":
    main()
