"""Task data as the rest of the program sees it: a resolved task and its splits.

Knows nothing about files, tokenizers or tensors.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dkd_cli.data.tasks import Task

Labels = Sequence[Any] | None
"""Class ids, numbers, or tuples: 1 and 0 for each of several labels, or the id of each word's tag."""
NO_LABEL = -100
"""Stands in for the class id of a row without one; it is no index, so what reads it by mistake fails."""


def taken(labels: Labels, rows: Sequence[int]) -> Labels:
    """The labels of some rows, in their order."""
    return None if labels is None else [labels[row] for row in rows]


@dataclass(frozen=True, slots=True)
class Split:
    """The examples of one split; every column has one entry per example."""

    name: str
    texts: Sequence[str]
    text_pairs: Sequence[str] | None
    labels: Labels
    """Class ids, target values, or of several labels 1 or 0 for each of C; None where a test split hides
    them, and in unlabelled training data."""
    example_ids: Sequence[str]
    """16 hex digits made of the texts alone, whatever the order of the rows and the sizes of the splits."""
    labelled: Sequence[bool] | None = None
    """Mask of the labelled rows, if only some are; the others hold `NO_LABEL` or NaN. None: all or none."""
    by_word: bool = False
    """True if each word of a text has a tag; single spaces separate words (`tags.words_of`)."""

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, rows: Sequence[int], name: str) -> Split:
        """Some of the examples, in the order given, as a split of that name."""
        return Split(
            name,
            [self.texts[row] for row in rows],
            None if self.text_pairs is None else [self.text_pairs[row] for row in rows],
            taken(self.labels, rows),
            [self.example_ids[row] for row in rows],
            None if self.labelled is None else [self.labelled[row] for row in rows],
            self.by_word,
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
    """Notes for the user about the data, a line each."""
    transfer: Split | None = None
    """Texts without labels that teachers alone teach; None where the recipe names none."""

    def all_splits(self) -> list[Split]:
        """The labelled splits and, where there is one, the transfer set."""
        return [*self.splits.values(), *([] if self.transfer is None else [self.transfer])]

    def digest(self) -> str:
        """A digest of what a run is made from: classes, texts and labels of training and validation.

        After a `+` that of the transfer set, if there is one.
        """
        parts = [self.splits[name] for name in ("train", "validation") if name in self.splits]
        columns: list[Sequence[object]] = [self.label_names or ()]
        columns += [column or () for one in parts for column in (one.texts, one.text_pairs, one.labels)]
        own = _digest(columns)
        if self.transfer is None:
            return own
        return f"{own}+{_digest([self.transfer.texts, self.transfer.text_pairs or ()])}"

    @property
    def rows_taught(self) -> int:
        """Number of rows in an epoch of a student with teachers."""
        return len(self.splits["train"]) + (0 if self.transfer is None else len(self.transfer))

    def taught(self) -> Split:
        """Rows that a student with teachers trains on: the labelled ones, then the transfer set."""
        train = self.splits["train"]
        return train if self.transfer is None else joined(train, self.transfer)

    @property
    def outputs(self) -> int:
        """Number of outputs of a model of this task."""
        return 1 if self.label_names is None else len(self.label_names)


def joined(labelled: Split, transfer: Split) -> Split:
    """Put a transfer set after labelled rows; where these have labels, `labelled` tells the two apart."""
    labels: Any = None
    if labelled.labels is not None:
        labels = [*labelled.labels, *[_no_label(labelled.labels[0])] * len(transfer)]
    return Split(
        labelled.name,
        [*labelled.texts, *transfer.texts],
        None if labelled.text_pairs is None else [*labelled.text_pairs, *(transfer.text_pairs or ())],
        labels,
        [*labelled.example_ids, *transfer.example_ids],
        None if labels is None else [True] * len(labelled) + [False] * len(transfer),
    )


def _no_label(label: Any) -> Any:
    """Placeholder for a missing label of the same type."""
    if isinstance(label, tuple):
        return (NO_LABEL,) * len(label)
    return math.nan if isinstance(label, float) else NO_LABEL


def _digest(columns: Sequence[Sequence[object]]) -> str:
    """32 hex digits."""
    found = hashlib.blake2b(digest_size=16)
    for column in columns:
        found.update(f"{len(column)}:".encode())
        for value in column:
            # With its length, so that no two columns of texts run into the same bytes.
            text = str(value).encode(errors="surrogatepass")
            found.update(f"{len(text)}:".encode() + text)
    return found.hexdigest()
