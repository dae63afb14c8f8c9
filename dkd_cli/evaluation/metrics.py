"""Scores of predictions against labels; pure functions of arrays.

Knows nothing about models or files. A figure that is not defined (the correlation of a constant) is None,
never NaN. Matthews of a constant prediction is 0, the convention of GLUE.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dkd_cli.data.examples import Split, TaskData
from dkd_cli.data.kinds import KINDS
from dkd_cli.data.tasks import Task
from dkd_cli.errors import DataError, NumericError

Floats = NDArray[np.float64]
Metrics = dict[str, float | None]
Labels = Sequence[int] | Sequence[float] | NDArray[Any]


def accuracy(predictions: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """The share of rows predicted right."""
    return float(np.mean(predictions == labels))


def macro_f1(predictions: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """The mean F1 of the classes that occur among the labels or the predictions."""
    # Importing it takes as long as the rest of a start, and nothing is scored before an epoch is over.
    from sklearn.metrics import f1_score

    return float(f1_score(labels, predictions, average="macro", zero_division=0.0))


def binary_f1(predictions: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """F1 of class 1; 0 where neither labels nor predictions have any.

    Raises:
        DataError: where a third class occurs.
    """
    if max(predictions.max(), labels.max()) > 1:
        raise DataError("data.task", "its metric f1 is for two classes and here are more", "name no task")
    found = int(np.sum((predictions == 1) & (labels == 1)))
    named = int(predictions.sum() + labels.sum())
    return 2 * found / named if named else 0.0


def matthews(predictions: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Matthews correlation coefficient, in [-1, 1]."""
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(labels, predictions))


def pearson(first: Floats, second: Floats) -> float | None:
    """The linear correlation of two rows of numbers; None where one of them is constant."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    # scaled first: squares of very large or very small numbers leave the range of floats
    left, right = ((x - x.mean()) / np.abs(x - x.mean()).max() for x in (first, second))
    return float(np.clip(left @ right / np.sqrt((left @ left) * (right @ right)), -1.0, 1.0))


def spearman(first: Floats, second: Floats) -> float | None:
    """The correlation of the ranks, ties sharing their mean rank; None where one side is constant."""
    return pearson(_ranks(first), _ranks(second))


def mse(predictions: Floats, labels: Floats) -> float:
    """The mean squared error."""
    return float(np.mean((predictions - labels) ** 2))


CLASSIFICATION: dict[str, Callable[[NDArray[np.int64], NDArray[np.int64]], float]] = {
    "accuracy": accuracy,
    "macro_f1": macro_f1,
    "f1": binary_f1,
    "matthews": matthews,
}
REGRESSION: dict[str, Callable[[Floats, Floats], float | None]] = {
    "pearson": pearson,
    "spearman": spearman,
    "mse": mse,
}
METRICS: dict[str, Mapping[str, Callable[[Any, Any], float | None]]] = {
    "classification": CLASSIFICATION,
    "regression": REGRESSION,
}
"""By the kind of output, then by the metric's name: predictions [N] and labels [N] -> a score."""


def task_metrics(task: Task, logits: ArrayLike, labels: Labels) -> Metrics:
    """Score logits [N, C] (regression: [N, 1]) against N labels.

    Returns:
        The task's own metrics first, in its order, then those that are always given.

    Raises:
        NumericError: where a prediction is not finite.
    """
    return _scores(task, predicted(task, logits), labels)


def predicted(task: Task, logits: ArrayLike) -> NDArray[np.generic]:
    """Return the predicted class ids, or numbers, [N, C] -> [N].

    Raises:
        NumericError: where a logit is not finite.
    """
    array = np.asarray(logits, dtype=np.float64)
    broken = int((~np.isfinite(array).all(axis=-1)).sum())
    if broken:
        raise NumericError(
            "predictions",
            f"{broken} of {len(array)} rows have a NaN or an infinity",
            "train again with a lower learning rate, or with train.precision fp32",
        )
    return KINDS[task.kind].predicted(array)


@dataclass(frozen=True)
class Baseline:
    """What knows the training labels alone."""

    name: str
    """`always negative`, or `always 2.71`."""
    prediction: str | float
    """For every row: the most frequent class (the first of equals), or for numbers their mean."""
    metrics: Metrics


def baseline(data: TaskData, split: Split) -> Baseline | None:
    """Score the constant answer on a split; None where training or this split has no labels."""
    learnt, labels = data.splits["train"].labels, split.labels
    if learnt is None or labels is None:
        return None
    kind = KINDS[data.task.kind]
    constant = kind.constant(learnt)
    metrics = _scores(data.task, np.full(len(labels), constant), labels)
    label = kind.shown(constant, data.label_names)
    return Baseline(f"always {label if isinstance(label, str) else format(label, '.3g')}", label, metrics)


def known_metrics(task: Task) -> list[str]:
    """The names of all metrics of a task, its own first."""
    return list(dict.fromkeys((*task.metrics, *KINDS[task.kind].always)))


def _scores(task: Task, guesses: NDArray[np.generic], labels: Labels) -> Metrics:
    if len(guesses) != len(labels) or not len(labels):
        raise ValueError(f"{len(guesses)} predictions for {len(labels)} labels")
    names = known_metrics(task)
    truth, known = np.asarray(labels, dtype=guesses.dtype), METRICS[task.kind]
    return {name: known[name](guesses, truth) for name in names}


def _ranks(values: Floats) -> Floats:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[inverse], dtype=np.float64)
