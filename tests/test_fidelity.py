"""Closeness of student and teacher against values worked out by hand."""

from __future__ import annotations

import math

import pytest

from dkd_cli.evaluation.fidelity import agreement, mean_kl, retention


def test_agreement_counts_equal_classes() -> None:
    student, teacher = [[0.0, 1.0], [3.0, 1.0], [0.0, 5.0]], [[0.0, 9.0], [0.0, 1.0], [1.0, 2.0]]
    assert agreement(student, teacher, "classification") == pytest.approx(2 / 3)


def test_agreement_of_numbers_is_their_correlation() -> None:
    assert agreement([[1.0], [2.0], [3.0]], [[2.0], [4.0], [6.0]], "regression") == pytest.approx(1.0)
    assert agreement([[1.0], [1.0]], [[2.0], [4.0]], "regression") is None


def test_kl_in_nats() -> None:
    # teacher (3/4, 1/4), student (1/2, 1/2)
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert mean_kl([[0.0, 0.0]], [[math.log(3), 0.0]]) == pytest.approx(expected)


def test_kl_at_extreme_logits_is_finite() -> None:
    assert mean_kl([[0.0, 1000.0]], [[1000.0, 0.0]]) == pytest.approx(1000.0)
    assert mean_kl([[1000.0, 0.0]], [[1000.0, 0.0]]) == 0.0


@pytest.mark.parametrize(
    ("student", "teacher", "share"),
    [(0.45, 0.9, 0.5), (0.9, None, None), (None, 0.9, None), (0.5, 0.0, None), (0.5, -0.1, None)],
)
def test_retention(student: float | None, teacher: float | None, share: float | None) -> None:
    assert retention("f1", student, teacher) == share
    assert retention("loss", student, teacher) is None, "of an error nothing is kept"


def test_different_tasks_do_not_pair() -> None:
    with pytest.raises(ValueError, match="do not pair"):
        agreement([[0.0, 1.0]], [[0.0, 1.0, 2.0]], "classification")
