"""Teachers that are recorded: files of probabilities, and what `dkd label` has written for an endpoint.

Texts without a label that such a teacher says nothing about have nothing to teach: they wait, outside the
training split. Labelled texts that it leaves out are taught by their label, as if it had given it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dkd_cli.data.examples import Split, TaskData
from dkd_cli.data.probabilities import covered, of_labels, read_probabilities
from dkd_cli.engine.cache.fingerprint import file_digest
from dkd_cli.errors import DataError
from dkd_cli.labelling.setting import labels_file
from dkd_cli.reading.locate import file_path
from dkd_cli.recipe.schema import Recipe


def label_files(recipe: Recipe) -> dict[str, Path]:
    """The file of answers of each teacher that is an endpoint, whether or not it is there."""
    return {
        name: labels_file(recipe, name)
        for name, teacher in recipe.teachers.items()
        if teacher.endpoint is not None
    }


def recorded_files(recipe: Recipe) -> dict[str, str]:
    """The file of each recorded teacher, by name, as it is written in the recipe or was made for it."""
    own = {
        name: teacher.probabilities
        for name, teacher in recipe.teachers.items()
        if teacher.probabilities is not None
    }
    return own | {name: str(path) for name, path in label_files(recipe).items()}


def answer_digests(recipe: Recipe) -> dict[str, str]:
    """A digest of each recorded teacher's file: other or more answers are another teacher."""
    files = {name: file_path(reference) for name, reference in recorded_files(recipe).items()}
    return {name: file_digest(path) for name, path in files.items() if path.is_file()}


def with_answers(recipe: Recipe, data: TaskData) -> TaskData:
    """The data less the texts without labels (training or transfer) that a recorded teacher leaves out."""
    train, transfer = data.splits["train"], data.transfer
    notes = list(data.notes)
    for name, reference in recorded_files(recipe).items():
        if (train.labels is not None and transfer is None) or not file_path(reference).is_file():
            continue
        if train.labels is None:
            train = _kept(train, name, reference, notes)
        if transfer is not None:
            transfer = _kept(transfer, name, reference, notes) or None
    splits = {**data.splits, "train": train}
    return replace(data, splits=splits, transfer=transfer, notes=tuple(notes))


def _kept(split: Split, name: str, reference: str, notes: list[str]) -> Split:
    known = covered(reference, split, f"teachers.{name}")
    rows = [row for row, one in enumerate(known) if one]
    # None at all is no choice but another key or another data set: `answers_to` names the first such text.
    if len(rows) in (0, len(split)):
        return split
    notes.append(f"{split.name}: {len(rows):,} of {len(split):,} texts are answered, the others wait")
    return split.take(rows, split.name)


def answers_to(
    recipe: Recipe, name: str, data: TaskData, split: Split, *, sum_to_one: bool
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Probabilities of a recorded teacher for a split, [N, C], and which rows are its own, [N].

    The other rows have a label, which stands for the teacher's answer.

    Raises:
        DataError: there are no answers yet, or none for a text without a label, or for no text at all.
    """
    teacher, place, reference = recipe.teachers[name], f"teachers.{name}", recorded_files(recipe)[name]
    if teacher.endpoint is not None and not Path(reference).is_file():
        raise DataError(place, f"{reference} does not exist yet", "make it with `dkd label`")
    assert data.label_names is not None
    labelled = split.labelled if split.labels is not None else [False] * len(split)
    own = np.array(covered(reference, split, place), dtype=bool)
    asked = own if labelled is None else own | ~np.array(labelled, dtype=bool)
    if not own.any() and teacher.endpoint is None:
        asked = np.ones_like(own)
    found = np.zeros((len(split), len(data.label_names)), dtype=np.float32)
    if split.labels is not None:
        found = of_labels(split.labels, len(data.label_names))
    rows = np.flatnonzero(asked).tolist()
    if rows:
        part, order = split.take(rows, split.name), teacher.labels if teacher.endpoint is None else None
        found[rows] = read_probabilities(
            reference, part, data.label_names, order, place, sum_to_one=sum_to_one
        )
    return found, own
