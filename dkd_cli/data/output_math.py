"""Arithmetic on logits in NumPy: predictions, probabilities, uncertainty, divergence and loss of each row.

Knows nothing about labels' names, and which function is for which kind of output is in `data/kinds.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dkd_cli.data.labels import UNSEEN
from dkd_cli.recipe.words import NO_TAG, NO_WORD

Floats = NDArray[np.float64]
LEAST = float(np.log(np.finfo(np.float64).eps))
"""The log-probability of a class without an output, about −36 nats."""


def log_softmax(logits: Floats) -> Floats:
    """log softmax(z), [N, C]; finite at any gap between logits."""
    # Not SciPy's: importing it takes longer than all that a static student needs to answer.
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)), dtype=np.float64)


def log_sigmoid(logits: Floats) -> Floats:
    """log sigmoid(z), element by element; finite at any logit."""
    return np.asarray(np.minimum(logits, 0.0) - np.log1p(np.exp(-np.abs(logits))), dtype=np.float64)


def softmax(logits: Floats) -> Floats:
    """softmax(z), [N, C]."""
    return np.asarray(np.exp(log_softmax(logits)), dtype=np.float64)


def sigmoid(logits: Floats) -> Floats:
    """sigmoid(z), element by element."""
    return np.asarray(np.exp(log_sigmoid(logits)), dtype=np.float64)


def normalised_entropy(log_probabilities: Floats) -> Floats:
    """Entropy over its upper bound, -Σ p log p / log C: log p [N, C] -> [N] in [0, 1].

    >>> normalised_entropy(np.log(np.array([[0.5, 0.5], [1.0 - 1e-12, 1e-12]]))).round(3).tolist()
    [1.0, 0.0]
    """
    nats = -(np.exp(log_probabilities) * log_probabilities).sum(axis=-1)
    return np.asarray(np.clip(nats / np.log(log_probabilities.shape[-1]), 0.0, 1.0), dtype=np.float64)


def class_uncertainty(logits: Floats) -> Floats:
    """Normalised entropy of softmax(z), [N, C] -> [N]."""
    return normalised_entropy(log_softmax(logits))


def label_uncertainty(logits: Floats) -> Floats:
    """The largest normalised entropy among the labels, that of the logit nearest to 0: [N, C] -> [N].

    >>> label_uncertainty(np.array([[0.0, 99.0], [99.0, -99.0]])).round(3).tolist()
    [1.0, 0.0]
    """
    nearest = np.asarray(np.abs(logits).min(axis=-1), dtype=np.float64)
    return normalised_entropy(np.stack([log_sigmoid(nearest), log_sigmoid(-nearest)], axis=-1))


def class_divergence(teacher: Floats, student: Floats) -> Floats:
    """KL(softmax(z_t) ‖ softmax(z_s)), [N, C] each -> [N], in nats."""
    told, said = log_softmax(teacher), log_softmax(student)
    return np.asarray(np.sum(np.exp(told) * (told - said), axis=-1), dtype=np.float64)


def label_divergence(teacher: Floats, student: Floats) -> Floats:
    """Mean over labels of the KL divergence of their Bernoulli distributions, [N, C] each -> [N], in nats."""
    yes = sigmoid(teacher) * (log_sigmoid(teacher) - log_sigmoid(student))
    no = sigmoid(-teacher) * (log_sigmoid(-teacher) - log_sigmoid(-student))
    return np.asarray((yes + no).mean(axis=-1), dtype=np.float64)


def gold_log_probabilities(log_probabilities: Floats, labels: NDArray[Any]) -> Floats:
    """The log-probability of each row's label: log p [N, C] and ids [N] -> [N].

    That of a class that training lacks, which has no output, is `LEAST`, so that means stay finite.
    """
    known = np.maximum(labels, 0)
    found = np.take_along_axis(log_probabilities, known[:, None], axis=1)[:, 0]
    return np.asarray(np.where(labels <= UNSEEN, LEAST, found), dtype=np.float64)


def cross_entropy(logits: Floats, labels: NDArray[Any]) -> Floats:
    """-log softmax(z)[y], [N, C] and [N] -> [N]."""
    return -gold_log_probabilities(log_softmax(logits), labels)


def binary_cross_entropy(logits: Floats, labels: NDArray[Any]) -> Floats:
    """Mean over labels of -log of the probability of what is right, [N, C] and [N, C] -> [N]."""
    right = np.where(labels == 1, log_sigmoid(logits), log_sigmoid(-logits))
    return np.asarray(-right.mean(axis=-1), dtype=np.float64)


def squared_errors(logits: Floats, labels: NDArray[Any]) -> Floats:
    """(z - y)², [N, 1] and [N] -> [N]."""
    return np.asarray((logits[:, 0] - labels) ** 2, dtype=np.float64)


def likeliest(logits: Floats) -> NDArray[np.generic]:
    """The class of the highest logit, [N, C] -> [N]."""
    return np.asarray(logits.argmax(axis=-1), dtype=np.int64)


def above_zero(logits: Floats) -> NDArray[np.generic]:
    """1 where a logit is above 0, a probability above one half: [N, C] -> [N, C]."""
    return np.asarray(logits > 0, dtype=np.int64)


def first_output(logits: Floats) -> NDArray[np.generic]:
    """The only output, [N, 1] -> [N]."""
    return logits[:, 0]


def centred(logits: NDArray[Any], cuts: Floats | None) -> NDArray[Any]:
    """Logits less the cuts [C] above which labels are predicted; None: as they are."""
    return logits if cuts is None else logits - cuts


def read_words(logits: Floats) -> NDArray[np.bool_]:
    """True where a text has a word that the model read: [N, W, C] -> [N, W]."""
    return np.asarray((logits != NO_WORD).any(axis=-1), dtype=np.bool_)


def by_word(function: Callable[..., Floats]) -> Callable[..., Floats]:
    """Turn a function of rows [M, C] -> [M] into its mean over the words of each text, [N, W, C] -> [N].

    Counted are the words that all arguments have; a text without any gets 0. Ids [N, W] are without a word
    where they are negative.

    >>> logits = np.array([[[0.0, 0.0], [99.0, 0.0], [NO_WORD, NO_WORD]]])
    >>> by_word(class_uncertainty)(logits).round(3).tolist()
    [0.5]
    """

    def mean_over_words(*arrays: Any) -> Floats:
        there = np.logical_and.reduce([read_words(one) if one.ndim > 2 else one >= 0 for one in arrays])
        values = np.zeros(there.shape)
        values[there] = function(*(one[there] for one in arrays))
        return np.asarray(values.sum(axis=-1) / np.maximum(there.sum(axis=-1), 1), dtype=np.float64)

    return mean_over_words


def likeliest_tags(logits: Floats) -> NDArray[np.generic]:
    """The tag of the highest logit of each word, `NO_TAG` where there is none: [N, W, C] -> [N, W]."""
    return np.where(read_words(logits), logits.argmax(axis=-1), NO_TAG)


def tag_array(labels: Sequence[Any] | NDArray[Any]) -> NDArray[np.int64]:
    """Rows of tag ids as [N, W], W the most words of a row, filled up with `NO_TAG`.

    >>> tag_array([(0, 1), (2,)]).tolist()
    [[0, 1], [2, -100]]
    """
    if isinstance(labels, np.ndarray):
        return labels.astype(np.int64)
    found = np.full((len(labels), max(map(len, labels), default=0)), NO_TAG, dtype=np.int64)
    for row, tags in zip(found, labels, strict=True):
        row[: len(tags)] = tags
    return found
