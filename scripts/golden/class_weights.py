"""Golden numbers of class weights: python scripts/golden/class_weights.py

scikit-learn's balanced weights, and PyTorch's CrossEntropyLoss with weights: value and gradient, also
with label smoothing.
"""

import numpy
import torch
from cases import write_json
from sklearn.utils.class_weight import compute_class_weight

CLASSES = 4
IMAGES = [30, 5, 12, 1]


def loss(logits, labels, weights, smoothing):
    logits = logits.clone().requires_grad_()
    function = torch.nn.CrossEntropyLoss(weight=weights, label_smoothing=smoothing)
    value = function(logits, labels)
    value.backward()
    return {"smoothing": smoothing, "loss": value.item(), "gradient": logits.grad.flatten().tolist()}


if __name__ == "__main__":
    torch.manual_seed(0)
    all_labels = numpy.repeat(numpy.arange(CLASSES), IMAGES)
    balanced = compute_class_weight("balanced", classes=numpy.arange(CLASSES), y=all_labels)
    labels = torch.randint(CLASSES, (9,))
    logits = torch.randn(9, CLASSES) * 2.0
    weights = torch.tensor(balanced, dtype=torch.float32)
    write_json(
        "sd-train",
        "class_weights",
        {
            "images": IMAGES,
            "balanced": balanced.tolist(),
            "labels": labels.tolist(),
            "logits": logits.flatten().tolist(),
            "losses": [loss(logits, labels, weights, smoothing) for smoothing in (0.0, 0.1)],
        },
    )
