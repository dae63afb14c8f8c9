"""Drawing examples by lot, some more often than others, so that their weighted mean is that of all.

Pure functions [B] -> [B] or [K]. Needs nothing but torch, whose generator they draw from.
"""

from __future__ import annotations

import torch
from torch import Tensor

UNIFORM_SHARE = 0.5
"""How much of a draw ignores the values. A draw by values alone would hardly ever take the least one, and
then at an enormous weight; by halves no weight exceeds 2 (`selection.choose`)."""


def inclusion(values: Tensor, count: int) -> Tensor:
    """The probability of each example to be among `count` drawn ones, [B] -> [B] float64, summing to `count`.

    Proportional to value - min(values), mixed with `UNIFORM_SHARE` of an even draw. What would exceed 1 is 1,
    and the others share what remains of `count` in their proportions.

    >>> inclusion(torch.tensor([0.0, 1.0, 1.0, 2.0]), 2)
    tensor([0.2500, 0.5000, 0.5000, 0.7500], dtype=torch.float64)
    """
    size = values.numel()
    shifted = (values - values.min()).double()
    even = torch.full_like(shifted, 1.0 / size)
    by_score = torch.where(shifted.sum() > 0, shifted / shifted.sum(), even)
    shares, order = ((1.0 - UNIFORM_SHARE) * by_score + UNIFORM_SHARE * even).sort(descending=True)
    rank_of = torch.arange(size, device=values.device)
    left = shares.flip(0).cumsum(0).flip(0)  # [B], the sum of each share and all smaller ones
    # Largest first, an example is certain if its part of what the larger ones left over is 1 or more.
    certain = ((count - rank_of) * shares >= left).cumprod(0).sum()
    scale = (count - certain) / left[certain.clamp(max=size - 1)]
    inverse = torch.empty_like(shares)
    inverse[order] = torch.where(rank_of < certain, 1.0, (scale * shares).clamp(max=1.0))
    return inverse


def draw(probabilities: Tensor, count: int) -> Tensor:
    """Draw `count` positions, each with its own probability, the probable ones first: [B] -> [count].

    Systematic sampling (Madow, 1949, "On the theory of systematic sampling, II"): the probabilities are laid
    end to end on a line of length `count`, and a comb of teeth 1 apart, shifted by one random number of
    torch's generator, picks those it hits. Laid in order of size, each tooth picks from a stratum of like
    scores, so that one draw resembles another.
    """
    order = torch.argsort(probabilities, descending=True, stable=True)
    ends = probabilities[order].cumsum(0)
    ends[-1] = count  # undoes rounding: the last tooth must not miss the line
    teeth = torch.rand((), device=ends.device).double() + torch.arange(count, device=ends.device)
    # The bound matters only where a score is NaN, which the loss then is too.
    return order[torch.searchsorted(ends, teeth, right=True).clamp(max=order.numel() - 1)]
