"""The terms of the loss: pure functions that return one value per example, [B, C] -> [B].

Weighting and averaging are the strategy's business. `dynamic_kd_loss` is the one exception: the ready-made
plug-in for a training loop of one's own. Needs nothing but torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from dkd_cli.engine.uncertainty import entropy


def supervised(logits: Tensor, labels: Tensor) -> Tensor:
    """CE: -log softmax(z)[y], or (z - y)² where the label is a number (C = 1).

    Args:
        logits: [B, C].
        labels: [B], class ids, or numbers if C = 1.

    Returns:
        [B], in nats (or squared label units).

    >>> supervised(torch.tensor([[0.0, 0.0], [2.0, 2.0]]), torch.tensor([0, 1]))
    tensor([0.6931, 0.6931])
    >>> supervised(torch.tensor([[2.5], [1.0]]), torch.tensor([2.0, 1.0]))
    tensor([0.2500, 0.0000])
    """
    if logits.size(-1) == 1:
        return (logits.squeeze(-1).float() - labels.float()).square()
    return F.cross_entropy(logits.float(), labels, reduction="none")


def kd_kl(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """KD-KL: T² Σ_c q_c (log q_c - log p_c), q and p the softened teacher and student (Hinton et al., 2015).

    Args:
        student_logits: [B, C].
        teacher_logits: [B, C].
        temperature: T > 0; the factor T² keeps the gradient's size independent of it.

    Returns:
        [B], in nats times T².

    >>> logits = torch.tensor([[1.0, 2.0, 3.0]])
    >>> kd_kl(logits, logits, temperature=5.0)
    tensor([0.])
    """
    student = F.log_softmax(student_logits.float() / temperature, dim=-1)
    teacher = F.log_softmax(teacher_logits.float() / temperature, dim=-1)
    return F.kl_div(student, teacher, reduction="none", log_target=True).sum(dim=-1) * temperature**2


def kd_mse(student_logits: Tensor, teacher_logits: Tensor, temperature: float) -> Tensor:
    """KD-MSE: the mean over classes of (z_s - z_t)², the published scripts' default.

    Args:
        student_logits: [B, C].
        teacher_logits: [B, C].
        temperature: without effect; there so that all KD losses are called alike.

    Returns:
        [B], in squared logits.

    >>> kd_mse(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 4.0]]), temperature=5.0)
    tensor([2.])
    """
    return (student_logits.float() - teacher_logits.float()).square().mean(dim=-1)


KD_LOSSES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {"mse": kd_mse, "kl": kd_kl}
"""By their name in a recipe (`strategy.objective.kd_loss`)."""


def hidden_alignment(student: Sequence[Tensor], teacher: Sequence[Tensor], mask: Tensor) -> Tensor:
    """PT: Σ_layers mean over real positions and hidden of (h_s/‖h_s‖ - h_t/‖h_t‖)².

    Li et al. (2021), objective adaptation, after patient KD (Sun et al., 2019).

    Args:
        student: the aligned layers, each [B, L, H].
        teacher: their counterparts, each [B, L, H].
        mask: [B, L], nonzero at real (unpadded) positions.

    Returns:
        [B], dimensionless.

    >>> states = torch.tensor([[[3.0, 4.0], [9.0, 9.0]]])
    >>> hidden_alignment([states], [2 * states], torch.tensor([[1, 0]]))
    tensor([0.])
    """
    real = mask.float()
    positions = real.sum(dim=-1)
    total = torch.zeros_like(positions)
    for student_layer, teacher_layer in zip(student, teacher, strict=True):
        gap = F.normalize(student_layer.float(), dim=-1) - F.normalize(teacher_layer.float(), dim=-1)
        total = total + (gap.square().mean(dim=-1) * real).sum(dim=-1) / positions
    return total


def dynamic_kd_loss(student_logits: Tensor, teacher_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """The plug-in: KD-KL weighted by the student's normalised entropy, mean over the batch.

    mean_i u_i · KD-KL_i, with u detached. Put it in a training loop of your own, beside the loss on the
    labels.

    Args:
        student_logits: [B, C] with C >= 2.
        teacher_logits: [B, C].
        temperature: softens both sides.

    Returns:
        A scalar, in nats times T².

    >>> sure, unsure = torch.tensor([[1000.0, 0.0]]), torch.tensor([[0.0, 0.0]])
    >>> dynamic_kd_loss(sure, unsure), dynamic_kd_loss(unsure, torch.tensor([[1.0, 0.0]]))
    (tensor(0.), tensor(0.1109))
    """
    uncertainty = entropy(student_logits)
    return (kd_kl(student_logits, teacher_logits, temperature) * uncertainty).mean()
