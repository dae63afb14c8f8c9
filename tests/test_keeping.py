"""How much of a teacher's score a student keeps, and the confidence of that."""

from __future__ import annotations

import numpy as np
import pytest

from dkd_cli.data.tasks import Task
from dkd_cli.evaluation.keeping import kept_score

TASK = Task("unit")


def logits(right: int, rows: int = 400) -> np.ndarray:
    """Two classes, of which the true one is 0; the first `right` rows are predicted right."""
    found = np.zeros((rows, 2))
    found[:right, 0], found[right:, 1] = 1.0, 1.0
    return found


def test_the_share_is_that_of_the_scores() -> None:
    kept = kept_score(TASK, logits(270), logits(300), [0] * 400, 0.9, 0.9)
    assert kept is not None
    assert (kept.metric, kept.rows) == ("accuracy", 400)
    assert (kept.student, kept.teacher) == (0.675, 0.75)
    assert kept.share == pytest.approx(0.9)
    assert kept.low < kept.share
    assert 0.4 < kept.confidence < 0.6


def test_more_rows_give_a_tighter_bound() -> None:
    few, many = (
        kept_score(TASK, logits(rows * 7 // 10, rows), logits(rows * 3 // 4, rows), [0] * rows, 0.9, 0.9)
        for rows in (40, 4000)
    )
    assert few is not None
    assert many is not None
    assert few.low < many.low < 0.95
    assert few.confidence < many.confidence


def test_errors_on_the_same_rows_are_paired() -> None:
    same = kept_score(TASK, logits(300), logits(300), [0] * 400, 1.0, 0.9)
    assert same is not None
    assert (same.low, same.confidence) == (1.0, 1.0)


def test_without_labels_agreement_is_kept() -> None:
    kept = kept_score(TASK, logits(360), logits(400), None, 0.85, 0.9)
    assert kept is not None
    assert (kept.student, kept.teacher) == (0.9, 1.0)


def test_of_an_error_the_teachers_is_over_the_students() -> None:
    task, truth = Task("unit", kind="regression", metrics=("mse",)), [0.0] * 50
    kept = kept_score(task, np.full((50, 1), 2.0), np.full((50, 1), 1.0), truth, 0.2, 0.9)
    assert kept is not None
    assert (kept.student, kept.teacher, kept.share) == (4.0, 1.0, 0.25)
    assert kept.confidence == 1.0


def test_what_is_undefined_is_kept_by_nobody() -> None:
    assert kept_score(TASK, logits(300), logits(0), [0] * 400, 0.9, 0.9) is not None
    assert kept_score(TASK, logits(0), logits(0), [0] * 400, 0.9, 0.9) is None
