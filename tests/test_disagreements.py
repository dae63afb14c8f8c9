"""Which differences are shown, and in which order."""

from __future__ import annotations

import numpy as np

from dkd_cli.data.examples import Split
from dkd_cli.evaluation.disagreements import LONGEST_TEXT, disagreements


def split(texts: list[str], labels: list[int] | None, pairs: list[str] | None = None) -> Split:
    return Split("test", texts, pairs, labels, [f"id-{i}" for i in range(len(texts))])


def test_the_surest_come_first_and_rows_that_agree_never() -> None:
    student = np.array([[5.0, 0.0], [0.2, 0.0], [3.0, 0.0], [9.0, 0.0]])
    teacher = np.array([[0.0, 4.0], [0.0, 9.0], [0.0, 3.0], [1.0, 0.0]])
    found = disagreements(split(list("abcd"), [0, 1, 1, 0]), student, teacher, "classification")
    assert [one.text for one in found] == ["a", "c", "b"]
    assert [(one.label, one.student, one.teacher) for one in found] == [(0, 0, 1), (1, 0, 1), (1, 0, 1)]
    assert all(0.5 < p <= 1 for one in found for p in (one.student_probability, one.teacher_probability) if p)
    assert len(disagreements(split(list("abcd"), None), student, teacher, "classification", most=2)) == 2


def test_numbers_are_ordered_by_their_distance() -> None:
    student, teacher = np.array([[1.0], [2.0], [5.0]]), np.array([[1.0], [4.0], [4.0]])
    found = disagreements(split(list("abc"), [1, 1, 1], list("xyz")), student, teacher, "regression")
    assert [(one.text, one.student, one.teacher) for one in found] == [("b\ny", 2.0, 4.0), ("c\nz", 5.0, 4.0)]
    assert found[0].student_probability is None


def test_long_texts_are_cut() -> None:
    (found,) = disagreements(
        split(["x" * 9999], [0]), np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]]), "classification"
    )
    assert len(found.text) == LONGEST_TEXT
    assert found.text.endswith("…")
