"""The kinds of output, as an evaluation with probabilities sees them: per-class scores and calibration.

An entry by the recipe's word `data.kind`; None for outputs without probabilities. Pure functions of arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dkd_cli.data.output_math import Floats, above_zero, read_words, tag_array
from dkd_cli.evaluation.calibration import expected_calibration_error, reliability_bins
from dkd_cli.evaluation.metrics import Labels
from dkd_cli.evaluation.per_class import ClassScore, class_scores, confusion, label_scores

Rows = tuple[NDArray[Any], NDArray[Any]]


@dataclass(frozen=True)
class LabelCalibration:
    """Calibration of one of several labels on some rows."""

    label: str
    ece: float
    """At temperature 1."""
    calibrated_ece: float
    threshold: float


@dataclass(frozen=True, kw_only=True)
class ScoredOutput:
    """Measures of one kind of output beyond its metrics."""

    rows: Callable[[NDArray[Any], Labels], Rows]
    """Logits [N, C] and labels -> logits [M, K] and class ids [M], of which calibration is measured."""
    classes: Callable[[NDArray[Any], Labels, Sequence[str]], list[ClassScore]]
    """Logits [N, C], of several labels less their cuts, labels and names -> scores of each class."""
    confusion: Callable[[NDArray[Any], Labels, int], list[list[int]]]
    """Logits, labels and the number of classes -> [C, C]; empty where it is not defined."""
    by_label: Callable[[Floats, Labels, Sequence[str], float, Floats | None], list[LabelCalibration]]
    """Logits, labels, names, temperature and thresholds [C] -> calibration of each; empty for one class."""


def _as_they_are(logits: NDArray[Any], labels: Labels) -> Rows:
    return logits, np.asarray(labels)


def label_rows(logits: NDArray[Any], labels: Labels) -> Rows:
    """Each (text, label) pair as a row of two classes, no and yes: [N, C] -> [N·C, 2] and [N·C].

    >>> label_rows(np.array([[1.0, -2.0]]), [(1, 0)])[0].tolist()
    [[0.0, 1.0], [0.0, -2.0]]
    """
    flat = np.asarray(logits, dtype=np.float64).reshape(-1)
    return np.stack([np.zeros_like(flat), flat], axis=-1), np.asarray(labels).reshape(-1)


def word_rows(logits: NDArray[Any], labels: Labels) -> Rows:
    """Each word as a row: [N, W, C] and tags -> [M, C] and [M]; without those that were not read."""
    truth = tag_array(labels)
    there = read_words(logits) & (truth >= 0)
    return logits[there], truth[there]


def _word_scores(logits: NDArray[Any], labels: Labels, names: Sequence[str]) -> list[ClassScore]:
    return class_scores(*word_rows(logits, labels), names)


def _word_confusion(logits: NDArray[Any], labels: Labels, classes: int) -> list[list[int]]:
    return confusion(*word_rows(logits, labels), classes)


def _no_confusion(logits: NDArray[Any], labels: Labels, classes: int) -> list[list[int]]:
    return []


def _label_scores(logits: NDArray[Any], labels: Labels, names: Sequence[str]) -> list[ClassScore]:
    return label_scores(np.asarray(above_zero(logits)), labels, names)


def _calibration_by_label(
    logits: Floats, labels: Labels, names: Sequence[str], temperature: float, thresholds: Floats | None
) -> list[LabelCalibration]:
    truth = np.asarray(labels)
    found = []
    for place, name in enumerate(names):
        rows = label_rows(logits[:, place : place + 1], truth[:, place : place + 1])
        before, after = (expected_calibration_error(reliability_bins(*rows, t)) for t in (1.0, temperature))
        threshold = 0.5 if thresholds is None else float(thresholds[place])
        found.append(LabelCalibration(name, before, after, threshold))
    return found


SCORED: dict[str, ScoredOutput | None] = {
    "classification": ScoredOutput(
        rows=_as_they_are,
        classes=class_scores,
        confusion=confusion,
        by_label=lambda logits, labels, names, temperature, thresholds: [],
    ),
    "multi-label": ScoredOutput(
        rows=label_rows, classes=_label_scores, confusion=_no_confusion, by_label=_calibration_by_label
    ),
    "tokens": ScoredOutput(
        rows=word_rows,
        classes=_word_scores,
        confusion=_word_confusion,
        by_label=lambda logits, labels, names, temperature, thresholds: [],
    ),
    "regression": None,
}
