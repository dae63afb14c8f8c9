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


def test_several_tests_need_more_of_each() -> None:
    alone, among_five = (
        kept_score(TASK, logits(276), logits(300), [0] * 400, 0.9, 0.9, tests=tests) for tests in (1, 5)
    )
    assert alone is not None
    assert among_five is not None
    assert among_five.low < alone.low
    assert 1 - among_five.confidence == pytest.approx(5 * (1 - alone.confidence))
    hopeless = kept_score(TASK, logits(200), logits(300), [0] * 400, 0.9, 0.9, tests=5)
    assert hopeless is not None
    assert hopeless.confidence == 0.0


def test_bounds_of_several_students_hold_together() -> None:
    """Five students that keep just less than what is asked for: that any of them seems to suffice is rare."""
    generator, wrong, trials = np.random.default_rng(0), 0, 40
    for _ in range(trials):
        right = generator.random((6, 300))
        teacher, *students = (
            logits_of(row < share) for row, share in zip(right, [0.8, *[0.71] * 5], strict=True)
        )
        found = [kept_score(TASK, one, teacher, [0] * 300, 0.9, 0.9, tests=5) for one in students]
        wrong += any(one is not None and one.confidence >= 0.9 for one in found)
    assert wrong <= trials * 0.15


def logits_of(right: np.ndarray) -> np.ndarray:
    """[N, 2] of rows whose true class is 0."""
    return np.where(right[:, None], [1.0, 0.0], [0.0, 1.0])


def test_of_several_labels_each_model_has_its_own_thresholds() -> None:
    task = Task("unit", kind="multi-label", metrics=("micro_f1",))
    truth = np.tile([[1, 0], [0, 1], [1, 1], [0, 0]], (20, 1))
    perfect = np.where(truth == 1, 3.0, 1.0)  # right above 2, and all labels above 0
    cut = np.array([2.0, 2.0])
    kept = kept_score(task, perfect, perfect, truth.tolist(), 0.9, 0.9, cuts=(None, cut))
    assert kept is not None
    assert (kept.student, kept.teacher) == (pytest.approx(2 / 3), 1.0)
    unlabelled = kept_score(task, perfect, perfect - 2.0, None, 0.9, 0.9, cuts=(cut, None))
    assert unlabelled is not None
    assert (unlabelled.metric, unlabelled.share) == ("subset_accuracy", 1.0)


def test_numbers_without_labels_are_compared_by_their_correlation() -> None:
    task, numbers = Task("unit", kind="regression", metrics=("mse",)), np.arange(50.0)[:, None]
    kept = kept_score(task, 2 * numbers + 1, numbers, None, 0.9, 0.9)
    assert kept is not None
    assert (kept.metric, kept.student, kept.teacher) == ("pearson", pytest.approx(1.0), pytest.approx(1.0))
