"""Constant predictions, which know the training labels alone: what a model must beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dkd_cli.data.output_math import Floats


@dataclass(frozen=True)
class Constant:
    """A prediction that knows the training labels alone."""

    prediction: Any
    """A label."""
    logits: Floats
    """[C]"""
    name: str | None = None
    """None: `always` and the label."""
    cuts: Floats | None = None
    """[C], the logits above which labels are predicted; None: 0."""


def most_frequent(labels: Sequence[Any], outputs: int) -> Constant:
    """The most frequent class; log-probabilities are those of the shares, each counted once more."""
    counts = np.bincount(np.asarray(labels, dtype=np.int64), minlength=outputs)
    return Constant(int(counts.argmax()), np.log((counts + 1) / (counts + 1).sum()))


def frequencies(labels: Sequence[Any], outputs: int) -> Constant:
    """Each label by its frequency. Predicted are the k most frequent ones, for the k with the best micro F1
    on the training labels."""
    counts = np.asarray(labels, dtype=np.int64).reshape(-1, outputs).sum(axis=0)
    shares = (counts + 1) / (len(labels) + 2)
    logits = np.log(shares / (1 - shares))
    ranked = np.sort(counts)[::-1]
    found = 2 * ranked.cumsum() / (len(labels) * np.arange(1, outputs + 1) + counts.sum())
    last = np.sort(logits)[::-1][int(found.argmax())]
    below = logits[logits < last]
    cut = (last + below.max()) / 2 if len(below) else last - 1.0
    prediction = tuple(int(one) for one in logits > cut)
    return Constant(prediction, logits, "each label by its frequency", np.full(outputs, cut))


def mean(labels: Sequence[Any], outputs: int) -> Constant:
    """The mean of the numbers."""
    found = float(np.mean(labels))
    return Constant(found, np.array([found]), f"always {found:.3g}")


def most_frequent_tag(labels: Sequence[Any], outputs: int) -> Constant:
    """As `most_frequent`, of words."""
    return most_frequent([tag for tags in labels for tag in tags], outputs)
