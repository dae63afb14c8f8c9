"""The kinds of output, as readers, metrics and predictions see them: one class of several, or a number.

Everything that they ask of the kind is an entry here, by the recipe's word `data.kind`. What a training step
asks of it is in `engine/method/outputs.py`, by the same words. Needs neither torch nor a model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dkd_cli.data.labels import UNSEEN, LabelColumn, Labels, class_labels, target_values

Floats = NDArray[np.float64]
Names = tuple[str, ...] | None
Orders = Sequence[tuple[str, ...]]
LEAST = float(np.log(np.finfo(np.float64).eps))
"""The log-probability of a class without an output, about −36 nats."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Facts about one kind of output."""

    problem_type: str
    """In a saved model's configuration, as transformers calls it."""
    metrics: tuple[str, ...]
    """Of a task that names none; the first one picks the best checkpoint."""
    always: tuple[str, ...]
    """Metrics that are given for every task."""
    read: Callable[[Mapping[str, LabelColumn], str, Names, bool, Orders], tuple[Names, dict[str, Labels]]]
    """Label columns by split, the split that names the classes, the declared names, whether labels may name
    them, and the orders of a known task's -> the names of the outputs, and the labels of each split."""
    predicted: Callable[[Floats], NDArray[np.generic]]
    """Logits [N, C] -> what is predicted, [N]."""
    log_probabilities: Callable[[Floats], Floats] | None
    """Logits [N, C] -> log p, [N, C]; None where outputs have no probabilities, and so no uncertainty."""
    losses: Callable[[Floats, NDArray[Any]], Floats]
    """Logits [N, C] and labels [N] -> the loss of each row, [N], as training measures it."""
    constant: Callable[[Sequence[Any]], Any]
    """Training labels -> the best constant prediction."""
    shown: Callable[[Any, Names], str | float]
    """A label, or prediction, and the names of the outputs -> what a reader sees."""
    purpose: Callable[[int], str]
    """The number of outputs -> what a model does, for its card."""
    agreement: str
    """Name of the agreement with a teacher: a share of rows, `same class`, or a correlation."""
    agreement_is_share: bool


def _classes(
    columns: Mapping[str, LabelColumn], names_from: str, declared: Names, infer: bool, orders: Orders
) -> tuple[Names, dict[str, Labels]]:
    return class_labels(columns, names_from, declared, infer=infer, orders=orders)


def _numbers(
    columns: Mapping[str, LabelColumn], names_from: str, declared: Names, infer: bool, orders: Orders
) -> tuple[Names, dict[str, Labels]]:
    return None, target_values(columns)


def _likeliest(logits: Floats) -> NDArray[np.generic]:
    return np.asarray(logits.argmax(axis=-1), dtype=np.int64)


def _number(logits: Floats) -> NDArray[np.generic]:
    return logits[:, 0]


def log_softmax(logits: Floats) -> Floats:
    """log softmax(z), [N, C]; finite at any gap between logits."""
    # Not SciPy's: importing it takes longer than all that a static student needs to answer.
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)), dtype=np.float64)


def gold_log_probabilities(log_probabilities: Floats, labels: NDArray[Any]) -> Floats:
    """The log-probability of each row's label: log p [N, C] and ids [N] -> [N].

    That of a class that training lacks, which has no output, is `LEAST`, so that means stay finite.
    """
    known = np.maximum(labels, 0)
    found = np.take_along_axis(log_probabilities, known[:, None], axis=1)[:, 0]
    return np.asarray(np.where(labels <= UNSEEN, LEAST, found), dtype=np.float64)


def _cross_entropy(logits: Floats, labels: NDArray[Any]) -> Floats:
    return -gold_log_probabilities(log_softmax(logits), labels)


def _squared_errors(logits: Floats, labels: NDArray[Any]) -> Floats:
    return np.asarray((logits[:, 0] - labels) ** 2, dtype=np.float64)


def _most_frequent(labels: Sequence[Any]) -> int:
    return int(np.bincount(np.asarray(labels, dtype=np.int64)).argmax())


def _mean(labels: Sequence[Any]) -> float:
    return float(np.mean(labels))


def _class_name(label: Any, names: Names) -> str:
    assert names is not None, "classes have names"
    return "a class that training lacks" if label <= UNSEEN else names[int(label)]


def _as_it_is(label: Any, names: Names) -> float:
    return float(label)


KINDS: dict[str, Kind] = {
    "classification": Kind(
        problem_type="single_label_classification",
        metrics=("accuracy", "macro_f1"),
        always=("accuracy", "macro_f1"),
        read=_classes,
        predicted=_likeliest,
        log_probabilities=log_softmax,
        losses=_cross_entropy,
        constant=_most_frequent,
        shown=_class_name,
        purpose=lambda outputs: f"tells {outputs} classes apart",
        agreement="same class",
        agreement_is_share=True,
    ),
    "regression": Kind(
        problem_type="regression",
        metrics=("pearson", "spearman"),
        always=("pearson", "spearman", "mse"),
        read=_numbers,
        predicted=_number,
        log_probabilities=None,
        losses=_squared_errors,
        constant=_mean,
        shown=_as_it_is,
        purpose=lambda outputs: "predicts a number",
        agreement="correlation of the predictions",
        agreement_is_share=False,
    ),
}


def normalised_entropy(log_probabilities: Floats) -> Floats:
    """Entropy over its upper bound, -Σ p log p / log C: log p [N, C] -> [N] in [0, 1].

    >>> normalised_entropy(np.log(np.array([[0.5, 0.5], [1.0 - 1e-12, 1e-12]]))).round(3).tolist()
    [1.0, 0.0]
    """
    nats = -(np.exp(log_probabilities) * log_probabilities).sum(axis=-1)
    return np.asarray(np.clip(nats / np.log(log_probabilities.shape[-1]), 0.0, 1.0), dtype=np.float64)
