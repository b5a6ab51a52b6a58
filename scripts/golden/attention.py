"""Golden numbers of sd-layers' attention: python scripts/golden/attention.py

The modules of exported folders for PyTorch, each as its paper's formula, with the names that the Rust
crate gives its variables: the output for an input, and the gradients of the input and of each
parameter for an upstream gradient.
"""

import torch
from cases import Cases
from layers import add
from modeling import (
    Cbam,
    Coordinate,
    Eca,
    ScanAttention,
    Shuffle,
    SimAm,
    SpatialGroup,
    SqueezeExcite,
    TpamiAttention,
    Triplet,
)

if __name__ == "__main__":
    torch.manual_seed(0)
    cases = Cases()
    odd, even = (2, 8, 7, 6), (2, 8, 6, 6)
    add(cases, "eca", Eca(8, 3), True, *odd)
    add(cases, "simam", SimAm(1e-4), True, *odd)
    add(cases, "squeeze_excite", SqueezeExcite(8, 2), True, *odd)
    add(cases, "cbam", Cbam(8, reduction=2, kernel=7), True, *odd)
    add(cases, "cbam_kernel_3", Cbam(8, reduction=4, kernel=3), True, *odd)
    add(cases, "spatial_group", SpatialGroup(8, 8), True, *odd)
    add(cases, "spatial_group_of_2", SpatialGroup(8, 4), True, *odd)
    add(cases, "coordinate", Coordinate(8, 32), True, *odd)
    add(cases, "coordinate_eval", Coordinate(8, 32), False, *odd)
    add(cases, "shuffle", Shuffle(8, 4), True, *odd)
    add(cases, "shuffle_2", Shuffle(8, 2), True, *odd)
    add(cases, "triplet", Triplet(7), True, *odd)
    add(cases, "triplet_eval_kernel_3", Triplet(kernel=3), False, *odd)
    for name, layer in (("scan", ScanAttention), ("tpami", TpamiAttention)):
        add(cases, name, layer(8), True, *even)
        add(cases, f"{name}_odd", layer(8), True, *odd)
        add(cases, f"{name}_eval", layer(8), False, *even)
    cases.write("sd-layers", "attention")
