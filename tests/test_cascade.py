"""Student first, teacher when in doubt: the ends of the curve, and the choice of the threshold."""

from __future__ import annotations

import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dkd_cli.evaluation.cascade import (
    Quality,
    at_threshold,
    curve,
    keeping_the_teachers_quality,
    uncertainty,
)


def both(seed: int, rows: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits of a student and of a teacher, and labels that the teacher knows better."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(3, size=rows)
    truth = np.eye(3)[labels]
    student = truth + generator.normal(size=(rows, 3))
    teacher = 2 * truth + generator.normal(size=(rows, 3))
    return student, teacher, labels


def accuracy(labels: np.ndarray) -> Quality:
    return lambda logits: float((logits.argmax(axis=1) == labels).mean())


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), rows=st.integers(1, 80))
def test_the_ends_are_the_student_and_the_teacher(seed: int, rows: int) -> None:
    student, teacher, labels = both(seed, rows)
    quality, doubt = accuracy(labels), uncertainty(student, 1.0)
    points = curve(doubt, student, teacher, quality)
    assert (points[0].deferred, points[0].quality) == (0.0, quality(student))
    assert (points[-1].deferred, points[-1].quality) == (1.0, quality(teacher))
    shares = [point.deferred for point in points]
    assert shares == sorted(shares)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000))
def test_the_chosen_threshold_keeps_the_quality_where_it_was_chosen(seed: int) -> None:
    student, teacher, labels = both(seed)
    quality, doubt = accuracy(labels), uncertainty(student, 1.0)
    threshold = keeping_the_teachers_quality(doubt, student, teacher, quality)
    chosen = at_threshold(threshold, doubt, student, teacher, quality)
    assert chosen.quality is not None
    assert chosen.quality >= quality(teacher)
    fewer = [
        point for point in curve(doubt, student, teacher, quality, 60) if point.deferred < chosen.deferred
    ]
    assert all(point.quality is not None and point.quality < quality(teacher) for point in fewer)


def test_a_student_as_good_as_its_teacher_defers_nothing() -> None:
    student, _, labels = both(0)
    doubt = uncertainty(student, 1.0)
    assert keeping_the_teachers_quality(doubt, student, student, accuracy(labels)) == 1.0


def test_of_an_error_no_more_than_the_teachers_is_enough() -> None:
    student, teacher, labels = both(1)

    def error(logits: np.ndarray) -> float:
        return 1.0 - float((logits.argmax(axis=1) == labels).mean())

    doubt, quality = uncertainty(student, 1.0), accuracy(labels)
    by_error = keeping_the_teachers_quality(doubt, student, teacher, error, operator.le)
    assert by_error == keeping_the_teachers_quality(doubt, student, teacher, quality) < 1.0


def test_rows_of_equal_doubt_go_together() -> None:
    doubt = np.array([0.5, 0.5, 0.5, 0.1])
    logits = np.zeros((4, 2))
    shares = {point.deferred for point in curve(doubt, logits, logits, lambda _: 0.0)}
    assert shares == {0.0, 0.75, 1.0}


def test_doubt_is_taken_from_calibrated_probabilities() -> None:
    logits = np.array([[2.0, 0.0]])
    assert uncertainty(logits, 2.0) == pytest.approx(uncertainty(logits / 2, 1.0))
    assert uncertainty(logits, 2.0) > uncertainty(logits, 1.0)
