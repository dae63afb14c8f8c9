"""Class weights of the loss on the labels, from `train.class_weights` and the training rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from dkd_cli.errors import RecipeError, raise_all
from dkd_cli.recipe.fields import did_you_mean

MOST = 100.0
"""The largest weight by which `balanced` counts a label where a text has it."""
KEY = "train.class_weights"


def class_weights(
    setting: Mapping[str, float] | Literal["balanced"] | None,
    labels: Sequence[float] | np.ndarray | None,
    names: Sequence[str] | None,
) -> np.ndarray | None:
    """Weight of each class, scaled so that the mean over the training rows is 1.

    `balanced` weighs a class by N / (K n), of N rows in K classes that occur, n of them in this one. Of
    several labels per text it is (N - n) / n where a text has the label, and nothing is scaled.

    >>> class_weights("balanced", np.array([0, 0, 0, 1]), ["ham", "spam"]).round(2)
    array([0.67, 2.  ], dtype=float32)
    >>> class_weights({"spam": 5}, np.array([0, 0, 0, 1]), ["ham", "spam"]).tolist()
    [0.5, 2.5]

    Args:
        setting: the recipe's; None: no weights.
        labels: class ids [N] of the labelled training rows, of several labels 1 and 0 [N, K]; None where
            there are none.
        names: of the classes; None where the output is a number.

    Returns:
        [K] float32, or None where every class counts the same.

    Raises:
        RecipeError: for numbers in place of classes, a name that is no class, or weights that leave nothing.
    """
    if setting is None:
        return None
    if names is None:
        raise RecipeError(KEY, "weighs classes, but the labels are numbers", "remove it")
    if labels is None or not len(labels):
        raise RecipeError(KEY, "weighs labels, but no training row has one", "remove it")
    found = np.asarray(labels, dtype=np.int64)
    if found.ndim > 1:
        return _of_labels(setting, found, names)
    counts = np.bincount(found, minlength=len(names)).astype(np.float64)
    if isinstance(setting, str):
        # A class without a training row is in no loss; dividing by 1 keeps its weight finite.
        weights = counts.sum() / ((counts > 0).sum() * np.maximum(counts, 1))
    else:
        raise_all([_unknown(name, names) for name in setting if name not in names])
        weights = np.array([float(setting.get(name, 1.0)) for name in names])
    total = float(weights @ counts)
    if total == 0:
        raise RecipeError(KEY, "gives every training row the weight 0", "give one class more")
    scaled: np.ndarray = weights * counts.sum() / total
    return scaled.astype(np.float32)


def _of_labels(
    setting: Mapping[str, float] | Literal["balanced"], labels: np.ndarray, names: Sequence[str]
) -> np.ndarray:
    """Weight of each of several labels where a text has it, of labels [N, K]; where it has not it is 1.

    `balanced`: as many rows without the label as with it, at most `MOST`; so both sides count the same.
    """
    if isinstance(setting, str):
        counts = labels.sum(axis=0)
        weights = np.minimum((len(labels) - counts) / np.maximum(counts, 1), MOST)
    else:
        raise_all([_unknown(name, names) for name in setting if name not in names])
        weights = np.array([float(setting.get(name, 1.0)) for name in names])
    found: np.ndarray = weights.astype(np.float32)
    return found


def _unknown(name: str, names: Sequence[str]) -> RecipeError:
    shown = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
    return RecipeError(f"{KEY}.{name}", "is no class", did_you_mean(name, names, f"name one of: {shown}"))
