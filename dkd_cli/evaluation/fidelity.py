"""Fidelity of a student to its teacher; pure functions of arrays. Uses no labels except for `retention`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dkd_cli.data.kinds import KINDS
from dkd_cli.data.metric_names import LOWER_IS_BETTER
from dkd_cli.data.output_math import Floats
from dkd_cli.evaluation.metrics import pearson


def _same(student: NDArray[Any], teacher: NDArray[Any]) -> float:
    return float(np.mean(student == teacher))


def _same_labels(student: NDArray[Any], teacher: NDArray[Any]) -> float:
    return float(np.mean((student == teacher).all(axis=-1)))


def _same_tags(student: NDArray[Any], teacher: NDArray[Any]) -> float:
    there = (student >= 0) & (teacher >= 0)
    return float(np.mean((student == teacher)[there])) if there.any() else 0.0


AGREEMENT: dict[str, Callable[[NDArray[Any], NDArray[Any]], float | None]] = {
    "classification": _same,
    "multi-label": _same_labels,
    "tokens": _same_tags,
    "regression": pearson,
}
"""By the kind of output: two predictions [N] -> the share of rows with the same class, or the same labels, or
the correlation of numbers."""


def agreement(student_logits: ArrayLike, teacher_logits: ArrayLike, kind: str) -> float | None:
    """The share of rows on which both predict the same, [N, C] each; for numbers their Pearson correlation.

    Of several labels the logits are less their cuts. None if a constant prediction leaves the correlation
    undefined.
    """
    student, teacher = map(KINDS[kind].predicted, _paired(student_logits, teacher_logits))
    return AGREEMENT[kind](student, teacher)


def mean_kl(
    student_logits: ArrayLike, teacher_logits: ArrayLike, kind: str = "classification"
) -> float | None:
    """KL(teacher ‖ student) between the predicted distributions, [N, C] each, mean over rows, in nats.

    None where outputs have no probabilities.

    >>> mean_kl([[2.0, 0.0]], [[2.0, 0.0]])
    0.0
    """
    student, teacher = _paired(student_logits, teacher_logits)
    divergence = KINDS[kind].divergence
    return None if divergence is None else float(np.mean(divergence(teacher, student)))


def retention(metric: str, student: float | None, teacher: float | None) -> float | None:
    """The student's share of the teacher's score.

    None unless both exist and the teacher's is positive; nor is an error, of which less is better, retained.
    """
    if student is None or teacher is None or teacher <= 0 or metric in LOWER_IS_BETTER:
        return None
    return student / teacher


def _paired(student_logits: ArrayLike, teacher_logits: ArrayLike) -> tuple[Floats, Floats]:
    student = np.asarray(student_logits, dtype=np.float64)
    teacher = np.asarray(teacher_logits, dtype=np.float64)
    if student.shape != teacher.shape:
        raise ValueError(f"student logits {student.shape} do not pair with teacher logits {teacher.shape}")
    return student, teacher
