"""Per-class scores and the confusion matrix; pure functions of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from dkd_cli.evaluation.metrics import Labels


@dataclass(frozen=True)
class ClassScore:
    """Scores of one class; a score whose denominator is 0 is 0."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int
    """The number of rows with this label."""


def class_scores(logits: ArrayLike, labels: Labels, names: Sequence[str]) -> list[ClassScore]:
    """Compute precision, recall, F1 and support of every class, in the order of `names`; logits are [N,
    C]."""
    predictions = np.asarray(logits).argmax(axis=-1)
    columns = precision_recall_fscore_support(
        np.asarray(labels), predictions, labels=range(len(names)), zero_division=0.0
    )
    return [
        ClassScore(name, float(precision), float(recall), float(f1), int(support))
        for name, precision, recall, f1, support in zip(names, *columns, strict=True)
    ]


def label_scores(predictions: NDArray[Any], labels: Labels, names: Sequence[str]) -> list[ClassScore]:
    """Compute precision, recall, F1 and support of each of several labels; predictions and labels are [N, C],
    1 or 0."""
    columns = precision_recall_fscore_support(
        np.asarray(labels), predictions, average=None, zero_division=0.0
    )
    return [
        ClassScore(name, float(precision), float(recall), float(f1), int(support))
        for name, precision, recall, f1, support in zip(names, *columns, strict=True)
    ]


def confusion(logits: ArrayLike, labels: Labels, classes: int) -> list[list[int]]:
    """Confusion matrix: rows of each true class (first index) predicted as each class (second), [C, C]."""
    predictions = np.asarray(logits).argmax(axis=-1)
    counts = confusion_matrix(np.asarray(labels), predictions, labels=range(classes))
    return [[int(count) for count in row] for row in counts]
