"""Fidelity of a student to its teacher; pure functions of arrays. Uses no labels except for `retention`."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from dkd_cli.evaluation.metrics import Floats, pearson


def agreement(
    student_logits: ArrayLike, teacher_logits: ArrayLike, kind: Literal["classification", "regression"]
) -> float | None:
    """Agreement: the share of rows on which both predict the same class, [N, C] each; for numbers, their
    Pearson correlation.

    None if a constant prediction leaves the correlation undefined.
    """
    student, teacher = _paired(student_logits, teacher_logits)
    if kind == "regression":
        return pearson(student[:, 0], teacher[:, 0])
    return float(np.mean(student.argmax(axis=-1) == teacher.argmax(axis=-1)))


def mean_kl(student_logits: ArrayLike, teacher_logits: ArrayLike) -> float:
    """KL(teacher ‖ student) between the predicted distributions, [N, C] each, mean over rows, in nats.

    >>> mean_kl([[2.0, 0.0]], [[2.0, 0.0]])
    0.0
    """
    student, teacher = (_log_softmax(logits) for logits in _paired(student_logits, teacher_logits))
    return float(np.mean(np.sum(np.exp(teacher) * (teacher - student), axis=-1)))


def retention(student: float | None, teacher: float | None) -> float | None:
    """Retention: the student's share of the teacher's score; None unless both exist and the teacher's is
    positive."""
    if student is None or teacher is None or teacher <= 0:
        return None
    return student / teacher


def _paired(student_logits: ArrayLike, teacher_logits: ArrayLike) -> tuple[Floats, Floats]:
    student = np.asarray(student_logits, dtype=np.float64)
    teacher = np.asarray(teacher_logits, dtype=np.float64)
    if student.shape != teacher.shape:
        raise ValueError(f"student logits {student.shape} do not pair with teacher logits {teacher.shape}")
    return student, teacher


def _log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)), dtype=np.float64)
