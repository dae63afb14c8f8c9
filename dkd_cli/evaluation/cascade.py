"""Cascade of student and teacher: quality, deferred share and cost; pure functions.

A row is deferred to the teacher if the student's uncertainty (the normalised entropy of its calibrated
probabilities) is above a threshold. The student always runs, the teacher for deferred rows only.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from dkd_cli.data.kinds import KINDS
from dkd_cli.data.output_math import Floats, centred

STEPS = 20
"""Points of the curve after the first: shares of 0, 5, ..., 100 %."""
FINE_STEPS = 200
"""Candidate shares for the threshold, in steps of 0.5 %."""

Quality = Callable[[Floats], float | None]
"""Logits [N, C] -> the main metric; None where it is not defined."""
NoWorse = Callable[[float, float], bool]
"""True if the first score is at least as good as the second."""


@dataclass(frozen=True)
class CascadePoint:
    """A threshold and its results on some rows."""

    threshold: float
    """Rows above it are deferred; 1 defers none, below 0 all."""
    deferred: float
    """The share of rows that the teacher predicts."""
    quality: float | None


def uncertainty(
    logits: ArrayLike, temperature: float, kind: str = "classification", cuts: Floats | None = None
) -> Floats:
    """Normalised entropy of softmax(z / T), [N, C] -> [N] in [0, 1].

    Of several labels that of the label nearest to its threshold, σ((z - cut) / T).
    """
    found = KINDS[kind].uncertainty
    assert found is not None, "a number has no uncertainty, and no cascade"
    return found(centred(np.asarray(logits, dtype=np.float64), cuts) / temperature)


def at_threshold(
    threshold: float,
    doubt: Floats,
    student: Floats,
    teacher: Floats,
    quality: Quality,
) -> CascadePoint:
    """Evaluate a threshold: the teacher predicts the rows whose `doubt` [N] is above it; logits are [N, C]
    each."""
    deferred = doubt > threshold
    joined = np.where(deferred[:, None], teacher, student)
    return CascadePoint(float(threshold), float(deferred.mean()), quality(joined))


def curve(
    doubt: Floats,
    student: Floats,
    teacher: Floats,
    quality: Quality,
    steps: int = STEPS,
) -> list[CascadePoint]:
    """Evaluate deferred shares of about 0, 1/steps, ..., 1; rows of equal doubt stay together."""
    ranked = np.sort(doubt)[::-1]
    points = []
    for step in range(steps + 1):
        first_kept = round(step / steps * len(ranked))
        threshold = -1.0 if first_kept == len(ranked) else float(ranked[first_kept])
        points.append(at_threshold(1.0 if step == 0 else threshold, doubt, student, teacher, quality))
    return points


def keeping_the_teachers_quality(
    doubt: Floats, student: Floats, teacher: Floats, quality: Quality, no_worse: NoWorse = operator.ge
) -> float:
    """The threshold that defers the fewest rows and still scores no worse than the teacher alone.

    There is always one: below 0 everything is deferred.
    """
    enough = quality(teacher)
    for point in curve(doubt, student, teacher, quality, FINE_STEPS):
        if enough is None or (point.quality is not None and no_worse(point.quality, enough)):
            return point.threshold
    raise AssertionError("the last point is the teacher itself")
