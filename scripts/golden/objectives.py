"""Golden numbers of the loss: python scripts/golden/objectives.py

The terms and objectives of docs/method.md, written out: value, and gradients of every exit's
logits and features. Three exits, shallow first, the last the deepest.
"""

import torch
from cases import Cases, normal
from torch.nn.functional import one_hot

ALPHA, TEMPERATURE, WEIGHT = 0.3, 3.0, 0.03


def label(logits, labels, smoothing):
    classes = logits.shape[1]
    targets = one_hot(labels, classes) * (1 - smoothing) + smoothing / classes
    return -(targets * logits.log_softmax(1)).sum(1).mean()


def soft(student, teacher, temperature):
    log_p, log_q = (teacher / temperature).log_softmax(1), (student / temperature).log_softmax(1)
    return temperature**2 * (log_p.exp() * (log_p - log_q)).sum(1).mean()


def hint(student, teacher):
    return ((student - teacher) ** 2).mean()


def deepest_only(logits, features, labels, smoothing):
    return label(logits[-1], labels, smoothing)


def deep_supervision(logits, features, labels, smoothing):
    return sum(label(exit, labels, smoothing) for exit in logits)


def self_distillation(teacher):
    def loss(logits, features, labels, smoothing):
        teach = (lambda x: x[-1]) if teacher == "deepest" else (lambda x: x.mean(0))
        t_logits, t_features = teach(logits).detach(), teach(features).detach()
        total = label(logits[-1], labels, smoothing)
        for z, f in zip(logits[:-1], features[:-1]):
            total = total + (1 - ALPHA) * label(z, labels, smoothing)
            total = total + ALPHA * soft(z, t_logits, TEMPERATURE) + WEIGHT * hint(f, t_features)
        return total

    return loss


def gradient(tensor):
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


def add_term(cases, case, term, student):
    student = student.clone().requires_grad_()
    value = term(student)
    value.backward()
    cases.add(case, value=value, gradient=gradient(student))


def add_objective(cases, case, objective, logits, features, labels, smoothing):
    logits, features = logits.clone().requires_grad_(), features.clone().requires_grad_()
    total = objective(logits, features, labels, smoothing)
    total.backward()
    parts = {"logits_gradient": gradient(logits), "features_gradient": gradient(features)}
    cases.add(case, total=total, **parts)


if __name__ == "__main__":
    torch.manual_seed(0)
    cases = Cases()
    # Logits as wide as a trained network's: a softmax that is neither flat nor one class.
    logits, features, labels = 3 * normal(3, 6, 7), normal(3, 6, 4), torch.randint(7, (6,))
    cases.add("given", logits=logits, features=features, labels=labels)

    for name, smoothing in (("label", 0.0), ("label_smoothed", 0.1)):
        add_term(cases, name, lambda student: label(student, labels, smoothing), logits[0])
    add_term(cases, "soft", lambda student: soft(student, logits[2], TEMPERATURE), logits[0])
    add_term(cases, "hint", lambda student: hint(student, features[2]), features[0])

    objectives = {
        "deepest_only": deepest_only,
        "deep_supervision": deep_supervision,
        "self_distillation_deepest": self_distillation("deepest"),
        "self_distillation_mean": self_distillation("mean"),
    }
    for name, objective in objectives.items():
        for suffix, smoothing in (("", 0.0), ("_smoothed", 0.1)):
            add_objective(cases, name + suffix, objective, logits, features, labels, smoothing)
    cases.write("sd-train", "objectives")
