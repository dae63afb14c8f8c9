"""The kinds of output, as training sees them: one class of several, or a number.

Everything that a step asks of the kind is an entry here, by the recipe's word `data.kind`. What readers,
metrics and predictions ask of it is in `data/kinds.py`, by the same words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from dkd_cli.engine.method import losses
from dkd_cli.engine.method.objectives import KD_LOSSES, KdLoss
from dkd_cli.engine.method.uncertainty import SCORES, sure_teacher_unsure_student


@dataclass(frozen=True, kw_only=True)
class Output:
    """Functions of the logits [B, C] of one kind of output, as a step uses them."""

    supervised: Callable[[Tensor, Tensor], Tensor]
    """Logits and labels -> the loss on the labels, [B]."""
    label_weights: Callable[[Tensor, Tensor], Tensor] | None = None
    """Labels and the weight of each class [C] -> the weight of each row's loss, [B]; None: no classes."""
    kd_losses: Mapping[str, KdLoss]
    """Those that mean something, by the recipe's word."""
    uncertainties: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)
    """Scores of the logits alone, [B, C] -> [B], by the recipe's word; `entropy` decides on the axes.

    Empty where the prediction has no uncertainty."""
    sure_and_unsure: Callable[[Tensor, Tensor], Tensor] | None = None
    """Student and teacher logits -> [B], high where the teacher is sure and the student is not (`llkd`)."""


OUTPUTS: dict[str, Output] = {
    "classification": Output(
        supervised=losses.cross_entropy,
        label_weights=lambda labels, weights: weights[labels],
        kd_losses=KD_LOSSES,
        uncertainties=SCORES,
        sure_and_unsure=sure_teacher_unsure_student,
    ),
    # The softmax of a single number is always 1: no entropy, and no divergence of probabilities.
    "regression": Output(supervised=losses.squared_error, kd_losses={"mse": KD_LOSSES["mse"]}),
}
