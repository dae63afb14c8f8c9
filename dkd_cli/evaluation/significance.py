"""Significance of differences between strategies, over seeds and test examples.

Pure functions of scores. A score varies for two reasons: another seed would give another student, and another
test set would contain other examples. Knows nothing about models, metrics or files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

Floats = NDArray[np.float64]

RESAMPLES = 2000
LEVEL = 0.05
"""The significance level: intervals cover 1 - LEVEL, and a smaller p is called a difference."""


@dataclass(frozen=True)
class Difference:
    """The lead of one strategy over another, in units of the metric."""

    gain: float
    """The mean over seeds of the differences; negative: it is behind."""
    low: float
    high: float
    """The 95 % interval, of this comparison alone."""
    p: float
    """Two-sided p value."""
    standard_error: float
    from_seeds: float
    """The share of the squared standard error that is due to seeds, beyond the examples' part."""
    holm: float
    """p, corrected for the number of comparisons in its family; initially p itself."""


def paired_difference(ours: Floats, theirs: Floats, ours_again: Floats, theirs_again: Floats) -> Difference:
    """Compare two strategies, paired by seed and by example.

    The examples' part of the variance is that of the mean difference over resamples of the examples (paired
    bootstrap). The seeds' part is the variance of the differences between seeds, minus the examples'
    contribution to it; resampling three seeds would underestimate it by a third. The sum has the degrees of
    freedom of Welch and Satterthwaite, and Student's t gives interval and p.

    Args:
        ours: the score of each seed, [S].
        theirs: of the same seeds, [S].
        ours_again: on each resample of the examples, [B, S].
        theirs_again: on the same resamples, [B, S].
    """
    by_seed, again = ours - theirs, ours_again - theirs_again
    again = again[np.isfinite(again).all(axis=1)]
    seeds, gain = len(by_seed), float(by_seed.mean())
    # Never 0, by which two identical strategies would divide.
    variance = from_examples = max(float(again.mean(axis=1).var(ddof=1)), 1e-18)
    freedom = math.inf
    if seeds > 1:
        between = float(by_seed.var(ddof=1))
        own = again - again.mean(axis=1, keepdims=True)
        by_examples = float(own.var(axis=0, ddof=1).sum()) / (seeds - 1)
        variance += max(0.0, between - by_examples) / seeds
        if between > 0:
            freedom = (seeds - 1) * (variance / (between / seeds)) ** 2
    error = math.sqrt(variance)
    # Above this, Student's t equals the normal distribution to the last digit.
    freedom = min(freedom, 1e9)
    margin = float(stdtrit(freedom, 1 - LEVEL / 2)) * error
    p = min(1.0, 2 * float(stdtr(freedom, -abs(gain) / error)))
    return Difference(gain, gain - margin, gain + margin, p, error, 1 - from_examples / variance, p)


def holm(ps: Sequence[float]) -> list[float]:
    """Correct the p values of one family of comparisons (Holm, 1979): the smallest times n, the next n - 1.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    corrected, so_far = [0.0] * len(ps), 0.0
    for place, index in enumerate(sorted(range(len(ps)), key=lambda i: ps[i])):
        so_far = max(so_far, min(1.0, (len(ps) - place) * ps[index]))
        corrected[index] = so_far
    return corrected
