"""Weights from and to PyTorch's libraries, whole: python scripts/state_dicts/exchange.py

For each network as torchvision and timm build it, with random weights: its state dict, written by
`safetensors.torch.save_file`, goes through `weights import`, and the logits of both programs are
compared; `weights export` writes it back, the library loads that strictly into a new network, and
the logits of both networks are compared. Fails where a difference is above 1e-4. In the virtual
environment of scripts/golden/requirements.txt, and with LIBTORCH as for every cargo command.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import timm
import torch
import torchvision
from safetensors.torch import load_file, save_file
from torch import nn

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = 1e-4


def vgg(depth, output_stride=32):
    return (f'vgg = {{ depth = {depth}, head = "classic7x7", output_stride = {output_stride}, '
            'conv = "dense", attention = "none" }')


def resnet(depth, output_stride=32):
    return (f'resnet = {{ depth = {depth}, stem = "large", output_stride = {output_stride}, '
            'conv = "dense", attention = "none" }')


MOBILENET = 'mobilenet_v2 = { stem = "large" }'
# By the name in the library; one with an output stride of its own is changed there to have it.
NETWORKS = {
    "torchvision": {
        "resnet18": resnet(18),
        "resnet18 of output stride 16": resnet(18, output_stride=16),
        "resnet50": resnet(50),
        "resnet50 of output stride 16": resnet(50, output_stride=16),
        "resnet101": resnet(101),
        "vgg11_bn": vgg(11),
        "vgg11_bn of output stride 16": vgg(11, output_stride=16),
        "vgg19_bn": vgg(19),
        "mobilenet_v2": MOBILENET,
    },
    "timm": {
        "resnet18": resnet(18),
        "resnet18 of output stride 16": resnet(18, output_stride=16),
        "resnet152": resnet(152),
        "vgg11_bn": vgg(11),
        "vgg13_bn": vgg(13),
        "mobilenetv2_100": MOBILENET,
    },
}

EXPERIMENT = """
name = "exchange"
seed = 0
[data]
augment = []
[data.dataset.synthetic]
classes = 1000
train = 1000
test = 1000
channels = 3
height = 224
width = 224
seed = 0
[model.backbone]
{backbone}
[objective.deepest_only]
label_smoothing = 0.0
[train]
epochs = 1
batch_size = 2
precision = "f32"
sgd = {{ momentum = 0.9, nesterov = true, weight_decay = 5e-4 }}
schedule = {{ one_cycle = {{ peak = 0.1, warmup = 0.15 }} }}
"""


def network(library, name):
    name, _, changed = name.partition(" of ")
    if library == "timm":
        built = timm.create_model(name).eval()
    else:
        built = getattr(torchvision.models, name)(weights=None).eval()
    return of_output_stride_16(built) if changed else built


def of_output_stride_16(network):
    """The network with a last map of twice the side, by what docs/weights.md says."""
    if hasattr(network, "layer4"):
        block = network.layer4[0]
        strided = block.conv2 if hasattr(block, "conv3") else block.conv1
        strided.stride = block.downsample[0].stride = (1, 1)
    else:
        network.features[-1] = nn.Identity()
    return network


def with_random_norms(module):
    """The libraries' own random weights, and batch norms that are not at their start."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.0)
            nn.init.normal_(layer.bias, 0.0, 0.1)
            layer.running_mean.normal_(0.0, 0.1)
            layer.running_var.uniform_(0.5, 2.0)
        if isinstance(layer, nn.Conv2d) and layer.bias is not None:
            nn.init.normal_(layer.bias, 0.0, 0.1)
    return module


def cargo(*arguments):
    subprocess.run(["cargo", "run", "--quiet", "--package", "sd-train", *map(str, arguments)],
                   cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def exchange(library, name, backbone, folder):
    """The largest differences of logits: our network's, and the network's that loads our export."""
    config, theirs, ours, back, images, logits = (
        folder / file for file in ("config.toml", "theirs", "ours", "back", "images", "logits"))
    original = with_random_norms(network(library, name))
    save_file(original.state_dict(), theirs)
    config.write_text(EXPERIMENT.format(backbone=backbone))
    cargo("--", "weights", "import", config, theirs, "--from", library, "--out", ours)

    batch = torch.randn(2, 3, 224, 224)
    save_file({"images": batch}, images)
    cargo("--example", "logits", "--", ours, images, logits)
    expected = original(batch)
    there = (load_file(logits)["logits"] - expected).abs().max()

    cargo("--", "weights", "export", ours, "--to", library, "--out", back)
    loaded = network(library, name)
    loaded.load_state_dict(load_file(back), strict=True)
    return there, (loaded(batch) - expected).abs().max(), expected.abs().max()


def main():
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, torchvision {torchvision.__version__}, timm {timm.__version__}")
    worst = 0.0
    for library, names in NETWORKS.items():
        for name, backbone in names.items():
            with tempfile.TemporaryDirectory() as folder, torch.no_grad():
                there, back, scale = exchange(library, name, backbone, Path(folder))
            print(f"{library} {name}: imported {there:.1e}, exported {back:.1e}, "
                  f"largest logit {scale:.2g}", flush=True)
            worst = max(worst, float(there), float(back))
    if not worst <= TOLERANCE:
        sys.exit(f"the largest difference is {worst:.1e}, expected at most {TOLERANCE}")


if __name__ == "__main__":
    main()
