"""Metrics on many resamples of the examples at once; pure numpy.

A resample is a row of counts: how often each example was drawn. Knows nothing about models, seeds or tests. A
figure that is undefined on a resample (such as the correlation of a constant) is NaN there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Floats = NDArray[np.float64]
Scorer = Callable[[Floats, Floats, Floats], Floats]
"""(counts [B, N], predictions [N], labels [N]) -> scores [B]; of several labels [N, C] each, of tags counts
[N, 3] of `word_counts`"""

CELLS_AT_ONCE = 4_000_000
"""Counts in memory: 32 MB, for any number of resamples and examples."""


def resampled_scores(
    metric: str, predictions: NDArray[np.generic], labels: NDArray[np.generic], resamples: int, seed: int = 0
) -> Floats:
    """Score every model on the same resamples of the examples, drawn with replacement.

    Args:
        metric: a name in `SCORERS`.
        predictions: what `metrics.compared` gives of each, [M, N]: M models, N examples; of several labels
            [M, N, C].
        labels: what it compares them with, [N] or [N, C].
        resamples: B of them.
        seed: of the draws.

    Returns:
        [B, M].
    """
    numbers, truth = np.asarray(predictions, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    found = [
        np.stack([SCORERS[metric](counts, model, truth) for model in numbers], axis=1)
        for counts in drawn(len(truth), resamples, seed)
    ]
    return np.concatenate(found)


def drawn(examples: int, resamples: int, seed: int) -> Iterator[Floats]:
    """Yield counts [b, N] until there are `resamples` rows; each row sums to N."""
    generator = np.random.default_rng(seed)
    most = max(1, CELLS_AT_ONCE // examples)
    for start in range(0, resamples, most):
        rows = min(most, resamples - start)
        places = generator.integers(examples, size=(rows, examples))
        places += np.arange(rows)[:, None] * examples
        counts = np.bincount(places.reshape(-1), minlength=rows * examples)
        yield counts.reshape(rows, examples).astype(np.float64)


def _accuracy(counts: Floats, predictions: Floats, labels: Floats) -> Floats:
    return np.asarray(counts @ (predictions == labels) / counts.sum(axis=1), dtype=np.float64)


def _macro_f1(counts: Floats, predictions: Floats, labels: Floats) -> Floats:
    hit, named, true = _by_class(counts, predictions, labels)
    occurs = named + true > 0
    f1 = 2 * hit / np.where(occurs, named + true, 1.0)
    return np.asarray(f1.sum(axis=1) / np.maximum(occurs.sum(axis=1), 1), dtype=np.float64)


def _f1(counts: Floats, predictions: Floats, labels: Floats) -> Floats:
    found, named, true = _positives(counts, predictions, labels)
    return _share(2 * found, named + true)


def _precision(counts: Floats, predictions: Floats, labels: Floats) -> Floats:
    found, named, _ = _positives(counts, predictions, labels)
    return _share(found, named)


def _recall(counts: Floats, predictions: Floats, labels: Floats) -> Floats:
    found, _, true = _positives(counts, predictions, labels)
    return _share(found, true)


def _positives(counts: Floats, predictions: Floats, labels: Floats) -> tuple[Floats, Floats, Floats]:
    """(predicted and true, predicted, true) of the positive class, [B]; both sides are 0 or 1."""
    return counts @ (predictions * labels), counts @ predictions, counts @ labels


def _share(part: Floats, whole: Floats) -> Floats:
    return np.asarray(np.where(whole > 0, part / np.where(whole > 0, whole, 1.0), 0.0), dtype=np.float64)


def _roc_auc(counts: Floats, scores: Floats, labels: Floats) -> Floats:
    """By the ranks of the positive rows (Mann-Whitney)."""
    total, true = counts.sum(axis=1), counts @ labels
    pairs = true * (total - true)
    above = (counts * _ranks(counts, scores)) @ labels - true * (true + 1) / 2
    return np.asarray(np.where(pairs > 0, above / np.where(pairs > 0, pairs, 1.0), np.nan), dtype=np.float64)


def _average_precision(counts: Floats, scores: Floats, labels: Floats) -> Floats:
    """Σ (recall gained) · precision, from the highest score down; rows of one score come together."""
    _, group = np.unique(-scores, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    named = np.add.reduceat(counts[:, order], starts, axis=1)
    found = np.add.reduceat((counts * labels)[:, order], starts, axis=1)
    true = found.sum(axis=1)
    area = (found * _share(found.cumsum(axis=1), named.cumsum(axis=1))).sum(axis=1)
    return np.asarray(np.where(true > 0, area / np.where(true > 0, true, 1.0), np.nan), dtype=np.float64)


def _matthews(counts: Floats, predictions: Floats, labels: Floats) -> Floats:
    hit, named, true = _by_class(counts, predictions, labels)
    total = counts.sum(axis=1)
    covariance = hit.sum(axis=1) * total - (named * true).sum(axis=1)
    spread = (total**2 - (named**2).sum(axis=1)) * (total**2 - (true**2).sum(axis=1))
    # Of a constant 0, the convention of GLUE.
    return np.asarray(np.where(spread > 0, covariance / np.sqrt(np.where(spread > 0, spread, 1.0)), 0.0))


def _micro_f1(counts: Floats, predictions: Floats, labels: Floats) -> Floats:
    hit, named, true = (one.sum(axis=1) for one in _by_class(counts, predictions, labels))
    return _share(2 * hit, named + true)


def _subset_accuracy(counts: Floats, predictions: Floats, labels: Floats) -> Floats:
    return _loss(counts, (predictions == labels).all(axis=1).astype(np.float64), labels)


def _mean_average_precision(counts: Floats, scores: Floats, labels: Floats) -> Floats:
    """NaN for resamples without any label; those that a resample lacks are left out of its mean."""
    found = np.stack(
        [_average_precision(counts, scores[:, place], labels[:, place]) for place in range(scores.shape[1])]
    )
    defined = np.isfinite(found)
    total = np.where(defined, found, 0.0).sum(axis=0)
    return np.asarray(np.where(defined.any(axis=0), total / np.maximum(defined.sum(axis=0), 1), np.nan))


def _label_ranking(counts: Floats, scores: Floats, labels: Floats) -> Floats:
    return _loss(counts, _ranking_of_rows(scores, labels == 1), labels)


def _ranking_of_rows(scores: Floats, labels: NDArray[np.bool_]) -> Floats:
    """Label ranking average precision of each row, [N, C] -> [N]; ties count as ranked before."""
    among_all = rankdata(-scores, method="max", axis=1)
    among_right = rankdata(np.where(labels, -scores, np.inf), method="max", axis=1)
    right = labels.sum(axis=1)
    shares = np.where(labels, among_right / among_all, 0.0).sum(axis=1) / np.maximum(right, 1)
    return np.asarray(np.where((right == 0) | (right == labels.shape[1]), 1.0, shares), dtype=np.float64)


def _by_class(counts: Floats, predictions: Floats, labels: Floats) -> tuple[Floats, Floats, Floats]:
    """(predicted correctly, predicted, true) of each class, [B, C]; rows are class ids, or of several labels
    1 and 0 for each."""
    if predictions.ndim > 1:
        return counts @ (predictions * labels), counts @ predictions, counts @ labels
    classes = np.union1d(predictions, labels)
    named, true = predictions[:, None] == classes, labels[:, None] == classes
    return counts @ (named & true), counts @ named.astype(float), counts @ true.astype(float)


def _pearson(counts: Floats, predictions: Floats, labels: Floats) -> Floats:
    # Centred and scaled first: the moments of large numbers would lose their digits.
    first, second = (
        (x - x.mean()) / spread if (spread := np.ptp(x)) > 0 else np.zeros_like(x)
        for x in (predictions, labels)
    )
    total = counts.sum(axis=1)
    moments = np.stack([first, second, first * first, second * second, first * second], axis=1)
    x, y, xx, yy, xy = (counts @ moments / total[:, None]).T
    return _correlation(xy - x * y, xx - x * x, yy - y * y)


def _spearman(counts: Floats, predictions: Floats, labels: Floats) -> Floats:
    total = counts.sum(axis=1, keepdims=True)
    # The mean of mid-ranks, with or without ties.
    left, right = (_ranks(counts, values) - (total + 1) / 2 for values in (predictions, labels))
    return _correlation(
        (counts * left * right).sum(axis=1),
        (counts * left * left).sum(axis=1),
        (counts * right * right).sum(axis=1),
    )


def _ranks(counts: Floats, values: Floats) -> Floats:
    """The rank of each example within each resample, ties sharing their mean rank, [B, N]."""
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    sizes = np.add.reduceat(counts[:, order], starts, axis=1)
    return np.asarray((np.cumsum(sizes, axis=1) - (sizes - 1) / 2)[:, group], dtype=np.float64)


def _correlation(covariance: Floats, first: Floats, second: Floats) -> Floats:
    # Rounding gives a constant a spread that is not exactly 0.
    defined = (first > 1e-12 * max(first.max(), 1e-300)) & (second > 1e-12 * max(second.max(), 1e-300))
    product = np.where(defined, first * second, 1.0)
    return np.asarray(np.where(defined, covariance / np.sqrt(product), np.nan), dtype=np.float64)


def _mse(counts: Floats, predictions: Floats, labels: Floats) -> Floats:
    return np.asarray(counts @ (predictions - labels) ** 2 / counts.sum(axis=1), dtype=np.float64)


def _loss(counts: Floats, losses: Floats, labels: Floats) -> Floats:
    return np.asarray(counts @ losses / counts.sum(axis=1), dtype=np.float64)


def _f1_of(counts: Floats, of_texts: Floats, labels: Floats) -> Floats:
    hits, predicted, true = (counts @ of_texts).T
    return _share(2 * hits, predicted + true)


def _precision_of(counts: Floats, of_texts: Floats, labels: Floats) -> Floats:
    hits, predicted, _ = (counts @ of_texts).T
    return _share(hits, predicted)


def _recall_of(counts: Floats, of_texts: Floats, labels: Floats) -> Floats:
    hits, _, true = (counts @ of_texts).T
    return _share(hits, true)


SCORERS: dict[str, Scorer] = {
    "accuracy": _accuracy,
    "macro_f1": _macro_f1,
    "matthews": _matthews,
    "micro_f1": _micro_f1,
    "mean_average_precision": _mean_average_precision,
    "subset_accuracy": _subset_accuracy,
    "label_ranking": _label_ranking,
    "entity_f1": _f1_of,
    "entity_precision": _precision_of,
    "entity_recall": _recall_of,
    "word_accuracy": _recall_of,
    "f1": _f1,
    "precision": _precision,
    "recall": _recall,
    "average_precision": _average_precision,
    "roc_auc": _roc_auc,
    "pearson": _pearson,
    "spearman": _spearman,
    "mse": _mse,
    "loss": _loss,
}
"""By the names of `metrics.SCORES`."""
