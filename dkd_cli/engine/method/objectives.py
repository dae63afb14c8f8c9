"""Loss terms of a recipe: which loss, on which logits or states, with which settings.

Knows neither the weights between terms nor the assignment of teachers; the losses themselves know no recipe.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from dkd_cli.engine.method import losses
from dkd_cli.recipe.schema import Objective

KdLoss = Callable[[Objective, Tensor, Tensor, Tensor | None], Tensor]


def _decoupled(objective: Objective, student: Tensor, teacher: Tensor, labels: Tensor | None) -> Tensor:
    assert labels is not None, "the rules refuse it without labels"
    weights = objective.target_weight, objective.others_weight
    return losses.kd_decoupled(student, teacher, labels, objective.temperature, *weights)


KD_LOSSES: dict[str, KdLoss] = {
    "mse": lambda objective, student, teacher, labels: losses.kd_mse(student, teacher),
    "kl": lambda objective, student, teacher, labels: losses.kd_kl(student, teacher, objective.temperature),
    "jsd": lambda objective, student, teacher, labels: losses.kd_jensen_shannon(
        student, teacher, objective.temperature, objective.jsd_beta
    ),
    "taid": lambda objective, student, teacher, labels: losses.kd_interpolated(
        student, teacher, objective.temperature, objective.teacher_share
    ),
    "dkd": _decoupled,
    "dist": lambda objective, student, teacher, labels: losses.kd_correlation(
        student, teacher, objective.temperature, objective.inter_weight, objective.intra_weight
    ),
}
"""KD losses by their name in a recipe (`strategy.objective.kd_loss`)."""


def kd(objective: Objective, student_logits: Tensor, teacher_logits: Tensor, labels: Tensor | None) -> Tensor:
    """Compute the KD term of each example with the current settings of the objective, [B, C] twice -> [B].

    Args:
        objective: current settings (`schedules.at`).
        student_logits: [B, C].
        teacher_logits: [B, C].
        labels: [B], or None without labels.
    """
    if objective.standardise:
        student_logits = losses.standardised(student_logits)
        teacher_logits = losses.standardised(teacher_logits)
    return KD_LOSSES[objective.kd_loss](objective, student_logits, teacher_logits, labels)


def pt(
    objective: Objective, student_states: Sequence[Tensor], teacher_states: Sequence[Tensor], mask: Tensor
) -> Tensor:
    """Compute the hidden-state term of each example, by `hidden_loss`, from aligned layers, each [B, L, H]
    -> [B]."""
    if objective.hidden_loss == "relations":
        return losses.attention_relations(student_states, teacher_states, mask, objective.relation_heads)
    return losses.hidden_alignment(student_states, teacher_states, mask)
