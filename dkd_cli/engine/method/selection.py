"""Data selection: scores, ranking, and weights of the examples to distil.

Knows no model, and of the loss only the term on the labels. Indices are positions among the rows that are
scored together, by all processes if several share them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dkd_cli.engine.machine.processes import Share
from dkd_cli.engine.method.outputs import Output
from dkd_cli.engine.method.sampling import draw, inclusion
from dkd_cli.errors import RecipeError
from dkd_cli.recipe.strategy_section import DataSelection
from dkd_cli.recipe.words import SCORE_READS, score_reads

EVERYTHING = DataSelection(score="none")


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Inputs of a selection score, for B examples."""

    output: Output
    logits: Tensor
    """[B, C], the student's."""
    labels: Tensor | None = None
    """[B], or None where there are none."""
    teacher_logits: Tensor | None = None
    """[B, C], where the score reads them (`asks_teacher`)."""
    labelled: Tensor | None = None
    """[B] bool, the rows that have a label; None: all of them, where there are labels at all."""


def _label_loss(seen: Scored) -> Tensor:
    if seen.labels is None:
        raise RecipeError(
            "strategy.data.score", "'label-loss' needs labels", "choose entropy, margin or confidence"
        )
    if seen.labelled is None:
        return seen.output.supervised(seen.logits.detach(), seen.labels)
    values = torch.zeros_like(seen.logits.flatten(1)[:, 0]).detach()
    values[seen.labelled] = seen.output.supervised(
        seen.logits.detach()[seen.labelled], seen.labels[seen.labelled]
    )
    return values


def _teacher_sure_student_unsure(seen: Scored) -> Tensor:
    assert seen.teacher_logits is not None, "asks_teacher says when they are needed"
    assert seen.output.sure_and_unsure is not None, "checks.check_plan refuses it"
    return seen.output.sure_and_unsure(seen.logits, seen.teacher_logits)


def _random(seen: Scored) -> Tensor:
    return torch.rand(seen.logits.size(0), device=seen.logits.device)


def _of_logits(name: str) -> Callable[[Scored], Tensor]:
    return lambda seen: seen.output.uncertainties[name](seen.logits)


INFORMATIVENESS: dict[str, Callable[[Scored], Tensor]] = {
    **{name: _of_logits(name) for name, reads in SCORE_READS.items() if reads == {"probabilities"}},
    "label-loss": _label_loss,
    "label-loss-b": _label_loss,
    "llkd": _teacher_sure_student_unsure,
    "random": _random,
}
"""Scores [B], higher is more informative, by the recipe's word (`strategy.data.score`)."""


def asks_teacher(selection: DataSelection) -> bool:
    """Return whether the score reads the teacher's logits of every example that is scored."""
    return "teacher" in score_reads(selection.score) and selection.ratio < 1.0


def informativeness(score: str, seen: Scored) -> Tensor:
    """The score of each example, [B], higher is more informative; a trailing `-r` reverses.

    A row without a label has no loss on one: by a score that reads labels it gets -inf, and ranks last also
    where the score is reversed.

    Raises:
        RecipeError: for a score that reads labels where there are none.
    """
    values = INFORMATIVENESS[score.removesuffix("-r")](seen)
    values = -values if score.endswith("-r") else values
    if "labels" not in score_reads(score) or seen.labelled is None:
        return values
    return values.masked_fill(~seen.labelled, -math.inf)


def rank(score: str, values: Tensor) -> Tensor:
    """Positions from the most to the least informative, [B] -> [B]; `label-loss-b` takes both ends in turn.

    >>> rank("label-loss", torch.tensor([0.1, 3.0, 2.0])), rank("label-loss-b", torch.tensor([0.1, 3.0, 2.0]))
    (tensor([1, 2, 0]), tensor([1, 0, 2]))
    """
    order = torch.argsort(values, descending=True, stable=True)
    if score != "label-loss-b":
        return order
    alternating = order.clone()
    scored = int((values != -math.inf).sum())  # the others have no label and stay last
    hard = (scored + 1) // 2
    alternating[0:scored:2] = order[:hard]
    alternating[1:scored:2] = order[hard:scored].flip(0)
    return alternating


def kept(ratio: float, size: int) -> int:
    """Return the number of examples that a ratio keeps: ⌊size · ratio⌋, at least one, so that no mean is
    empty.

    >>> kept(0.29, 100), kept(0.1, 5)
    (29, 1)
    """
    # The tiny surplus undoes binary rounding: 0.29 * 100 is 28.999999999999996.
    return max(1, int(size * ratio + 1e-9))


def select(selection: DataSelection, seen: Scored) -> Tensor:
    """Positions of the examples to distil, most informative first, [B, C] -> [K].

    Li et al. (2021), data selection.

    Score `none` keeps all of them, whatever the ratio, as published.
    """
    if selection.ratio == 1.0 or selection.score == "none":
        return torch.arange(seen.logits.size(0), device=seen.logits.device)
    values = informativeness(selection.score, seen)
    return rank(selection.score, values)[: kept(selection.ratio, values.numel())]


@dataclass(frozen=True)
class Selected:
    """The examples that a selection takes."""

    positions: Tensor
    """[K], the most informative first."""
    weights: Tensor
    """[K], detached: the weight of each; all 1 unless examples were sampled by score or `scale` is
    `ratio`."""

    def agreed(self, share: Share) -> Selected:
        """The choice that all processes follow, where several share the batch."""
        return Selected(share.agreed(self.positions), share.agreed(self.weights))


@torch.no_grad()
def choose(selection: DataSelection, seen: Scored) -> Selected:
    """Select examples and weigh them, [B, C] -> [K] and [K].

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
    size = seen.logits.size(0)
    everything = selection.ratio == 1.0 or selection.score == "none"
    if selection.keep == "top" or selection.score == "random" or everything:
        positions = select(selection, seen)
        weights = torch.ones(positions.numel(), device=seen.logits.device)
    else:
        count = kept(selection.ratio, size)
        values = informativeness(selection.score, seen)
        scored = values != -math.inf
        least = values[scored].min() if bool(scored.any()) else torch.zeros_like(values[0])
        probabilities = inclusion(torch.where(scored, values, least), count)
        positions = draw(probabilities, count)
        weights = (count / (size * probabilities[positions])).float()
    scale = positions.numel() / size if selection.scale == "ratio" else 1.0
    return Selected(positions, scale * weights)
