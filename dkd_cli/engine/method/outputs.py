"""The kinds of output, as training sees them: a class, several labels, tags of words, or a number.

Everything that a step asks of the kind is an entry here, by the recipe's word `data.kind`. What readers,
metrics and predictions ask of it is in `data/kinds.py`, by the same words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

from dkd_cli.engine.method import losses
from dkd_cli.engine.method.given import label_logits, probability_logits
from dkd_cli.engine.method.labels import by_label
from dkd_cli.engine.method.objectives import KD_LOSSES, LABEL_KD_LOSSES, WORD_KD_LOSSES, KdLoss
from dkd_cli.engine.method.uncertainty import SCORES, sure_teacher_unsure_student
from dkd_cli.engine.method.word_means import by_word, read_words
from dkd_cli.recipe.words import NO_TAG


@dataclass(frozen=True, kw_only=True)
class Output:
    """Functions of the logits [B, C] of one kind of output, as a step uses them."""

    supervised: Callable[[Tensor, Tensor], Tensor]
    """Logits and labels -> the loss on the labels, [B]."""
    weighted: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None
    """The same with the weight of each class [C] (`train.class_weights`); None: no classes."""
    hard_labels: Callable[[Tensor], Tensor]
    """Logits -> the labels that they predict, as `supervised` takes them: hard labels."""
    kd_losses: Mapping[str, KdLoss]
    """Those that mean something, by the recipe's word."""
    uncertainties: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)
    """Scores of the logits alone, [B, C] -> [B], by the recipe's word; `entropy` decides on the axes.

    Empty where the prediction has no uncertainty."""
    from_probabilities: Callable[[Tensor], Tensor] | None
    """Probabilities that a file gives, [N, C] -> the logits that say so; None where there are none."""
    probabilities_sum_to_one: bool = True
    constant: Callable[[Tensor], int | None] = lambda logits: None
    """Logits [N, C] -> the one class that all rows are given; None where they are given several."""
    sure_and_unsure: Callable[[Tensor, Tensor], Tensor] | None = None
    """Student and teacher logits -> [B], high where the teacher is sure and the student is not (`llkd`)."""


def constant_class(logits: Tensor) -> int | None:
    """The one class that is likeliest in every row [N, C]; None where there are several.

    >>> import torch
    >>> constant_class(torch.tensor([[0.0, 1.0], [0.0, 2.0]])), constant_class(torch.eye(2))
    (1, None)
    """
    if logits.size(1) < 2:
        return None
    guesses = set(logits.argmax(dim=1).tolist())
    return int(*guesses) if len(guesses) == 1 else None


OUTPUTS: dict[str, Output] = {
    "classification": Output(
        supervised=losses.cross_entropy,
        weighted=lambda logits, labels, weights: losses.cross_entropy(logits, labels) * weights[labels],
        hard_labels=lambda logits: logits.argmax(dim=-1),
        kd_losses=KD_LOSSES,
        uncertainties=SCORES,
        sure_and_unsure=sure_teacher_unsure_student,
        from_probabilities=probability_logits,
        constant=constant_class,
    ),
    # Each label is a distribution of two classes; every figure is its mean over the labels.
    "multi-label": Output(
        supervised=losses.binary_cross_entropy,
        weighted=losses.binary_cross_entropy,
        hard_labels=lambda logits: (logits > 0).to(logits.dtype),
        kd_losses=LABEL_KD_LOSSES,
        uncertainties={name: by_label(score) for name, score in SCORES.items()},
        sure_and_unsure=by_label(sure_teacher_unsure_student),
        from_probabilities=label_logits,
        probabilities_sum_to_one=False,
    ),
    # Logits [B, W, C], labels [B, W]; every figure of a text is its mean over the words.
    "tokens": Output(
        supervised=by_word(losses.cross_entropy),
        weighted=lambda logits, labels, weights: by_word(
            lambda own, tags: losses.cross_entropy(own, tags) * weights[tags]
        )(logits, labels),
        hard_labels=lambda logits: logits.argmax(dim=-1).masked_fill(~read_words(logits), NO_TAG),
        kd_losses=WORD_KD_LOSSES,
        uncertainties={name: by_word(score) for name, score in SCORES.items()},
        sure_and_unsure=by_word(sure_teacher_unsure_student),
        from_probabilities=None,
        constant=lambda logits: constant_class(logits[read_words(logits)]),
    ),
    # The softmax of a single number is always 1: no entropy, and no divergence of probabilities.
    "regression": Output(
        supervised=losses.squared_error,
        hard_labels=lambda logits: logits.squeeze(-1),
        kd_losses={"mse": KD_LOSSES["mse"]},
        from_probabilities=None,
    ),
}
