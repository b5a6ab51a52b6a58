"""The training objectives, see docs/method.md."""

import torch.nn.functional as F

from networks import expect, take


def objective(config):
    """The configured loss, a function of all exits' outputs and the labels."""
    plain, distillation = take(
        config, "objective", "deepest_only", "self_distillation"
    )
    if plain:
        (smoothing,) = take(plain, "objective.deepest_only", "label_smoothing")
        return lambda outputs, labels: label(outputs[-1][1], labels, smoothing)
    alpha, temperature, weight, teacher, smoothing = take(
        distillation,
        "objective.self_distillation",
        "alpha",
        "temperature",
        "lambda",
        "teacher",
        "label_smoothing",
    )
    expect("objective.self_distillation.teacher", teacher, "deepest")

    def self_distillation(outputs, labels):
        feature, logits = outputs[-1]
        loss = label(logits, labels, smoothing)
        feature, logits = feature.detach(), logits.detach()
        teacher = F.log_softmax(logits / temperature, dim=1)
        for student_feature, student_logits in outputs[:-1]:
            student = F.log_softmax(student_logits / temperature, dim=1)
            soft = F.kl_div(student, teacher, reduction="batchmean", log_target=True)
            loss = (
                loss
                + (1 - alpha) * label(student_logits, labels, smoothing)
                + alpha * temperature**2 * soft
                + weight * F.mse_loss(student_feature, feature)
            )
        return loss

    return self_distillation


def label(logits, labels, smoothing):
    return F.cross_entropy(logits, labels, label_smoothing=smoothing)
