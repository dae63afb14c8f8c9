"""Scores of predictions against labels; pure functions of arrays.

Knows nothing about models or files. An undefined figure (such as the correlation of a constant) is None,
never NaN. Matthews of a constant prediction is 0, the convention of GLUE.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dkd_cli.data.examples import Split, TaskData
from dkd_cli.data.tasks import Task
from dkd_cli.errors import DataError, NumericError

Floats = NDArray[np.float64]
Metrics = dict[str, float | None]
Labels = Sequence[int] | Sequence[float] | NDArray[Any]


def accuracy(predictions: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Accuracy: the share of rows predicted correctly."""
    return float(np.mean(predictions == labels))


def macro_f1(predictions: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Macro F1: the mean F1 of the classes that occur among the labels or the predictions."""
    # Importing it takes as long as the rest of a start, and nothing is scored before an epoch is over.
    from sklearn.metrics import f1_score

    return float(f1_score(labels, predictions, average="macro", zero_division=0.0))


def binary_f1(predictions: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """F1 of class 1; 0 if neither labels nor predictions contain it.

    Raises:
        DataError: if a third class occurs.
    """
    if max(predictions.max(), labels.max()) > 1:
        raise DataError("data.task", "its metric f1 is for two classes, but there are more", "name no task")
    found = int(np.sum((predictions == 1) & (labels == 1)))
    named = int(predictions.sum() + labels.sum())
    return 2 * found / named if named else 0.0


def matthews(predictions: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Matthews correlation coefficient, in [-1, 1]."""
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(labels, predictions))


def pearson(first: Floats, second: Floats) -> float | None:
    """Pearson correlation of two rows of numbers; None if one of them is constant."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    # scaled first: squares of very large or very small numbers leave the range of floats
    left, right = ((x - x.mean()) / np.abs(x - x.mean()).max() for x in (first, second))
    return float(np.clip(left @ right / np.sqrt((left @ left) * (right @ right)), -1.0, 1.0))


def spearman(first: Floats, second: Floats) -> float | None:
    """Spearman correlation, ties sharing their mean rank; None if one side is constant."""
    return pearson(_ranks(first), _ranks(second))


def mse(predictions: Floats, labels: Floats) -> float:
    """Mean squared error."""
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
ALWAYS = {"classification": ("accuracy", "macro_f1"), "regression": ("pearson", "spearman", "mse")}


def task_metrics(task: Task, logits: ArrayLike, labels: Labels) -> Metrics:
    """Score logits [N, C] (regression: [N, 1]) against N labels.

    Returns:
        The task's own metrics first, in its order, then the general ones.

    Raises:
        NumericError: if a prediction is not finite.
    """
    return _scores(task, predicted(task, logits), labels)


def predicted(task: Task, logits: ArrayLike) -> NDArray[np.generic]:
    """Return the predicted class ids, or numbers, [N, C] -> [N].

    Raises:
        NumericError: if a logit is not finite.
    """
    array = np.asarray(logits, dtype=np.float64)
    broken = int((~np.isfinite(array).all(axis=-1)).sum())
    if broken:
        raise NumericError(
            "predictions",
            f"{broken} of {len(array)} rows have a NaN or an infinity",
            "train again with a lower learning rate, or with train.precision fp32",
        )
    if task.kind == "regression":
        return array[:, 0]
    return np.asarray(array.argmax(axis=-1), dtype=np.int64)


@dataclass(frozen=True)
class Baseline:
    """A baseline that knows the training labels only."""

    name: str
    """`always negative`, or `always 2.71`."""
    prediction: str | float
    """The prediction for every row: the most frequent class (the first of equals), or for numbers their
    mean."""
    metrics: Metrics


def baseline(data: TaskData, split: Split) -> Baseline | None:
    """Score the constant prediction on a split; None if training or this split has no labels."""
    learnt, labels = data.splits["train"].labels, split.labels
    if learnt is None or labels is None:
        return None
    if data.label_names is None:
        mean = float(np.mean(learnt))
        return Baseline(f"always {mean:.3g}", mean, _scores(data.task, np.full(len(labels), mean), labels))
    frequent = int(np.bincount(np.asarray(learnt, dtype=np.int64)).argmax())
    metrics = _scores(data.task, np.full(len(labels), frequent), labels)
    label = data.label_names[frequent]
    return Baseline(f"always {label}", label, metrics)


def known_metrics(task: Task) -> list[str]:
    """The names of all metrics of a task, its own first."""
    return list(dict.fromkeys((*task.metrics, *ALWAYS[task.kind])))


def _scores(task: Task, guesses: NDArray[np.generic], labels: Labels) -> Metrics:
    if len(guesses) != len(labels) or not len(labels):
        raise ValueError(f"{len(guesses)} predictions for {len(labels)} labels")
    names = known_metrics(task)
    if task.kind == "regression":
        numbers = np.asarray(labels, dtype=np.float64)
        return {name: REGRESSION[name](guesses.astype(np.float64), numbers) for name in names}
    ids = np.asarray(labels, dtype=np.int64)
    return {name: CLASSIFICATION[name](guesses.astype(np.int64), ids) for name in names}


def _ranks(values: Floats) -> Floats:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[inverse], dtype=np.float64)
