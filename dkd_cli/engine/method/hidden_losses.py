"""Losses between hidden states of student and teacher, of aligned layers: one value per example, [B].

Pure functions, as in `losses`. Which layers are aligned is decided elsewhere. Needs nothing but torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


def hidden_alignment(student: Sequence[Tensor], teacher: Sequence[Tensor], mask: Tensor) -> Tensor:
    """Hidden-state loss (the paper's PT): Σ_layers mean over real positions and hidden dimensions of
    (h_s/‖h_s‖ - h_t/‖h_t‖)².

    Li et al. (2021), objective adaptation, after patient KD (Sun et al., 2019).

    Args:
        student: the aligned layers, each [B, L, H].
        teacher: their counterparts, each [B, L, H]; no gradient reaches them.
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
        directions = F.normalize(teacher_layer.float(), dim=-1)
        gap: Tensor = _DirectionGap.apply(student_layer.float(), directions)  # type: ignore[no-untyped-call]
        total = total + (gap * real).sum(dim=-1) / positions
    return total


def hidden_directions(student: Sequence[Tensor], teacher: Sequence[Tensor], mask: Tensor) -> Tensor:
    """Hidden-state loss by angle: Σ_layers mean over real positions of ‖h_s/‖h_s‖ - h_t/‖h_t‖‖².

    The hidden dimensions are summed where `hidden_alignment` takes their mean. A layer therefore has
    2 (1 - cosine), 0 to 4, whatever the width of the model.

    Args:
        student: the aligned layers, each [B, L, H].
        teacher: their counterparts, each [B, L, H]; no gradient reaches them.
        mask: [B, L], nonzero at real (unpadded) positions.

    Returns:
        [B], dimensionless.

    >>> student, teacher = torch.tensor([[[3.0, 4.0]]]), torch.tensor([[[8.0, -6.0]]])
    >>> hidden_directions([student], [teacher], torch.tensor([[1]]))
    tensor([2.0000])
    """
    width = student[0].size(-1) if student else 1
    return hidden_alignment(student, teacher, mask) * width


class _DirectionGap(torch.autograd.Function):
    """Mean over the last dimension of (s/‖s‖ - t)²: states s and directions t [..., H] -> [...].

    With d = s/‖s‖ and g = d - t its gradient is 2 (g - (g·d) d) / (H ‖s‖). By autograd, the chain of
    quotient, root and square takes about twice as long (docs/performance.md).
    """

    @staticmethod
    def forward(ctx: Any, states: Tensor, directions: Tensor) -> Tensor:
        # The bound of F.normalize, for zero states.
        lengths = torch.linalg.vector_norm(states, dim=-1, keepdim=True).clamp(min=1e-12)
        own = states / lengths
        gap: Tensor = own - directions
        ctx.save_for_backward(own, gap, lengths)
        return gap.square().mean(dim=-1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        own, gap, lengths = ctx.saved_tensors
        scale = 2 * gradient[..., None] / (own.size(-1) * lengths)
        return scale * (gap - (gap * own).sum(dim=-1, keepdim=True) * own), None


def attention_relations(
    student: Sequence[Tensor], teacher: Sequence[Tensor], mask: Tensor, heads: int
) -> Tensor:
    """Attention relations (MiniLMv2): Σ over queries, keys and values of the mean over heads and real
    positions of KL(r_t ‖ r_s).

    Wang et al. (2021). A relation r is softmax(x xᵀ / √d), one of queries, keys and values with itself, in
    several relation heads of d dimensions each: the similarity of positions. Hidden sizes and attention heads
    may therefore differ.

    Args:
        student: queries, keys and values of the aligned layers, each [B, L, H].
        teacher: their counterparts, each [B, L, H'].
        mask: [B, L], nonzero at real (unpadded) positions.
        heads: divides H and H'.

    Returns:
        [B], in nats.

    >>> states = torch.tensor([[[3.0, 4.0], [9.0, 9.0]]])
    >>> attention_relations([states], [states], torch.tensor([[1, 1]]), heads=2)
    tensor([0.])
    """
    real = mask.bool()
    total = torch.zeros(len(mask), device=mask.device)
    for own, other in zip(student, teacher, strict=True):
        relations, target = (_log_relations(states, real, heads) for states in (own, other))
        gap = F.kl_div(relations, target, reduction="none", log_target=True)
        per_position = gap.sum(dim=-1).mean(dim=1)  # [B, L]
        total = total + (per_position * real).sum(dim=-1) / real.sum(dim=-1)
    return total


def _log_relations(states: Tensor, real: Tensor, heads: int) -> Tensor:
    """Logarithms of the relations among real positions, [B, L, H] -> [B, heads, L, L]."""
    split = states.float().reshape(*states.shape[:2], heads, -1).transpose(1, 2)
    alike = split @ split.transpose(-1, -2) / split.size(-1) ** 0.5
    # Not minus infinity, whose difference with itself is NaN.
    return F.log_softmax(alike.masked_fill(~real[:, None, None], -1e30), dim=-1)
