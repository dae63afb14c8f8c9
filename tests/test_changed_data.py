"""Texts or labels that changed after a run was made: another experiment, whatever the file is called."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from command_line import heard
from conftest import TinyRecipe
from small import task_data

CHANGED = "was made from other data than there are now: its texts or labels have changed"
REMEDY = "make it again with --fresh, or bring the old data back"


def swapped(file: Path) -> None:
    """The other label in every row."""
    with file.open(encoding="utf-8", newline="") as handle:
        head, *rows = csv.reader(handle)
    other = {"positive": "negative", "negative": "positive"}
    with file.open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows([head, *([text, other[label]] for text, label in rows)])


def test_what_was_made_from_other_data_is_refused(
    tiny_recipe: TinyRecipe, tiny_csv: Path, tmp_path: Path
) -> None:
    file, top = tmp_path / "texts.csv", tmp_path / "checkpoints" / "tiny"
    shutil.copyfile(tiny_csv, file)
    recipe = tiny_recipe(
        {"data": {"source": str(file)}, "train": {"max_steps": 1}, "teachers": {"small": None}}
    )
    recipe.write_text(recipe.read_text(encoding="utf-8").replace("  small: null\n", ""), encoding="utf-8")
    assert heard("train-teacher", recipe).code == 0
    assert heard("distill", recipe, "--strategy", "static").code == 0
    again = heard("train-teacher", recipe)
    assert again.code == 0
    assert "is complete" in again.out

    swapped(file)
    said = heard("train-teacher", recipe)
    assert (said.code, said.err) == (5, f"dkd: error: {top / 'teacher-large'}: {CHANGED}; {REMEDY}\n")
    said = heard("distill", recipe, "--strategy", "static")
    assert (said.code, said.err) == (5, f"dkd: error: {top / 'student-static-seed1'}: {CHANGED}; {REMEDY}\n")
    said = heard("compare", recipe, "--seeds", "1", "--strategy", "static")
    assert (said.code, CHANGED in said.err) == (5, True)
    said = heard("evaluate", top, "--no-timing")
    assert "student-static-seed1 was made from other texts or labels than its data have now" in said.err

    assert heard("train-teacher", recipe, "--fresh").code == 0
    assert heard("train-teacher", recipe).code == 0
    swapped(file)
    assert CHANGED in heard("train-teacher", recipe).err


def test_the_digest_is_of_all_that_a_run_is_made_from() -> None:
    data = task_data()
    train, validation = data.splits["train"], data.splits["validation"]
    labels = list(train.labels or ())
    others = [
        replace(data, label_names=("positive", "negative")),
        replace(data, splits={**data.splits, "train": replace(train, labels=[1 - labels[0], *labels[1:]])}),
        replace(data, splits={**data.splits, "train": replace(train, texts=[*train.texts[:-1], "another"])}),
        replace(data, splits={**data.splits, "train": replace(train, text_pairs=train.texts)}),
        replace(data, splits={**data.splits, "validation": replace(validation, labels=None)}),
        replace(data, splits={**data.splits, "train": train.take(range(1, len(train)), "train")}),
    ]
    assert len({data.digest(), *(other.digest() for other in others)}) == 1 + len(others)
    assert data.digest() == task_data().digest()
    tested = replace(data, splits={**data.splits, "test": validation})
    assert tested.digest() == data.digest(), "nothing is made from a test split"


@pytest.mark.parametrize("texts", [["ab", "c"], ["a", "bc"], ["abc", ""], ["1:a", "b"]])
def test_no_two_columns_run_into_the_same_bytes(texts: list[str]) -> None:
    data = task_data()
    train = data.splits["train"].take([0, 1], "train")
    both = [
        replace(data, splits={"train": replace(train, texts=column)}).digest()
        for column in (texts, ["a", "b", "c"][:2])
    ]
    assert both[0] != both[1]
