"""Checks that an export has to pass: the same logits as torch, and the quality of its source.

Works on logits alone; knows nothing about formats and sessions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dkd_cli.data.examples import Split
from dkd_cli.data.metric_names import merit
from dkd_cli.data.output_math import Floats, centred
from dkd_cli.data.tasks import Task
from dkd_cli.engine.models.exports import Parity, Quality
from dkd_cli.errors import ModelError
from dkd_cli.evaluation.fidelity import agreement
from dkd_cli.evaluation.metrics import score
from dkd_cli.recipe.words import NO_WORD

Logits = NDArray[np.float32]
BATCH_SHARE = 1e-3
"""Of the largest logit: what rounding may change between batches, where 8-bit integers make it visible."""


@dataclass(frozen=True)
class Gates:
    """Limits for the differences between an export and its source."""

    tolerance: float
    """The largest difference of a logit between torch and the float32 graph."""
    max_loss: float
    """The most points of the task's first metric that the export may lose."""


def measure_parity(expected: Logits, said: Logits, bound: float) -> Parity:
    """Compare the logits [N, C] of a float32 graph with torch's."""
    return Parity(len(said), _difference(expected, said), bound)


def one_after_the_other(first: Logits, second: Logits) -> Logits:
    """Put the logits of texts after those of others, [N, C] and [M, C] -> [N + M, C].

    Of words, [N, W, C] and [M, V, C], the narrower ones are filled up with `NO_WORD`.
    """
    if first.ndim > 2:
        most = max(first.shape[1], second.shape[1])
        first, second = (
            np.pad(one, ((0, 0), (0, most - one.shape[1]), (0, 0)), constant_values=NO_WORD)
            for one in (first, second)
        )
    return np.concatenate([first, second])


def check_parity(name: str, parity: Parity) -> None:
    """Refuse a graph whose logits differ from the model's.

    Raises:
        ModelError: with the figures.
    """
    if parity.max_difference > parity.bound:
        raise ModelError(
            name,
            f"the exported graph's logits differ from torch's by up to {parity.max_difference:.2g} on "
            f"{parity.rows} texts, more than {parity.bound:.2g}: nothing was written",
            "allow more with --tolerance, or deploy the checkpoint itself",
        )


def check_batches(name: str, alone: Logits, together: Logits) -> None:
    """Refuse an export whose logits [N, C] of a text depend on the texts that are read with it.

    Raises:
        ModelError: with the figures.
    """
    largest = _difference(alone, together)
    if largest > BATCH_SHARE * float(np.abs(alone[alone != NO_WORD]).max(initial=1.0)):
        raise ModelError(
            name,
            f"a text's logits depend on the texts that the export reads with it (by up to {largest:.2g}): "
            "nothing was written",
            "leave out --quantize, or deploy the checkpoint itself",
        )


def measure_quality(
    name: str,
    task: Task,
    split: Split,
    expected: Logits,
    said: Logits,
    max_loss: float,
    cuts: Floats | None = None,
) -> Quality:
    """Score both logits [N, C] on the labels or, without labels, by their agreement.

    `cuts` [C] are those of the source, which its export keeps.

    Raises:
        ModelError: if the metric is undefined, like the correlation of constants.
    """
    metric = task.metrics[0]
    before: float | None = 1.0
    if split.labels is None:
        metric, after = "agreement", agreement(centred(said, cuts), centred(expected, cuts), task.kind)
    else:
        before, after = (score(metric, task, logits, split.labels, cuts) for logits in (expected, said))
    if before is None or after is None:
        problem = f"its {metric} on {split.name} is undefined, so the export cannot be judged"
        raise ModelError(name, problem, "train it further")
    return Quality(split.name, len(split), metric, before, after, max_loss, _difference(expected, said))


def check_quality(name: str, quality: Quality) -> None:
    """Refuse an export that loses more than is allowed.

    Raises:
        ModelError: with the figures.
    """
    if lost(quality) > quality.max_loss:
        raise ModelError(
            name,
            f"the export loses {lost(quality):.2f} points of {quality.metric} on {quality.rows} texts of "
            f"{quality.split} ({quality.before:.4f} to {quality.after:.4f}), more than {quality.max_loss:g}: "
            "nothing was written",
            "allow more with --max-loss, or leave out --quantize",
        )


def lost(quality: Quality) -> float:
    """Points, that is hundredths of the metric; negative for a gain."""
    before, after = (merit(quality.metric, one) for one in (quality.before, quality.after))
    # rounded: two of two hundred texts are one point, not one and a rounding error
    return round(100 * (before - after), 6)


def _difference(expected: Logits, said: Logits) -> float:
    return float(np.abs(expected - said).max())
