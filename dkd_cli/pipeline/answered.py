"""Teachers that are endpoints, as `dkd distill` sees them: the answers that `dkd label` has written.

Texts without a label that were never asked about have nothing to teach: they wait, outside the training
split. Labelled texts without an answer are taught by their label, as if the teacher had given it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dkd_cli.data.examples import Split, TaskData
from dkd_cli.data.probabilities import read_probabilities
from dkd_cli.errors import DataError
from dkd_cli.labelling.setting import labels_file
from dkd_cli.manifests import sha256
from dkd_cli.recipe.schema import Recipe


def label_files(recipe: Recipe) -> dict[str, Path]:
    """The file of answers of each teacher that is an endpoint, whether or not it is there."""
    return {
        name: labels_file(recipe, name)
        for name, teacher in recipe.teachers.items()
        if teacher.endpoint is not None
    }


def answer_digests(recipe: Recipe) -> dict[str, str]:
    """A digest of each file of answers: more answers are another teacher."""
    return {name: sha256(path) for name, path in label_files(recipe).items() if path.is_file()}


def with_answers(recipe: Recipe, data: TaskData) -> TaskData:
    """The data less the texts without labels (training or transfer) that an endpoint has no answer for."""
    answered = [_answered(path) for path in label_files(recipe).values() if path.is_file()]
    if not answered:
        return data
    known = set.intersection(*answered)
    notes = list(data.notes)
    train, transfer = data.splits["train"], data.transfer
    if train.labels is None:
        train = _kept(train, known, notes)
    if transfer is not None:
        transfer = _kept(transfer, known, notes)
    splits = {**data.splits, "train": train}
    return replace(data, splits=splits, transfer=transfer if transfer else None, notes=tuple(notes))


def _kept(split: Split, known: set[str], notes: list[str]) -> Split:
    rows = [row for row, example in enumerate(split.example_ids) if example in known]
    if len(rows) == len(split):
        return split
    notes.append(f"{split.name}: {len(rows):,} of {len(split):,} texts are answered, the others wait")
    return split.take(rows, split.name)


def answers_to(recipe: Recipe, name: str, data: TaskData, split: Split) -> NDArray[np.float32]:
    """The answers of an endpoint to a split, [N, C]; a labelled text without an answer has its label.

    Raises:
        DataError: there are no answers yet, or none for a text without a label.
    """
    path, place = labels_file(recipe, name), f"teachers.{name}"
    if not path.is_file():
        raise DataError(place, f"{path} does not exist yet", "make it with `dkd label`")
    assert data.label_names is not None
    known = _answered(path)
    labelled = split.labelled if split.labels is not None else [False] * len(split)
    asked = [
        row
        for row, example in enumerate(split.example_ids)
        if example in known or not (labelled is None or labelled[row])
    ]
    found = np.zeros((len(split), len(data.label_names)), dtype=np.float32)
    if split.labels is not None:
        own = np.asarray(split.labels, dtype=np.int64)
        found[np.arange(len(split)), np.maximum(own, 0)] = 1.0
    if asked:
        part = split.take(asked, split.name)
        found[asked] = read_probabilities(str(path), part, data.label_names, None, place)
    return found


def _answered(path: Path) -> set[str]:
    with path.open(encoding="utf-8") as handle:
        return {json.loads(line)["example_id"] for line in handle}
