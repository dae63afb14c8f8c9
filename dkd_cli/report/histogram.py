"""Histogram in lines of text. Does not know where it is printed."""

from __future__ import annotations

import math
from collections.abc import Sequence

BAR_WIDTH = 40


def histogram_lines(values: Sequence[float], bins: int) -> list[str]:
    """Return one line per interval: its bounds, a bar, its count; equal values make one line.

    Raises ValueError for no values and for one that is not finite.
    """
    if not values or not all(math.isfinite(value) for value in values):
        raise ValueError("a histogram needs values, all of them finite")
    low, high = min(values), max(values)
    if low == high:
        return [f"  {low:.4g}  {'█' * BAR_WIDTH} {len(values)}"]
    counts = [0] * bins
    for value in values:
        counts[min(int((value - low) / (high - low) * bins), bins - 1)] += 1
    width = (high - low) / bins
    digits = max(0, 1 - math.floor(math.log10(width)))
    edges = [f"{low + i * width:.{digits}f}" for i in range(bins + 1)]
    pad, most = max(map(len, edges)), max(counts)
    return [
        f"  {edges[i]:>{pad}} to {edges[i + 1]:>{pad}}  {bar_of(count, most)}{count}"
        for i, count in enumerate(counts)
    ]


def bar_of(count: int, most: int) -> str:
    """Return the bar and a space; a non-zero count has at least one block."""
    return "█" * max(1, round(BAR_WIDTH * count / most)) + " " if count else ""
