"""Calibration errors and temperature scaling; pure functions of arrays.

Temperature scaling (Guo et al., 2017) divides all logits by T > 0: the predicted class stays the same, its
probability changes. Knows nothing about models or files.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

from dkd_cli.data.labels import UNSEEN
from dkd_cli.data.output_math import Floats, gold_log_probabilities, log_softmax

BINS = 15
COLDEST, HOTTEST = 0.05, 20.0


@dataclass(frozen=True)
class Bin:
    """The rows whose most probable class has a probability in (low, high]; the means are None if there are
    none."""

    low: float
    high: float
    rows: int
    confidence: float | None
    """The mean probability of the predicted class."""
    accuracy: float | None


@dataclass(frozen=True)
class Reliability:
    """Quality of the probabilities of some rows at one temperature."""

    temperature: float
    ece: float
    """Expected calibration error over `bins`."""
    nll: float
    """Nats, mean over rows."""
    brier: float
    bins: tuple[Bin, ...]


def probabilities(logits: ArrayLike, temperature: float = 1.0) -> Floats:
    """softmax(z / T), [N, C]."""
    return np.asarray(np.exp(_log_probabilities(logits, temperature)), dtype=np.float64)


def negative_log_likelihood(logits: ArrayLike, labels: ArrayLike, temperature: float = 1.0) -> float:
    """Negative log-likelihood: −log softmax(z / T) of the true class, mean over rows, in nats.

    >>> round(negative_log_likelihood([[0.0, 0.0]], [1]), 4)
    0.6931
    """
    return float(-gold_log_probabilities(_log_probabilities(logits, temperature), _ids(labels)).mean())


def brier_score(logits: ArrayLike, labels: ArrayLike, temperature: float = 1.0) -> float:
    """Brier score: Σ_c (p_c − y_c)², mean over rows, in [0, 2] (Brier, 1950, for several classes).

    >>> brier_score([[0.0, 0.0]], [1])
    0.5
    """
    errors, ids = probabilities(logits, temperature), _ids(labels)
    seen = np.flatnonzero(ids > UNSEEN)
    errors[seen, ids[seen]] -= 1.0
    # The true class of the other rows has no output: its p is 0 and its y is 1.
    return float(((errors**2).sum(axis=1) + (ids <= UNSEEN)).mean())


def reliability_bins(
    logits: ArrayLike, labels: ArrayLike, temperature: float = 1.0, bins: int = BINS
) -> tuple[Bin, ...]:
    """Group rows into `bins` equal intervals of the predicted class's probability."""
    chances = probabilities(logits, temperature)
    sure, right = chances.max(axis=1), chances.argmax(axis=1) == _ids(labels)
    edges = np.linspace(0.0, 1.0, bins + 1)
    place = np.clip(np.searchsorted(edges, sure, side="left") - 1, 0, bins - 1)
    found = []
    for number in range(bins):
        inside = place == number
        some = bool(inside.any())
        found.append(
            Bin(
                low=float(edges[number]),
                high=float(edges[number + 1]),
                rows=int(inside.sum()),
                confidence=float(sure[inside].mean()) if some else None,
                accuracy=float(right[inside].mean()) if some else None,
            )
        )
    return tuple(found)


def expected_calibration_error(bins: tuple[Bin, ...]) -> float:
    """Expected calibration error: Σ_b n_b / N · |accuracy_b − confidence_b| (Guo et al., 2017, equation
    3), in [0, 1]."""
    rows = sum(one.rows for one in bins)
    gaps = (
        one.rows * abs(one.accuracy - one.confidence)
        for one in bins
        if one.accuracy is not None and one.confidence is not None
    )
    return sum(gaps) / rows


def reliability(logits: ArrayLike, labels: ArrayLike, temperature: float = 1.0) -> Reliability:
    """Compute all figures at one temperature."""
    bins = reliability_bins(logits, labels, temperature)
    return Reliability(
        temperature=temperature,
        ece=expected_calibration_error(bins),
        nll=negative_log_likelihood(logits, labels, temperature),
        brier=brier_score(logits, labels, temperature),
        bins=bins,
    )


def fit_temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """Fit the T in [0.05, 20] that minimises the negative log-likelihood on these rows; never worse than T =
    1.

    1 if every row is right: the likelihood then grows without bound as T falls and carries no information.
    """
    if bool((np.asarray(logits).argmax(axis=1) == _ids(labels)).all()):
        return 1.0
    # Convex in 1 / T, so that there is one minimum; the logarithm spaces the search evenly.
    found = minimize_scalar(
        lambda logarithm: negative_log_likelihood(logits, labels, float(np.exp(logarithm))),
        bounds=(np.log(COLDEST), np.log(HOTTEST)),
        method="bounded",
    )
    temperature = float(np.exp(found.x))
    better = negative_log_likelihood(logits, labels, temperature) < negative_log_likelihood(logits, labels)
    return temperature if better else 1.0


def _log_probabilities(logits: ArrayLike, temperature: float) -> Floats:
    if temperature <= 0:
        raise ValueError(f"the temperature must be above 0, not {temperature}")
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    return log_softmax(scaled)


def _ids(labels: ArrayLike) -> NDArray[np.int64]:
    return np.asarray(labels, dtype=np.int64)
