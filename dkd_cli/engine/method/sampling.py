"""Sampling of examples with unequal probabilities, such that their weighted mean is unbiased for all
examples.

Pure functions [B] -> [B] or [K]. Needs nothing but torch, and uses its random generator.
"""

from __future__ import annotations

import torch
from torch import Tensor

UNIFORM_SHARE = 0.5
"""The share of the sampling probability that ignores the values. By values alone the lowest would almost
never be sampled, and then with an enormous weight; with one half, no weight exceeds 2
(`selection.choose`)."""


def inclusion(values: Tensor, count: int) -> Tensor:
    """Return the probability that each example is among `count` sampled ones, [B] -> [B] float64, summing to
    `count`.

    Proportional to value - min(values), mixed with `UNIFORM_SHARE` of uniform sampling. Values above 1 become
    1, and the others share the rest of `count` in proportion.

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
    # Largest first, an example is certain if its part of what larger ones leave over is 1 or more.
    certain = ((count - rank_of) * shares >= left).cumprod(0).sum()
    scale = (count - certain) / left[certain.clamp(max=size - 1)]
    inverse = torch.empty_like(shares)
    inverse[order] = torch.where(rank_of < certain, 1.0, (scale * shares).clamp(max=1.0))
    return inverse


def draw(probabilities: Tensor, count: int) -> Tensor:
    """Sample `count` positions, each with its own probability, the probable ones first: [B] -> [count].

    Systematic sampling (Madow, 1949, "On the theory of systematic sampling, II"): the probabilities are
    placed end to end on a line of length `count`, and an equidistant grid with spacing 1, shifted by one
    random number of torch's generator, selects those it hits. In order of size, each grid point selects from
    a stratum of similar scores, so that one sample resembles another.
    """
    order = torch.argsort(probabilities, descending=True, stable=True)
    ends = probabilities[order].cumsum(0)
    ends[-1] = count  # undoes rounding: the last grid point must not miss the line
    teeth = torch.rand((), device=ends.device).double() + torch.arange(count, device=ends.device)
    # The bound matters only if a score is NaN, in which case the loss is NaN too.
    return order[torch.searchsorted(ends, teeth, right=True).clamp(max=order.numel() - 1)]
