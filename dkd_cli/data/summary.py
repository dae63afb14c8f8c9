"""Summaries of a data set's labels, one line each. Knows nothing about files or models."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence

from dkd_cli.data.examples import TaskData
from dkd_cli.data.kinds import KINDS
from dkd_cli.errors import one_line

LISTED = 10
"""Classes that are counted one by one; of more, the largest and the smallest."""


def label_line(data: TaskData) -> str:
    """The labels of the training split: how many of each class, or the range of numbers."""
    labels = data.splits["train"].labels
    if labels is None:
        return "train has no labels"
    if data.label_names is None:
        return f"labels in train: {number_range(labels)}"
    classes_of = KINDS[data.task.kind].classes_of
    counts = Counter(one for label in labels for one in classes_of(label))
    what = "texts of train with each tag" if KINDS[data.task.kind].by_word else "classes in train"
    return f"{what}: {class_line({name: counts[i] for i, name in enumerate(data.label_names)})}"


def class_line(counts: Mapping[str, int]) -> str:
    """Classes with their counts, the largest first.

    >>> class_line({"a": 10, "b": 1200})
    'b 1,200, a 10'
    """
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    if len(ranked) <= LISTED:
        return ", ".join(f"{one_line(name)} {count:,}" for name, count in ranked)
    (most, high), (fewest, low) = ranked[0], ranked[-1]
    return f"{len(ranked):,}, from {high:,} ({one_line(most)}) to {low:,} ({one_line(fewest)})"


def number_range(values: Sequence[float]) -> str:
    """The range and the mean of numbers.

    >>> number_range([0.0, 2.5, 5.0])
    '0 to 5, mean 2.5'
    """
    return f"{min(values):g} to {max(values):g}, mean {statistics.fmean(values):.3g}"
