"""Thresholds of several labels, fitted on validation; pure functions of arrays.

A cut is a logit above which a label is predicted; a threshold the probability there, at the model's
temperature T: cut = T · log(t / (1 - t)). Knows nothing about models or files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from dkd_cli.data.output_math import Floats, sigmoid

STEEPEST = 13.8
"""Cuts stay within this many temperatures of 0: thresholds from 0.000001 to 0.999999."""


def fit_cuts(logits: ArrayLike, labels: ArrayLike, temperature: float = 1.0) -> Floats:
    """Fit a cut for each label so that all together give the best micro F1 on these rows.

    Micro F1 is 2 TP / (predicted + P), of which the best value F is also the one at which the labels decide
    alone: each takes the k highest rows that maximise 2 TP_k − F k (Dinkelbach, 1967). So a label that is
    hardly told apart is predicted rarely or never, not for every row as its own best F1 would have it.

    A cut is the middle of the gap that it is in. A label that no row has keeps 0, a threshold of one half; a
    label that is best never predicted gets the highest logit, at least 0.

    Args:
        logits: [N, C].
        labels: [N, C], 1 or 0.
        temperature: of the model; it bounds the cuts.

    Returns:
        [C].

    >>> fit_cuts([[3.0, 1.0], [1.0, 0.0], [-1.0, 0.0]], [[1, 0], [1, 0], [0, 0]]).tolist()
    [0.0, 0.0]
    """
    scores, truth = np.asarray(logits, dtype=np.float64), np.asarray(labels) == 1
    positives, size = int(truth.sum()), len(scores)
    if not positives:
        return np.zeros(scores.shape[1])
    order = np.argsort(-scores, axis=0, kind="stable")
    ranked = np.take_along_axis(scores, order, axis=0)
    right = np.take_along_axis(truth, order, axis=0).cumsum(axis=0)
    right = np.concatenate([np.zeros((1, scores.shape[1])), right])  # of the k highest rows, k from 0
    # Rows of one score are predicted together.
    together = np.zeros(right.shape, dtype=bool)
    together[1:-1] = ranked[1:] >= ranked[:-1]
    counts, best = np.arange(size + 1)[:, None], 0.0
    while True:
        chosen = np.where(together, -np.inf, 2 * right - best * counts).argmax(axis=0)
        found = 2 * np.take_along_axis(right, chosen[None], axis=0).sum() / (chosen.sum() + positives)
        if found <= best + 1e-12:
            break
        best = float(found)
    found_cuts = [_cut(ranked[:, place], int(k)) for place, k in enumerate(chosen)]
    most = STEEPEST * temperature
    cuts = np.where(truth.any(axis=0), found_cuts, 0.0)
    return np.asarray(np.clip(cuts, -most, most), dtype=np.float64)


def _cut(ranked: Floats, rows: int) -> float:
    """A logit above which the first `rows` of ranked ones lie."""
    if rows == 0:
        return max(0.0, float(ranked[0]))
    if rows == len(ranked):
        return float(ranked[-1] - 1.0)
    return float((ranked[rows - 1] + ranked[rows]) / 2)


def as_thresholds(cuts: Floats, temperature: float, names: Sequence[str]) -> dict[str, float]:
    """Probabilities by label."""
    return dict(zip(names, map(float, sigmoid(cuts / temperature)), strict=True))


def as_cuts(thresholds: Mapping[str, float], temperature: float, names: Sequence[str]) -> Floats | None:
    """Cuts in the order of `names`, [C]; None where there are no thresholds, or they are of other labels.

    >>> as_cuts({"joy": 0.5, "love": 0.8}, 2.0, ["love", "joy"]).round(4).tolist()
    [2.7726, 0.0]
    """
    by_name = {name.casefold(): value for name, value in thresholds.items()}
    if not thresholds or by_name.keys() != {name.casefold() for name in names}:
        return None
    found = np.array([by_name[name.casefold()] for name in names])
    return np.asarray(temperature * np.log(found / (1 - found)), dtype=np.float64)
