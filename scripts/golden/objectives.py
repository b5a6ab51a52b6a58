"""Golden numbers of the loss: python scripts/golden/objectives.py

The terms and objectives of docs/method.md, written out: value, and gradients of every exit's
logits and features. Three exits, shallow first, the last the deepest. `targets` are
distributions over classes: of one label, or of a mixture of two.
"""

import torch
from cases import Cases, normal
from torch.nn.functional import one_hot

CLASSES = 7
ALPHA, TEMPERATURE, WEIGHT = 0.3, 3.0, 0.03
SHARE, PROGRESS = 0.7, 0.5


def label(logits, targets, smoothing=0.0):
    targets = targets * (1 - smoothing) + smoothing / CLASSES
    return -(targets * logits.log_softmax(1)).sum(1).mean()


def soft_cross_entropy(student, teacher, temperature):
    p, log_q = (teacher / temperature).softmax(1), (student / temperature).log_softmax(1)
    return -(p * log_q).sum(1).mean()


def divergence(p, log_q):
    return (p * (p.log() - log_q)).sum(1).mean()


def soft(student, teacher, temperature):
    p, log_q = (teacher / temperature).softmax(1), (student / temperature).log_softmax(1)
    return temperature**2 * divergence(p, log_q)


def hint(student, teacher):
    return ((student - teacher) ** 2).mean()


def hint_sum(student, teacher):
    return ((student - teacher) ** 2).sum()


def hint_sum_of_active(student, teacher):
    return ((student - teacher) ** 2)[(student > 0) | (teacher > 0)].sum()


def hint_length(student, teacher):
    return ((student - teacher) ** 2).sum().sqrt()


class Given:
    """What an objective looks at."""

    def __init__(self, logits, features, adapted, reference):
        self.logits, self.features, self.adapted = logits, features, adapted
        self.reference = reference

    def leaves(self):
        leaf = lambda tensor: tensor.clone().requires_grad_()
        return Given(leaf(self.logits), leaf(self.features), leaf(self.adapted), self.reference)


def deepest_only(given, targets, smoothing):
    return label(given.logits[-1], targets, smoothing)


def deep_supervision(given, targets, smoothing):
    return sum(label(exit, targets, smoothing) for exit in given.logits)


def self_distillation(teacher):
    def loss(given, targets, smoothing):
        teach = (lambda x: x[-1]) if teacher == "deepest" else (lambda x: x.mean(0))
        t_logits, t_features = teach(given.logits).detach(), teach(given.features).detach()
        total = label(given.logits[-1], targets, smoothing)
        for z, f in zip(given.logits[:-1], given.features[:-1]):
            total = total + (1 - ALPHA) * label(z, targets, smoothing)
            total = total + ALPHA * soft(z, t_logits, TEMPERATURE) + WEIGHT * hint(f, t_features)
        return total

    return loss


def all_pairs(given, targets, smoothing):
    total, exits = 0, range(len(given.logits))
    for i in exits:
        total = total + (1 - ALPHA) * label(given.logits[i], targets, smoothing)
        for j in exits:
            if i != j:
                z, f = given.logits[j].detach(), given.features[j].detach()
                pair = ALPHA * soft(given.logits[i], z, TEMPERATURE)
                total = total + (pair + WEIGHT * hint(given.features[i], f)) / (len(exits) - 1)
    return total


def knowledge_distillation(given, targets, smoothing):
    students = ((label(z, targets, smoothing), z) for z in given.logits)
    soft_to = lambda z: soft(z, given.reference, TEMPERATURE)
    return sum((1 - ALPHA) * hard + ALPHA * soft_to(z) for hard, z in students)


def byot(given, targets, alpha=0.1, temperature=3.0, beta=1e-6):
    t_logits, t_features = given.logits[-1].detach(), given.features[-1].detach()
    total = (1 - alpha) * sum(label(z, targets) for z in given.logits)
    for z, f in zip(given.logits[:-1], given.features[:-1]):
        total = total + alpha * temperature**2 * soft_cross_entropy(z, t_logits, temperature)
        total = total + beta * hint_sum_of_active(f, t_features)
    return total


def scan(given, targets, share=0.5, beta=5e-7):
    t_logits, t_features = given.logits[-1].detach(), given.features[-1].detach()
    total = label(given.logits[-1], targets)
    for z, f in zip(given.logits[:-1], given.features[:-1]):
        total = total + share * 9 * soft_cross_entropy(z, t_logits, 3.0)
        total = total + (1 - share) * label(z, targets) + beta * hint_sum(f, t_features)
    return total


def tpami(given, targets, alpha=0.3, temperature=3.0, weight=0.03):
    t_logits, t_features = given.logits[-1].detach(), given.features[-1].detach()
    total = label(given.logits[-1], targets)
    for z in given.logits[:-1]:
        total = total + alpha * soft_cross_entropy(z, t_logits, temperature)
        total = total + (1 - alpha) * label(z, targets)
    return total + weight * sum(torch.dist(f, t_features) for f in given.adapted)


def tf_kd(given, targets, alpha=0.1, temperature=20.0, correct=0.99):
    z = given.logits[-1]
    by_hand = targets * correct + (1 - targets) * (1 - correct) / (CLASSES - 1)
    p = (by_hand / temperature).softmax(1)
    return (1 - alpha) * label(z, targets) + alpha * divergence(p, z.log_softmax(1))


def ps_kd(given, targets, alpha=0.8):
    alpha_t = alpha * PROGRESS
    return label(given.logits[-1], (1 - alpha_t) * targets + alpha_t * given.reference.softmax(1))


def cs_kd(given, targets, temperature=4.0, weight=1.0):
    z = given.logits[-1]
    return label(z, targets) + weight * soft(z, given.reference, temperature)


def gradient(tensor):
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


def add_term(cases, case, term, student):
    student = student.clone().requires_grad_()
    value = term(student)
    value.backward()
    cases.add(case, value=value, gradient=gradient(student))


def add_objective(cases, case, objective, given, targets):
    given = given.leaves()
    total = objective(given, targets)
    total.backward()
    cases.add(
        case,
        total=total,
        logits_gradient=gradient(given.logits),
        features_gradient=gradient(given.features),
        adapted_gradient=gradient(given.adapted),
    )


if __name__ == "__main__":
    torch.manual_seed(0)
    cases = Cases()
    # Logits as wide as a trained network's: a softmax that is neither flat nor one class.
    logits, features = 3 * normal(3, 6, CLASSES), normal(3, 6, 4)
    labels, others = torch.randint(CLASSES, (6,)), torch.randint(CLASSES, (6,))
    given = Given(logits, features, normal(2, 6, 4), 3 * normal(6, CLASSES))
    cases.add("given", logits=logits, features=features, adapted=given.adapted)
    cases.add("given", reference=given.reference, labels=labels, others=others)

    targets = one_hot(labels, CLASSES).double()
    mixed = SHARE * targets + (1 - SHARE) * one_hot(others, CLASSES)

    for name, smoothing in (("label", 0.0), ("label_smoothed", 0.1)):
        add_term(cases, name, lambda student: label(student, targets, smoothing), logits[0])
    add_term(cases, "soft", lambda student: soft(student, logits[2], TEMPERATURE), logits[0])
    crossed = lambda student: soft_cross_entropy(student, logits[2], TEMPERATURE)
    add_term(cases, "soft_cross_entropy", crossed, logits[0])
    for term in (hint, hint_sum, hint_sum_of_active, hint_length):
        add_term(cases, term.__name__, lambda student: term(student, features[2]), features[0])

    smoothed = {
        "deepest_only": deepest_only,
        "deep_supervision": deep_supervision,
        "self_distillation_deepest": self_distillation("deepest"),
        "self_distillation_mean": self_distillation("mean"),
        "self_distillation_all_pairs": all_pairs,
        "knowledge_distillation": knowledge_distillation,
    }
    plain = (byot, scan, tpami, tf_kd, ps_kd, cs_kd)
    for suffix, labelled in (("", targets), ("_mixed", mixed)):
        for name, objective in smoothed.items():
            for suffix_2, smoothing in (("", 0.0), ("_smoothed", 0.1)):
                of = lambda given, targets: objective(given, targets, smoothing)
                add_objective(cases, name + suffix_2 + suffix, of, given, labelled)
        for objective in plain:
            add_objective(cases, objective.__name__ + suffix, objective, given, labelled)
    cases.write("sd-train", "objectives")
