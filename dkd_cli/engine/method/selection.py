"""Data selection: scores, ranking, and weights of the examples to distil.

Knows no model, and of the loss only the term on the labels. Indices are positions among the rows that are
scored together, by all processes if several share them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from dkd_cli.engine.machine.processes import Share
from dkd_cli.engine.method.losses import supervised
from dkd_cli.engine.method.sampling import draw, inclusion
from dkd_cli.engine.method.uncertainty import SCORES, sure_teacher_unsure_student
from dkd_cli.errors import RecipeError
from dkd_cli.recipe.schema import DataSelection

EVERYTHING = DataSelection(score="none")


def asks_teacher(selection: DataSelection) -> bool:
    """Return whether the score reads the teacher's logits for every scored example."""
    return selection.score.removesuffix("-r") == "llkd" and selection.ratio < 1.0


def informativeness(
    score: str,
    logits: Tensor,
    labels: Tensor | None,
    teacher_logits: Tensor | None = None,
    labelled: Tensor | None = None,
) -> Tensor:
    """Compute the score of each example, [B, C] -> [B], where higher is more informative; a trailing `-r`
    reverses.

    `kl` and `kl-b` are the loss on the gold label; `llkd` reads the teacher's logits, [B, C], too; `random`
    draws from torch's generator. A row that `labelled` [B] leaves out has no loss on a label: it gets -inf,
    so that it ranks last, reversed or not.
    """
    base, reverse = score.removesuffix("-r"), score.endswith("-r")
    if base in SCORES:
        values = SCORES[base](logits)
    elif base == "llkd":
        assert teacher_logits is not None, "asks_teacher says when they are needed"
        values = sure_teacher_unsure_student(logits, teacher_logits)
    elif base in ("kl", "kl-b"):
        if labels is None:
            raise RecipeError(
                "strategy.data.score", f"{score!r} needs labels", "choose entropy, margin or confidence"
            )
        values = label_loss(logits, labels, labelled, -math.inf if not reverse else math.inf)
    else:
        assert base == "random", base
        values = torch.rand(logits.size(0), device=logits.device)
    return -values if reverse else values


def rank(score: str, values: Tensor) -> Tensor:
    """Rank positions from the most to the least informative, [B] -> [B]; `kl-b` takes both ends alternately.

    >>> rank("kl", torch.tensor([0.1, 3.0, 2.0])), rank("kl-b", torch.tensor([0.1, 3.0, 2.0]))
    (tensor([1, 2, 0]), tensor([1, 0, 2]))
    """
    order = torch.argsort(values, descending=True, stable=True)
    if score != "kl-b":
        return order
    alternating = order.clone()
    scored = int((values != -math.inf).sum())  # the others have no label and stay last
    hard = (scored + 1) // 2
    alternating[0:scored:2] = order[:hard]
    alternating[1:scored:2] = order[hard:scored].flip(0)
    return alternating


def label_loss(logits: Tensor, labels: Tensor, labelled: Tensor | None, otherwise: float) -> Tensor:
    """Compute the loss on the gold label, [B, C] -> [B], and `otherwise` for rows without one.

    >>> logits, labels = torch.zeros(2, 2), torch.tensor([1, -100])
    >>> label_loss(logits, labels, torch.tensor([True, False]), -math.inf)
    tensor([0.6931,   -inf])
    """
    if labelled is None:
        return supervised(logits.detach(), labels)
    values = torch.full((logits.size(0),), otherwise, device=logits.device)
    values[labelled] = supervised(logits.detach()[labelled], labels[labelled])
    return values


def kept(ratio: float, size: int) -> int:
    """Return the number of examples that a ratio keeps: ⌊size · ratio⌋, at least one, so that no mean is
    empty.

    >>> kept(0.29, 100), kept(0.1, 5)
    (29, 1)
    """
    # The tiny surplus undoes binary rounding: 0.29 * 100 is 28.999999999999996.
    return max(1, int(size * ratio + 1e-9))


def select(
    selection: DataSelection,
    logits: Tensor,
    labels: Tensor | None,
    teacher_logits: Tensor | None = None,
    labelled: Tensor | None = None,
) -> Tensor:
    """Select the positions of the examples to distil, most informative first, [B, C] -> [K].

    Li et al. (2021), data selection.

    Score `none` keeps all of them, whatever the ratio, as published.
    """
    if selection.ratio == 1.0 or selection.score == "none":
        return torch.arange(logits.size(0), device=logits.device)
    values = informativeness(selection.score, logits, labels, teacher_logits, labelled)
    return rank(selection.score, values)[: kept(selection.ratio, logits.size(0))]


@dataclass(frozen=True)
class Chosen:
    """The selected examples."""

    positions: Tensor
    """[K], the most informative first."""
    weights: Tensor
    """[K], detached: the weight of each; all 1 unless examples were sampled by score or `scale` is
    `ratio`."""

    def agreed(self, share: Share) -> Chosen:
        """The choice that all processes follow, if several share the batch."""
        return Chosen(share.agreed(self.positions), share.agreed(self.weights))


@torch.no_grad()
def choose(
    selection: DataSelection,
    logits: Tensor,
    labels: Tensor | None,
    teacher_logits: Tensor | None = None,
    labelled: Tensor | None = None,
) -> Chosen:
    """Select examples and their weights, [B, C] -> [K] and [K].

    `keep: top` is `select`, with weights 1. `keep: weighted` samples K = `kept` examples without replacement,
    example i with probability π_i (`inclusion`), and weights it by K / (B π_i). The weighted mean over the
    sample, (1/K) Σ w_i f_i, is then the Horvitz-Thompson estimator of the mean over all B: unbiased for any f
    (Horvitz & Thompson, 1952, "A generalization of sampling without replacement from a finite universe").

    The score `random` already samples uniformly: π_i = K/B, so its weights are 1 either way.

    `scale: ratio` multiplies all weights by K/B: a mean over the selected examples becomes their part of the
    mean over the batch.

    A row without a label (`labelled` [B] leaves it out) ranks last by a score that reads labels, and is drawn
    as rarely as the labelled row of the least score.
    """
    size = logits.size(0)
    everything = selection.ratio == 1.0 or selection.score == "none"
    if selection.keep == "top" or selection.score == "random" or everything:
        positions = select(selection, logits, labels, teacher_logits, labelled)
        weights = torch.ones(positions.numel(), device=logits.device)
    else:
        count = kept(selection.ratio, size)
        values = informativeness(selection.score, logits, labels, teacher_logits, labelled)
        scored = values != -math.inf
        least = values[scored].min() if bool(scored.any()) else torch.zeros_like(values[0])
        probabilities = inclusion(torch.where(scored, values, least), count)
        positions = draw(probabilities, count)
        weights = (count / (size * probabilities[positions])).float()
    scale = positions.numel() / size if selection.scale == "ratio" else 1.0
    return Chosen(positions, scale * weights)
