"""Pareto front of several costs; pure."""

from __future__ import annotations

from collections.abc import Sequence


def pareto_front(costs: Sequence[Sequence[float]]) -> list[bool]:
    """For each point, whether it is on the front: no other is at most as costly everywhere and less so
    somewhere.

    Args:
        costs: one row per point, lower is better in every column (negate what should be high).

    >>> pareto_front([[1.0, 3.0], [2.0, 2.0], [2.0, 3.0]])
    [True, True, False]
    """
    return [not any(_dominates(other, one) for other in costs) for one in costs]


def _dominates(other: Sequence[float], one: Sequence[float]) -> bool:
    pairs = list(zip(other, one, strict=True))
    return all(left <= right for left, right in pairs) and any(left < right for left, right in pairs)
