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
    """Fit for each label the cut that gives the best F1 on these rows, the middle of the gap that it is in.

    0, a threshold of one half, for a label that no row has, and for one of which no cut has an F1 above 0; of
    equally good cuts the one that predicts fewest rows.

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
    found = [_best_cut(scores[:, place], truth[:, place]) for place in range(scores.shape[1])]
    most = STEEPEST * temperature
    return np.asarray(np.clip(np.array(found), -most, most), dtype=np.float64)


def _best_cut(scores: Floats, truth: np.ndarray) -> float:
    positives = int(truth.sum())
    if not positives:
        return 0.0
    order = np.argsort(-scores, kind="stable")
    ranked, right = scores[order], truth[order].cumsum()
    f1 = 2 * right / (np.arange(1, len(ranked) + 1) + positives)
    # Rows of one score are predicted together.
    last = np.append(ranked[1:] < ranked[:-1], True)
    best = int(np.where(last, f1, -1.0).argmax())
    if best + 1 == len(ranked):
        return float(ranked[best] - 1.0)
    return float((ranked[best] + ranked[best + 1]) / 2)


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
