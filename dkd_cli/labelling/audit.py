"""Audit of a paid teacher on labelled rows: accuracy, classes, confusion, calibration.

Pure functions of answers and labels. Knows nothing about endpoints or files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest

from dkd_cli.evaluation.calibration import reliability
from dkd_cli.evaluation.per_class import ClassScore, class_scores, confusion
from dkd_cli.labelling.replies import Answer, error_rate, probabilities

FLOOR = 1e-4
"""As `engine.method.given.PROBABILITY_FLOOR`: the logarithm of 0 is no logit."""
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Audit:
    """A teacher on labelled rows."""

    rows: int
    correct: int
    low: float
    """Of the accuracy: the lower end of Wilson's 95 % interval."""
    high: float
    ece: float
    """Expected calibration error of its probabilities."""
    confidence: float
    """Mean probability of the class that it names."""
    classes: tuple[ClassScore, ...]
    confused: tuple[tuple[str, str, int], ...]
    """(label, what the teacher said, rows), the most frequent confusions first."""
    shortlist_recall: float | None
    """Share of rows whose label was on the first shortlist; None where all classes are shown."""

    @property
    def accuracy(self) -> float:
        """Share of rows on which it names the label."""
        return self.correct / self.rows

    def as_json(self) -> dict[str, Any]:
        """All figures."""
        return {"accuracy": self.accuracy, **asdict(self)}


def audit(
    answers: Sequence[Answer], labels: Sequence[int], names: Sequence[str], recall: float | None = None
) -> Audit:
    """Compare answers with labels.

    Args:
        answers: of N rows, at least one.
        labels: their class ids.
        names: of the C classes, in the order of the ids.
        recall: of the shortlists, where there are any.

    >>> found = audit([Answer(None, {"a": 1}), Answer(None, {"a": 1})], [0, 1], ["a", "b"])
    >>> found.accuracy, found.confused
    (0.5, (('b', 'a', 1),))
    """
    said = logits(answers, names, measured_error(answers, labels, names))
    correct = int((said.argmax(axis=1) == np.asarray(labels)).sum())
    interval = binomtest(correct, len(labels)).proportion_ci(CONFIDENCE, method="wilson")
    shares = np.exp(said)
    counts = confusion(said, labels, len(names))
    confused = [
        (names[true], names[given], count)
        for true, row in enumerate(counts)
        for given, count in enumerate(row)
        if true != given and count
    ]
    return Audit(
        rows=len(labels),
        correct=correct,
        low=float(interval.low),
        high=float(interval.high),
        ece=reliability(said, labels).ece,
        confidence=float(shares.max(axis=1).mean()),
        classes=tuple(class_scores(said, labels, names)),
        confused=tuple(sorted(confused, key=lambda one: -one[2])),
        shortlist_recall=recall,
    )


def measured_error(answers: Sequence[Answer], labels: Sequence[int], names: Sequence[str]) -> float:
    """The error rate on labelled rows, by which single answers are smoothed; a tenth without any."""
    wrong = sum(answer.best != names[label] for answer, label in zip(answers, labels, strict=True))
    return error_rate(wrong, len(answers))


def logits(
    answers: Sequence[Answer], names: Sequence[str], error: float
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Log-probabilities, [N, C], none below that of the floor."""
    shares = np.maximum(probabilities(answers, names, error), FLOOR)
    values: np.ndarray[Any, np.dtype[np.float64]] = np.log(shares / shares.sum(axis=1, keepdims=True))
    return values


def answers_of(known: Mapping[str, Answer], keys: Sequence[str]) -> tuple[list[int], list[Answer]]:
    """(the places of the keys that are answered, their answers)."""
    places = [place for place, key in enumerate(keys) if key in known]
    return places, [known[keys[place]] for place in places]
