"""Uncertainty scores: normalised entropy, margin, least confidence.

Pure functions [B, C] -> [B] without gradient: the scores weight and select but must not train the student.
Higher always means more uncertain. Needs nothing but torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


@torch.no_grad()
def entropy(logits: Tensor) -> Tensor:
    """Normalised entropy of the prediction: u = -Σ p log p / log C.

    Li et al. (2021), the student's uncertainty; also the plug-in's instance weight. Computed from
    `log_softmax`, so it is finite at any logit gap.

    Args:
        logits: [B, C] with C >= 2.

    Returns:
        [B] in [0, 1]: 0 certain, 1 uniform.

    Raises:
        ValueError: for C = 1, where the entropy is undefined.

    >>> entropy(torch.tensor([[0.0, 0.0], [1000.0, 0.0]]))
    tensor([1., 0.])
    """
    classes = logits.size(-1)
    if classes < 2:
        raise ValueError("the entropy of a single output is undefined")
    log_probabilities = F.log_softmax(logits.float(), dim=-1)
    nats = (log_probabilities.exp() * -log_probabilities).sum(dim=-1)
    return (nats / math.log(classes)).clamp(0.0, 1.0)


@torch.no_grad()
def margin(logits: Tensor) -> Tensor:
    """Margin score: one minus the gap between the two most probable classes, 1 - (p₁ - p₂). Li et al. (2021),
    data selection.

    Args:
        logits: [B, C] with C >= 2.

    Returns:
        [B] in [0, 1].

    >>> margin(torch.tensor([[0.0, 0.0, -1000.0], [1000.0, 0.0, 0.0]]))
    tensor([1., 0.])
    """
    top = F.softmax(logits.float(), dim=-1).topk(2, dim=-1).values
    return 1.0 - (top[:, 0] - top[:, 1])


@torch.no_grad()
def least_confidence(logits: Tensor) -> Tensor:
    """Least confidence: one minus the probability of the most probable class, 1 - max p. Li et al. (2021),
    data selection.

    Args:
        logits: [B, C] with C >= 2.

    Returns:
        [B] in [0, 1 - 1/C].

    >>> least_confidence(torch.tensor([[0.0, 0.0], [1000.0, 0.0]]))
    tensor([0.5000, 0.0000])
    """
    return 1.0 - F.softmax(logits.float(), dim=-1).amax(dim=-1)


@torch.no_grad()
def sure_teacher_unsure_student(student_logits: Tensor, teacher_logits: Tensor) -> Tensor:
    """LLKD score: the teacher's confidence times the student's uncertainty, max q · u.

    After LLKD (Li et al., 2024, "Learning with Less"), which uses a moving threshold for each of the two;
    here the product is ranked, so that a ratio determines how many are kept. High if there is something to
    learn and the teacher knows it; low if both are uncertain, as for a text that could be either class.

    Args:
        student_logits: [B, C] with C >= 2.
        teacher_logits: [B, C].

    Returns:
        [B] in [0, 1].

    >>> student, teacher = torch.zeros(3, 2), torch.tensor([[99.0, 0.0], [0.0, 0.0], [0.0, 99.0]])
    >>> student[2] = torch.tensor([1000.0, 0.0])
    >>> sure_teacher_unsure_student(student, teacher)
    tensor([1.0000, 0.5000, 0.0000])
    """
    return F.softmax(teacher_logits.float(), dim=-1).amax(dim=-1) * entropy(student_logits)


SCORES: dict[str, Callable[[Tensor], Tensor]] = {
    "entropy": entropy,
    "margin": margin,
    "confidence": least_confidence,
    "lc": least_confidence,
}
"""Scores that need only the student's logits, by their name in a recipe."""
