"""Scores of single classes against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from dkd_cli.evaluation.per_class import class_scores, confusion

SAID = np.eye(4)[[0, 1, 1, 2, 0]]
LABELS = [0, 1, 2, 2, 1]


def test_each_class_by_hand() -> None:
    first, second, third, absent = class_scores(SAID, LABELS, ("a", "b", "c", "never"))
    assert (first.label, first.precision, first.recall, first.support) == ("a", 0.5, 1.0, 1)
    assert (second.precision, second.recall, second.f1, second.support) == (0.5, 0.5, 0.5, 2)
    assert (third.precision, third.recall) == (1.0, 0.5)
    assert third.f1 == pytest.approx(2 / 3)
    assert (absent.precision, absent.recall, absent.f1, absent.support) == (0.0, 0.0, 0.0, 0)


def test_confusion_counts_every_row_once_by_its_true_class() -> None:
    assert confusion(SAID, LABELS, 4) == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
