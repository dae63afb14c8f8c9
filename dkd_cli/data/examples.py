"""What the rest of the program sees of a data set: a resolved task and its splits.

Knows nothing about files, tokenizers or tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dkd_cli.data.tasks import Task


@dataclass(frozen=True, slots=True)
class Split:
    """The examples of one split; every column has one entry per example."""

    name: str
    texts: Sequence[str]
    text_pairs: Sequence[str] | None
    labels: Sequence[int] | Sequence[float] | None
    """Class ids or target values; None where a test split hides them, and in unlabelled training data."""
    example_ids: Sequence[str]
    """16 hex digits made of the texts alone, whatever the order of the rows and the sizes of the splits."""

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: Sequence[int], name: str) -> Split:
        """Some of the examples, in the order given, as a split of that name."""
        return Split(
            name,
            [self.texts[row] for row in rows],
            None if self.text_pairs is None else [self.text_pairs[row] for row in rows],
            None if self.labels is None else [self.labels[row] for row in rows],
            [self.example_ids[row] for row in rows],
        )


@dataclass(frozen=True, slots=True)
class TaskData:
    """A task with everything needed to train and to evaluate it."""

    task: Task
    label_names: tuple[str, ...] | None
    """In the order of the class ids; None for regression."""
    splits: Mapping[str, Split]
    """`train`, `validation` and, if there is one, `test`; for MNLI also the two `_mismatched` ones."""
    notes: tuple[str, ...]
    """What the user should know about the data, a line each."""
