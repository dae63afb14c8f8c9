"""Rows on which student and teacher differ most; pure functions of arrays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dkd_cli.data.examples import Split
from dkd_cli.data.output_math import Floats, above_zero, likeliest_tags, read_words, sigmoid
from dkd_cli.data.tags import words_of
from dkd_cli.evaluation.calibration import probabilities

MOST = 12
LONGEST_TEXT = 400


@dataclass(frozen=True)
class Disagreement:
    """A row with the class ids (numbers, or of several labels 1 and 0 for each) of both."""

    example_id: str
    text: str
    """Both texts of a pair, joined by a line break; truncated with an ellipsis."""
    label: Any
    """None where there is none."""
    student: Any
    teacher: Any
    student_probability: float | None
    """The probability of the predicted class; of several labels that of what it says on the label on which
    both differ and are most certain; None for numbers."""
    teacher_probability: float | None


def disagreements(
    split: Split, student: Floats, teacher: Floats, kind: str, most: int = MOST
) -> list[Disagreement]:
    """The surest ones first: by the smaller of the two probabilities, or for numbers by their distance.

    Of several labels a row counts by the label on which both differ and are most certain, of
    tags by the word.

    Args:
        split: N rows.
        student: logits [N, C]; for numbers [N, 1]. Less its cuts and divided by its temperature where there
            are such.
        teacher: likewise.
        kind: of output.
        most: how many to return.
    """
    return _BY_KIND[kind](split, student, teacher, most)


def _of_numbers(split: Split, student: Floats, teacher: Floats, most: int) -> list[Disagreement]:
    distance = np.abs(student[:, 0] - teacher[:, 0])
    order = np.argsort(-distance, kind="stable")[:most]
    return [
        _row(split, int(row), float(student[row, 0]), float(teacher[row, 0]), None, None)
        for row in order
        if distance[row] > 0
    ]


def _of_classes(split: Split, student: Floats, teacher: Floats, most: int) -> list[Disagreement]:
    own, theirs = probabilities(student), probabilities(teacher)
    said, told = own.argmax(axis=1), theirs.argmax(axis=1)
    sure = np.minimum(own.max(axis=1), theirs.max(axis=1))
    differing = np.flatnonzero(said != told)
    order = differing[np.argsort(-sure[differing], kind="stable")][:most]
    return [
        _row(split, int(row), int(said[row]), int(told[row]), float(own[row].max()), float(theirs[row].max()))
        for row in order
    ]


def _of_labels(split: Split, student: Floats, teacher: Floats, most: int) -> list[Disagreement]:
    own, theirs = sigmoid(np.abs(student)), sigmoid(np.abs(teacher))
    said, told = above_zero(student), above_zero(teacher)
    sure = np.where(said != told, np.minimum(own, theirs), 0.0)
    contested = sure.argmax(axis=1)
    order = [int(row) for row in np.argsort(-sure.max(axis=1), kind="stable")[:most] if sure[row].any()]
    return [
        _row(
            split,
            row,
            tuple(said[row].tolist()),
            tuple(told[row].tolist()),
            float(own[row, contested[row]]),
            float(theirs[row, contested[row]]),
        )
        for row in order
    ]


def _of_tags(split: Split, student: Floats, teacher: Floats, most: int) -> list[Disagreement]:
    there = read_words(student) & read_words(teacher)
    own, theirs = probabilities(student).max(axis=-1), probabilities(teacher).max(axis=-1)
    said, told = likeliest_tags(student), likeliest_tags(teacher)
    sure = np.where(there & (said != told), np.minimum(own, theirs), 0.0)
    contested = sure.argmax(axis=1)
    order = [int(row) for row in np.argsort(-sure.max(axis=1), kind="stable")[:most] if sure[row].any()]
    rows = []
    for row in order:
        words = len(words_of(split.texts[row]))
        tags = tuple(said[row, :words].tolist()), tuple(told[row, :words].tolist())
        sure_of = float(own[row, contested[row]]), float(theirs[row, contested[row]])
        rows.append(_row(split, row, *tags, *sure_of))
    return rows


_BY_KIND: dict[str, Callable[[Split, Floats, Floats, int], list[Disagreement]]] = {
    "classification": _of_classes,
    "multi-label": _of_labels,
    "tokens": _of_tags,
    "regression": _of_numbers,
}


def _row(
    split: Split,
    row: int,
    student: Any,
    teacher: Any,
    student_probability: float | None,
    teacher_probability: float | None,
) -> Disagreement:
    texts = [split.texts[row], *([] if split.text_pairs is None else [split.text_pairs[row]])]
    return Disagreement(
        example_id=split.example_ids[row],
        text="\n".join(map(_cut, texts)),
        label=None if split.labels is None else split.labels[row],
        student=student,
        teacher=teacher,
        student_probability=student_probability,
        teacher_probability=teacher_probability,
    )


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"
