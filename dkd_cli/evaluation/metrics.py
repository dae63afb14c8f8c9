"""Scores of predictions against labels; pure functions of arrays.

Knows nothing about models or files. A figure that is not defined (the correlation of a constant) is None,
never NaN. Matthews of a constant prediction is 0, the convention of GLUE. Which metrics there are, and for
what, is in `data/metric_names.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dkd_cli.data.examples import Split, TaskData
from dkd_cli.data.kinds import KINDS
from dkd_cli.data.metric_names import METRIC_NAMES
from dkd_cli.data.output_math import Floats, centred, tag_array
from dkd_cli.data.tasks import Task
from dkd_cli.errors import DataError, NumericError
from dkd_cli.evaluation.word_counts import COUNTS, f1_of, precision_of, recall_of

Metrics = dict[str, float | None]
Labels = Sequence[Any] | NDArray[Any]


def accuracy(predictions: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Accuracy: the share of rows predicted correctly."""
    return float(np.mean(predictions == labels))


def macro_f1(predictions: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Macro F1: the mean F1 of the classes that occur among the labels or the predictions; of several labels
    per text [N, C] each."""
    # Importing it takes as long as the rest of a start, and nothing is scored before an epoch is over.
    from sklearn.metrics import f1_score

    if predictions.ndim > 1:  # of labels that do not occur too, F1 would be 0
        occurs = (predictions + labels).any(axis=0)
        predictions, labels = predictions[:, occurs], labels[:, occurs]
        if not occurs.any():
            return 0.0
    return float(f1_score(labels, predictions, average="macro", zero_division=0.0))


def micro_f1(predictions: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Micro F1 of several labels: the F1 of all (text, label) pairs together, [N, C] each."""
    return f1(predictions == 1, labels == 1)


def mean_average_precision(scores: Floats, labels: NDArray[np.int64]) -> float | None:
    """Mean average precision (mAP): the mean over labels of the average precision of each, [N, C] each.

    Over the labels that some row has; None where there is none.
    """
    found = [average_precision(scores[:, place], labels[:, place] == 1) for place in range(scores.shape[1])]
    defined = [one for one in found if one is not None]
    return float(np.mean(defined)) if defined else None


def subset_accuracy(predictions: NDArray[np.int64], labels: NDArray[np.int64]) -> float:
    """Subset accuracy: the share of rows with exactly the right labels, [N, C] each."""
    return float(np.mean((predictions == labels).all(axis=1)))


def label_ranking(scores: Floats, labels: NDArray[np.int64]) -> float:
    """Label ranking average precision, [N, C] each: the share of right labels among those ranked at least as
    high, mean over a row's labels and over rows; 1 for rows with no label or all."""
    from sklearn.metrics import label_ranking_average_precision_score

    return float(label_ranking_average_precision_score(labels, scores))


def f1(predictions: NDArray[np.bool_], labels: NDArray[np.bool_]) -> float:
    """F1 of the positive class; 0 where neither labels nor predictions have any."""
    found, named = int(np.sum(predictions & labels)), int(predictions.sum() + labels.sum())
    return 2 * found / named if named else 0.0


def precision(predictions: NDArray[np.bool_], labels: NDArray[np.bool_]) -> float:
    """The share of rows predicted positive that are; 0 where none is predicted."""
    named = int(predictions.sum())
    return int(np.sum(predictions & labels)) / named if named else 0.0


def recall(predictions: NDArray[np.bool_], labels: NDArray[np.bool_]) -> float:
    """The share of positive rows that are predicted so; 0 where there are none."""
    true = int(labels.sum())
    return int(np.sum(predictions & labels)) / true if true else 0.0


def average_precision(scores: Floats, labels: NDArray[np.bool_]) -> float | None:
    """The area under the precision-recall curve, in steps; None where no row is positive."""
    if not labels.any():
        return None
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(labels, scores))


def roc_auc(scores: Floats, labels: NDArray[np.bool_]) -> float | None:
    """The area under the ROC curve; None where all rows are of one class."""
    if labels.all() or not labels.any():
        return None
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, scores))


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


def loss(losses: Floats, labels: NDArray[Any]) -> float:
    """The mean of the rows' losses."""
    return float(np.mean(losses))


SCORES: dict[str, Callable[[NDArray[Any], NDArray[Any]], float | None]] = {
    "accuracy": accuracy,
    "macro_f1": macro_f1,
    "matthews": matthews,
    "micro_f1": micro_f1,
    "mean_average_precision": mean_average_precision,
    "subset_accuracy": subset_accuracy,
    "label_ranking": label_ranking,
    "entity_f1": f1_of,
    "entity_precision": precision_of,
    "entity_recall": recall_of,
    "word_accuracy": recall_of,
    "f1": f1,
    "precision": precision,
    "recall": recall,
    "average_precision": average_precision,
    "roc_auc": roc_auc,
    "pearson": pearson,
    "spearman": spearman,
    "mse": mse,
    "loss": loss,
}
"""From what `compared` gives of the rows, [N] and [N] (of several labels [N, C] each), to the score."""


def task_metrics(task: Task, logits: ArrayLike, labels: Labels, cuts: Floats | None = None) -> Metrics:
    """Score logits [N, C] (regression: [N, 1]) against N labels, with the cuts [C] of several labels.

    Returns:
        The task's own metrics first, in its order, then the general ones.

    Raises:
        NumericError: if a prediction is not finite.
    """
    names = dict.fromkeys((*task.metrics, *KINDS[task.kind].always))
    return {name: score(name, task, logits, labels, cuts) for name in names}


def score(
    metric: str, task: Task, logits: ArrayLike, labels: Labels, cuts: Floats | None = None
) -> float | None:
    """Score logits [N, C] against N labels by one metric; None where it is not defined on them."""
    return SCORES[metric](*compared(metric, task, logits, labels, cuts))


def compared(
    metric: str, task: Task, logits: ArrayLike, labels: Labels, cuts: Floats | None = None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return what a metric compares of each row, [N], and what it compares it with, [N].

    Predicted classes or numbers with the labels; for one of two classes whether it is predicted, or by how
    much its logit is ahead, with whether it is the label; for `loss` the losses. Of several labels [N, C]
    each: those above their cuts, or the logits. Of tags the counts [N, 3] of `word_counts`, which have all.

    Raises:
        NumericError: where a logit is not finite.
    """
    guesses = predicted(task, logits, cuts)
    if len(guesses) != len(labels) or not len(labels):
        raise ValueError(f"{len(guesses)} predictions for {len(labels)} labels")
    array = np.asarray(logits, dtype=np.float64)
    kind = KINDS[task.kind]
    truth = tag_array(labels) if kind.by_word else np.asarray(labels, dtype=guesses.dtype)
    if metric in COUNTS:
        return COUNTS[metric](guesses, truth, task.tags), truth
    if metric == "loss":
        return kind.losses(array, truth), truth
    if kind.thresholds and not METRIC_NAMES[metric].decides:
        return array, truth
    if not METRIC_NAMES[metric].two_classes:
        return guesses, truth
    if array.shape[1] != 2:
        raise DataError(
            "data.task", f"its metric {metric} is for two classes and here are more", "name no task"
        )
    # The area under the ROC curve is the same for both classes.
    positive = 1 if task.positive is None else task.positive
    if metric in ("average_precision", "roc_auc"):
        return array[:, positive] - array[:, 1 - positive], truth == positive
    return guesses == positive, truth == positive


def predicted(task: Task, logits: ArrayLike, cuts: Floats | None = None) -> NDArray[Any]:
    """Return the predicted class ids, or numbers, [N, C] -> [N]; of several labels 1 and 0, [N, C].

    Raises:
        NumericError: if a logit is not finite.
    """
    array = np.asarray(logits, dtype=np.float64)
    broken = int((~np.isfinite(array).reshape(len(array), -1).all(axis=-1)).sum())
    if broken:
        raise NumericError(
            "predictions",
            f"{broken} of {len(array)} rows have a NaN or an infinity",
            "train again with a lower learning rate, or with train.precision fp32",
        )
    return KINDS[task.kind].predicted(centred(array, cuts))


@dataclass(frozen=True)
class Baseline:
    """A constant prediction, which knows the training labels alone."""

    name: str
    """`always negative`, or `always 2.71`."""
    prediction: str | float
    """The prediction for every row: the most frequent class (the first of equals), the labels that are best
    given to all, or for numbers their mean."""
    metrics: Metrics


def baseline(data: TaskData, split: Split) -> Baseline | None:
    """Score the constant prediction on a split; None where training or this split has no labels.

    Its probabilities, which `loss` reads, are the shares of the classes in training (each counted once more,
    so that none is 0).
    """
    learnt, labels = data.splits["train"].labels, split.labels
    if learnt is None or labels is None:
        return None
    kind = KINDS[data.task.kind]
    found = kind.constant(learnt, data.outputs)
    shown = kind.shown(found.prediction, data.label_names)
    scores = task_metrics(data.task, _alike(found.logits, labels, kind.by_word), labels, found.cuts)
    return Baseline(found.name or f"always {shown}", shown, scores)


def _alike(logits: ArrayLike, labels: Labels, by_word: bool) -> Floats:
    if by_word:
        return np.broadcast_to(
            np.asarray(logits, dtype=np.float64), (*tag_array(labels).shape, np.size(logits))
        )
    return np.tile(np.asarray(logits, dtype=np.float64), (len(labels), 1))


def _ranks(values: Floats) -> Floats:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts - 1) / 2)[inverse], dtype=np.float64)
