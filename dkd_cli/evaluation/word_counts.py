"""Counts of each text from which the scores of tagged words follow; pure functions of arrays.

A text has three counts: hits, predicted and true, of entities or of words. Scores are of their sums, so that
texts can be resampled. Entities count as conlleval and seqeval count them: one is a hit if its first word,
its last word and its type are right (Tjong Kim Sang and De Meulder, 2003).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dkd_cli.data.tags import OUTSIDE, entities

Counts = NDArray[np.float64]
"""[N, 3]: hits, predicted, true."""


def entity_counts(predictions: NDArray[Any], labels: NDArray[Any], tags: Sequence[str]) -> Counts:
    """Entities of each text, ids of tags [N, W] each.

    A word that the model did not read has no entity; places without a label are no words.

    >>> tags = ("O", "B-PER", "I-PER")
    >>> entity_counts(np.array([[1, 2, 0, 1]]), np.array([[1, 2, 1, -100]]), tags).tolist()
    [[1.0, 1.0, 2.0]]
    """
    found = np.zeros((len(labels), 3))
    for row, (guess, truth) in enumerate(zip(predictions, labels, strict=True)):
        ours, theirs = (
            set(entities([tags[one] if one >= 0 else OUTSIDE for one in ids[truth >= 0]]))
            for ids in (guess, truth)
        )
        found[row] = len(ours & theirs), len(ours), len(theirs)
    return found


def word_counts(predictions: NDArray[Any], labels: NDArray[Any], tags: Sequence[str]) -> Counts:
    """Words of each text, ids of tags [N, W] each; one that the model did not read is `O`."""
    there = labels >= 0
    guesses = np.where(predictions < 0, list(tags).index(OUTSIDE), predictions)
    words = there.sum(axis=1)
    return np.stack([((guesses == labels) & there).sum(axis=1), words, words], axis=1).astype(np.float64)


COUNTS: dict[str, Callable[[NDArray[Any], NDArray[Any], Sequence[str]], Counts]] = {
    "entity_f1": entity_counts,
    "entity_precision": entity_counts,
    "entity_recall": entity_counts,
    "word_accuracy": word_counts,
}
"""By the metric that reads them."""


def f1_of(counts: Counts, labels: NDArray[Any]) -> float:
    """F1 of all texts together: 2 hits / (predicted + true)."""
    hits, predicted, true = counts.sum(axis=0)
    return float(2 * hits / (predicted + true)) if predicted + true else 0.0


def precision_of(counts: Counts, labels: NDArray[Any]) -> float:
    """The share of hits among what is predicted."""
    hits, predicted, _ = counts.sum(axis=0)
    return float(hits / predicted) if predicted else 0.0


def recall_of(counts: Counts, labels: NDArray[Any]) -> float:
    """The share of hits among what is true; of words the accuracy."""
    hits, _, true = counts.sum(axis=0)
    return float(hits / true) if true else 0.0
