"""Training texts without labels: what is left aside, what is still used, and who names the classes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from data_samples import load, rows, sentences, sizes, write_csv, write_hub

from dkd_cli.data.examples import TaskData
from dkd_cli.errors import DataError, Problems, RecipeError

NAMES = ("no", "yes")
ASIDE = "train: the column 'label' is left aside, as data.unlabelled says"


def texts(count: int, seed: int = 0) -> list[dict[str, str]]:
    return [{"text": text} for text in sentences(count, seed)]


def unlabelled(**data: Any) -> TaskData:
    return load(**({"labels": NAMES, "unlabelled": True} | data))


def test_one_file_without_labels(workdir: Path) -> None:
    data = unlabelled(source=write_csv("a.csv", texts(200)))
    assert list(data.splits) == ["train", "validation", "test"]
    assert sum(sizes(data).values()) == 200
    assert [split.labels for split in data.splits.values()] == [None, None, None]
    assert (data.label_names, data.notes) == (NAMES, ())


def test_what_is_cut_out_of_a_labelled_file_keeps_its_labels(workdir: Path) -> None:
    labelled = load(source=write_csv("a.csv", rows(200)), labels=NAMES)
    data = unlabelled(source="a.csv")
    assert data.splits["train"].labels is None
    assert data.splits["train"].example_ids == labelled.splits["train"].example_ids
    assert data.splits["validation"] == labelled.splits["validation"]
    assert data.splits["test"] == labelled.splits["test"]
    assert data.notes == (ASIDE,)


@pytest.mark.parametrize("labels", [[None] * 3, [-1, -1, -1], ["", "", ""]])
def test_evaluation_labels_are_used_where_all_are_there(workdir: Path, labels: list[object]) -> None:
    found = [{"text": text, "label": label} for text, label in zip(sentences(3, 5), labels, strict=True)]
    Path("v.jsonl").write_text("\n".join(map(json.dumps, found)))
    data = unlabelled(
        train=write_csv("t.csv", texts(20)), validation="v.jsonl", test=write_csv("e.csv", rows(4, 6))
    )
    assert data.splits["validation"].labels is None
    assert data.splits["test"].labels == [0, 1, 0, 1]


def test_evaluation_labels_that_are_partly_missing_are_an_error(workdir: Path) -> None:
    found = [*rows(3, 1), {"text": "new", "label": ""}]
    with pytest.raises(DataError, match=r"^v\.csv:5: the label is missing"):
        unlabelled(train=write_csv("t.csv", texts(9)), validation=write_csv("v.csv", found))


@pytest.mark.parametrize("label", ["", "unsure", "no"])
def test_training_labels_are_not_even_looked_at(workdir: Path, label: str) -> None:
    train = [*rows(20), {"text": "the last one", "label": label}]
    data = unlabelled(train=write_csv("t.csv", train), validation=write_csv("v.csv", rows(6, 1)))
    assert data.splits["train"].labels is None
    assert data.splits["validation"].labels == [0, 1] * 3
    assert data.notes == (ASIDE,)


def test_duplicates_are_dropped_by_text_alone(workdir: Path) -> None:
    found = rows(20)
    twice = [*found, found[0], {"text": found[1]["text"], "label": "no"}]
    validation = write_csv("v.csv", rows(6, 1))
    data = unlabelled(train=write_csv("t.csv", twice), validation=validation)
    assert data.splits["train"].texts == [row["text"] for row in found]
    assert data.notes == (ASIDE, "train: 2 duplicate examples dropped, 20 left")
    bare = unlabelled(train=write_csv("b.csv", texts(20)), validation=validation)
    assert data.splits["train"] == bare.splits["train"]


def test_a_cut_file_keeps_a_text_with_several_labels_once(workdir: Path) -> None:
    found = rows(100)
    twice = [*found, *({"text": row["text"], "label": "yes"} for row in found if row["label"] == "no")]
    data = unlabelled(source=write_csv("a.csv", twice), test_share=0)
    bare = unlabelled(source=write_csv("b.csv", texts(100)), test_share=0)
    assert data.splits["train"] == bare.splits["train"]
    assert len(data.splits["validation"]) > len(bare.splits["validation"])
    assert "with several labels kept once" in data.notes[-1]


@pytest.mark.parametrize("train", [None, "extra.csv"])
def test_the_data_sets_own_names_will_do(workdir: Path, train: str | None) -> None:
    write_csv("extra.csv", texts(12, 7))
    splits = {
        name: {"text": sentences(12, seed), "label": [i % 2 for i in range(12)]}
        for seed, name in enumerate(("train", "validation"))
    }
    data = unlabelled(source=write_hub(workdir / "set", "one", splits, NAMES), labels=None, train=train)
    assert data.label_names == NAMES
    assert data.splits["train"].labels is None
    assert data.splits["validation"].labels == [0, 1] * 6


def test_classes_must_be_named(workdir: Path) -> None:
    with pytest.raises(RecipeError, match=r"^data\.labels: names no classes, nor does the data set"):
        unlabelled(source=write_csv("a.csv", rows(60)), labels=None)


def test_regression_needs_no_names(workdir: Path) -> None:
    scores = [row | {"label": i / 4} for i, row in enumerate(rows(8, 1))]
    data = unlabelled(
        train=write_csv("t.csv", texts(9)),
        validation=write_csv("v.csv", scores),
        labels=None,
        kind="regression",
    )
    assert data.label_names is None
    assert [split.labels for split in data.splits.values()] == [None, [i / 4 for i in range(8)]]


def test_a_column_that_the_recipe_names_must_be_somewhere(workdir: Path) -> None:
    write_csv("a.csv", rows(60))
    with pytest.raises(DataError, match=r"^data\.label: no table has the column 'verdct'"):
        unlabelled(source="a.csv", label="verdct")


def test_labels_stay_wanted_unless_the_recipe_says_otherwise(workdir: Path) -> None:
    line = "a.csv: there is no column 'label'; name one of: text in data.label, or set data.unlabelled: true"
    with pytest.raises((DataError, Problems), match="^" + re.escape(line)):
        load(source=write_csv("a.csv", texts(60)))
