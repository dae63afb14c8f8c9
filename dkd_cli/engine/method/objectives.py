"""Loss terms of a recipe: which loss, on which logits or states, with which settings.

Knows neither the weights between terms nor the assignment of teachers; the losses themselves know no recipe.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

from dkd_cli.engine.method import losses
from dkd_cli.engine.method.hidden_losses import (
    attention_relations,
    hidden_alignment,
    hidden_directions,
)
from dkd_cli.engine.method.labels import by_label
from dkd_cli.engine.method.word_means import by_word
from dkd_cli.recipe.strategy_section import Objective

KdLoss = Callable[[Objective, Tensor, Tensor, Tensor | None], Tensor]


def _decoupled(objective: Objective, student: Tensor, teacher: Tensor, labels: Tensor | None) -> Tensor:
    assert labels is not None, "the rules refuse it without labels"
    weights = objective.target_weight, objective.others_weight
    return losses.kd_decoupled(student, teacher, labels, objective.temperature, *weights)


def _mse(objective: Objective, student: Tensor, teacher: Tensor, labels: Tensor | None) -> Tensor:
    return losses.kd_mse(student, teacher)


def _kl(objective: Objective, student: Tensor, teacher: Tensor, labels: Tensor | None) -> Tensor:
    return losses.kd_kl(student, teacher, objective.temperature)


def _jsd(objective: Objective, student: Tensor, teacher: Tensor, labels: Tensor | None) -> Tensor:
    return losses.kd_jensen_shannon(student, teacher, objective.temperature, objective.jsd_beta)


def _taid(objective: Objective, student: Tensor, teacher: Tensor, labels: Tensor | None) -> Tensor:
    return losses.kd_interpolated(student, teacher, objective.temperature, objective.teacher_share)


def _dist(objective: Objective, student: Tensor, teacher: Tensor, labels: Tensor | None) -> Tensor:
    weights = objective.inter_weight, objective.intra_weight
    return losses.kd_correlation(student, teacher, objective.temperature, *weights)


def _standardisable(loss: KdLoss) -> KdLoss:
    """The loss of standardised logits, where the objective asks for them."""

    def found(objective: Objective, student: Tensor, teacher: Tensor, labels: Tensor | None) -> Tensor:
        if objective.standardise:
            student, teacher = losses.standardised(student), losses.standardised(teacher)
        return loss(objective, student, teacher, labels)

    return found


KD_LOSSES: dict[str, KdLoss] = {
    "mse": _standardisable(_mse),
    "kl": _standardisable(_kl),
    "jsd": _standardisable(_jsd),
    "taid": _standardisable(_taid),
    "decoupled": _standardisable(_decoupled),
    "dist": _standardisable(_dist),
}
"""KD losses by their name in a recipe (`strategy.objective.kd_loss`)."""


def per_label(loss: KdLoss) -> KdLoss:
    """The mean over labels of a KD loss between two classes, the label and its absence."""

    def mean_over_labels(
        objective: Objective, student: Tensor, teacher: Tensor, labels: Tensor | None
    ) -> Tensor:
        return by_label(lambda own, theirs: loss(objective, own, theirs, None))(student, teacher)

    return mean_over_labels


LABEL_KD_LOSSES: dict[str, KdLoss] = {
    "mse": _mse,
    "kl": per_label(_kl),
    "jsd": per_label(_jsd),
    "taid": per_label(_taid),
}
"""Those that mean something for several labels per text."""


def per_word(loss: KdLoss) -> KdLoss:
    """The mean of a KD loss over the words of a text, [B, W, C] twice and tags [B, W] -> [B]."""

    def mean_over_words(
        objective: Objective, student: Tensor, teacher: Tensor, labels: Tensor | None
    ) -> Tensor:
        if labels is None:
            return by_word(lambda own, theirs: loss(objective, own, theirs, None))(student, teacher)
        found = by_word(lambda own, theirs, tags: loss(objective, own, theirs, tags))
        return found(student, teacher, labels)

    return mean_over_words


WORD_KD_LOSSES: dict[str, KdLoss] = {name: per_word(loss) for name, loss in KD_LOSSES.items()}
"""All of them: a word is given one tag, as a text one class."""


def kd(
    known: Mapping[str, KdLoss],
    objective: Objective,
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor | None,
) -> Tensor:
    """The KD term of each example by the objective's numbers as they are, [B, C] twice -> [B].

    Args:
        known: the KD losses of the kind of output (`outputs.Output.kd_losses`).
        objective: at the present moment of the run (`schedules.at`).
        student_logits: [B, C].
        teacher_logits: [B, C].
        labels: [B], or None without labels.
    """
    return known[objective.kd_loss](objective, student_logits, teacher_logits, labels)


def pt(
    objective: Objective, student_states: Sequence[Tensor], teacher_states: Sequence[Tensor], mask: Tensor
) -> Tensor:
    """Compute the hidden-state term of each example, by `hidden_loss`, from aligned layers, each [B, L, H]
    -> [B]."""
    if objective.hidden_loss == "relations":
        return attention_relations(student_states, teacher_states, mask, objective.relation_heads)
    if objective.hidden_loss == "states":
        return hidden_alignment(student_states, teacher_states, mask)
    return hidden_directions(student_states, teacher_states, mask)
