"""The files of a labelling: answers as a file of probabilities, the audit, and disagreements to look at."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dkd_cli.data.examples import Split
from dkd_cli.errors import DataError
from dkd_cli.evaluation.disagreements import Disagreement
from dkd_cli.files import CellWriter, replacing
from dkd_cli.labelling.answers import text_key
from dkd_cli.labelling.replies import Answer, probabilities

DIGITS = 6


def keys_of(split: Split) -> list[str]:
    """The address of each text of a split."""
    pairs: Sequence[str | None] = split.text_pairs or [None] * len(split)
    return [text_key(text, pair) for text, pair in zip(split.texts, pairs, strict=True)]


def write_answers(
    path: Path, splits: Sequence[Split], answers: Mapping[str, Answer], names: Sequence[str], error: float
) -> int:
    """Write the answered rows of some splits as a file of probabilities; returns how many there are.

    Args:
        path: a `.jsonl` file, replaced as a whole.
        splits: training and validation texts.
        answers: by text key.
        names: the task's classes.
        error: smooths single answers.
    """
    rows = list(_rows(splits, answers, names, error))
    if not rows:
        return 0
    with replacing(path) as staged, staged.open("w", encoding="utf-8") as handle:
        handle.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return len(rows)


def _rows(
    splits: Sequence[Split], answers: Mapping[str, Answer], names: Sequence[str], error: float
) -> Iterator[dict[str, Any]]:
    written: set[str] = set()
    for split in splits:
        for row, key in enumerate(keys_of(split)):
            if key not in answers or split.example_ids[row] in written:
                continue
            written.add(split.example_ids[row])
            shares: NDArray[np.float64] = probabilities([answers[key]], names, error)[0]
            record: dict[str, Any] = {"example_id": split.example_ids[row], "text": split.texts[row]}
            if split.text_pairs is not None:
                record["text_pair"] = split.text_pairs[row]
            said = {name: round(float(share), DIGITS) for name, share in zip(names, shares, strict=True)}
            yield record | {"probabilities": {name: share for name, share in said.items() if share}}


def write_disagreements(path: Path, rows: Sequence[Disagreement], names: Sequence[str]) -> None:
    """Write the rows on which chooser and teacher differ most surely, as csv."""
    with replacing(path) as staged, staged.open("w", encoding="utf-8", newline="") as handle:
        writer = CellWriter(handle)
        writer.row(["example_id", "teacher", "probability", "student", "its probability", "text"])
        for row in rows:
            said = names[int(row.teacher)], f"{row.teacher_probability:.3f}"
            other = names[int(row.student)], f"{row.student_probability:.3f}"
            writer.row([row.example_id, *said, *other, row.text])


def write_audit_sheet(path: Path, split: Split, rows: Sequence[int]) -> None:
    """Write texts for a person to label, with an empty column `label`."""
    with replacing(path) as staged, staged.open("w", encoding="utf-8", newline="") as handle:
        writer = CellWriter(handle)
        writer.row(["example_id", "text", "label"])
        writer.rows([split.example_ids[row], split.texts[row], ""] for row in rows)


def read_audit_sheet(path: Path, names: Sequence[str]) -> dict[str, int]:
    """Class id by example id, of the rows that a person has labelled.

    Raises:
        DataError: for a label that is no class.
    """
    found: dict[str, int] = {}
    with path.open(encoding="utf-8-sig", newline="") as handle:
        for line, row in enumerate(csv.DictReader(handle), start=2):
            label = (row.get("label") or "").strip()
            if label and label not in names:
                remedy = f"use one of {', '.join(names)}"
                raise DataError(f"{path}:{line}", f"{label!r} is no class", remedy)
            if label and row.get("example_id"):
                found[str(row["example_id"])] = names.index(label)
    return found
