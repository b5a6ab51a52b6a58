"""Golden numbers of an evaluation: python scripts/golden/evaluation.py

Logits of three exits, and what follows from them in float64: accuracy, the negative log-likelihood,
the reliability diagram and the expected calibration error (Guo et al. 2017, equation 3, 15 bins of
equal width, each above its lower end and up to its upper one), the confusion matrix; the same of the
exits' mean; and early exit by confidence, entropy and patience with the multiply-accumulates that
an image costs at each exit. Scores that count every class alike are scikit-learn's. The temperature of
an exit minimises the negative log-likelihood of these labels (Guo et al. 2017, section 4.2).
"""

import math

import torch
from cases import write_json
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_score

BINS = 15
IMAGES, CLASSES = 160, 7
MACS = [100, 250, 400]


def exits():
    """Each exit sees the label through noise, the deeper the clearer; float32 holds the logits."""
    torch.manual_seed(0)
    labels = torch.randint(CLASSES - 1, (IMAGES,))  # the last class has no image
    signal = torch.nn.functional.one_hot(labels, CLASSES) * 3.0
    logits = [signal * clear + 1.7 * torch.randn(IMAGES, CLASSES) for clear in (0.4, 0.8, 1.2)]
    return labels, [exit.float() for exit in logits]


def by_class(guess, labels):
    seen = sorted(set(labels.tolist()) | set(guess.tolist()))
    known = [None if math.isnan(score) else score for score in precision_score(
        labels, guess, labels=range(CLASSES), average=None, zero_division=math.nan).tolist()]
    f1 = f1_score(labels, guess, labels=range(CLASSES), average=None, zero_division=0).tolist()
    return {
        "balanced_accuracy": float(balanced_accuracy_score(labels, guess)),
        "macro_f1": float(f1_score(labels, guess, average="macro", zero_division=0)),
        "precision": known,
        "f1": [score if label in seen else None for label, score in enumerate(f1)],
    }


def temperature(logits, labels):
    """By bisection: the likelihood has one maximum."""
    low, high = 0.25, 10.0
    for _ in range(60):
        middle = torch.tensor((low + high) / 2, dtype=torch.float64, requires_grad=True)
        torch.nn.functional.cross_entropy(logits.double() / middle, labels).backward()
        low, high = (low, middle.item()) if middle.grad > 0 else (middle.item(), high)
    return low


def scaled(logits, labels):
    value = temperature(logits, labels)
    found = evaluated(logits.double() / value, labels, far=5e-7)
    return {"temperature": value, **{key: found[key] for key in ("loss", "calibration_error")}}


def evaluated(logits, labels, far=1e-5):
    probabilities = logits.double().softmax(1)
    confidence, guess = probabilities.max(1)
    right = (guess == labels).double()
    bins, error = [], 0.0
    edges = torch.linspace(0, 1, BINS + 1, dtype=torch.float64)
    # None lies so near to an edge that float32 could put it into another bin.
    assert (confidence[:, None] - edges).abs().min() > far
    for low, high in zip(edges[:-1], edges[1:]):
        inside = (confidence > low) & (confidence <= high)
        images = int(inside.sum())
        if images == 0:
            bins.append({"images": 0, "confidence": None, "accuracy": None})
            continue
        mean, accuracy = confidence[inside].mean().item(), right[inside].mean().item()
        bins.append({"images": images, "confidence": mean, "accuracy": accuracy})
        error += images / len(labels) * abs(accuracy - mean)
    confusion = torch.zeros(CLASSES, CLASSES, dtype=torch.int64)
    for label, found in zip(labels.tolist(), guess.tolist()):
        confusion[label, found] += 1
    top5 = (logits.topk(5, 1).indices == labels[:, None]).any(1).double().mean()
    return {
        "top1": right.mean().item(),
        "top5": top5.item(),
        "loss": torch.nn.functional.cross_entropy(logits.double(), labels).item(),
        "calibration_error": error,
        "bins": bins,
        "class_accuracy": [
            row[label].item() / row.sum().item() if row.sum() > 0 else None
            for label, row in enumerate(confusion)
        ],
        "confusion": confusion.tolist(),
        "by_class": by_class(guess, labels),
    }


def left_at(rule, value, image):
    """The exit at which an image leaves whose probabilities `[E, K]` these are."""
    agreed, before = 0, None
    for exit, probabilities in enumerate(image[:-1]):
        largest, guess = probabilities.max(0)
        agreed = agreed + 1 if guess == before else 0
        before = guess
        entropy = -(probabilities * probabilities.log()).sum() / torch.tensor(CLASSES).log()
        leaves = {"confidence": largest >= value, "entropy": entropy <= value}
        leaves["patience"] = agreed >= value
        if leaves[rule]:
            return exit
    return len(image) - 1


def early(rule, value, logits, labels):
    probabilities = torch.stack([exit.double().softmax(1) for exit in logits], 1)
    guesses = probabilities.argmax(2)
    exits = [left_at(rule, value, image) for image in probabilities]
    right = [guesses[image, exit] == labels[image] for image, exit in enumerate(exits)]
    return {
        "rule": rule,
        "value": value,
        "top1": sum(map(bool, right)) / len(labels),
        "macs": sum(MACS[exit] for exit in exits) / len(exits),
        "left_at": [exits.count(exit) for exit in range(len(MACS))],
    }


if __name__ == "__main__":
    labels, logits = exits()
    rules = [("confidence", 0.5), ("confidence", 0.8), ("entropy", 0.3), ("entropy", 0.6)]
    write_json(
        "sd-train",
        "evaluation",
        {
            "labels": labels.tolist(),
            "logits": [exit.tolist() for exit in logits],
            "macs": MACS,
            "exits": [evaluated(exit, labels) for exit in logits],
            "scaled": [scaled(exit, labels) for exit in [*logits, torch.stack(logits).mean(0)]],
            "ensemble": evaluated(torch.stack(logits).mean(0), labels),
            "early": [early(*rule, logits, labels) for rule in [*rules, ("patience", 1)]],
        },
    )
