"""How unsure the student is of each example, and what makes an example informative.

Pure functions [B, C] -> [B] without gradient: the scores weigh and select, they must not train the student.
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
    """Entropy of the prediction over its upper bound: u = -Σ p log p / log C.

    Li et al. (2021), the student's uncertainty; also the plug-in's instance weight. Taken from
    `log_softmax`, so it stays finite at any logit gap.

    Args:
        logits: [B, C] with C >= 2.

    Returns:
        [B] in [0, 1]: 0 sure, 1 confused.

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
    """One minus the gap between the two likeliest classes: 1 - (p₁ - p₂). Li et al. (2021), data selection.

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
    """One minus the probability of the likeliest class: 1 - max p. Li et al. (2021), data selection.

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
    """The teacher's confidence times the student's uncertainty: max q · u.

    After LLKD (Li et al., 2024, "Learning with Less"), which puts a moving threshold to each of the two; the
    product ranks, so that a ratio says how many are kept. High where there is something to learn and somebody
    to learn it from; low where both are unsure, as of a text that could be either class.

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
"""The scores that need the student's logits alone, by their name in a recipe."""
