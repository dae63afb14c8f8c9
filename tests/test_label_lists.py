"""Several labels per text, as data files write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from data_samples import load, sentences, write_csv, write_parquet

from dkd_cli.data.examples import TaskData
from dkd_cli.errors import DataError, Problems, RecipeError

WANTED = [["joy"], ["joy", "love"], [], ["grief"]] * 6


def write(name: str, cells: list[Any]) -> str:
    rows = [{"text": text, "labels": cell} for text, cell in zip(sentences(len(cells)), cells, strict=True)]
    if name.endswith(".csv"):
        return write_csv(name, rows)
    if name.endswith(".parquet"):
        write_parquet(Path(name), {key: [row[key] for row in rows] for key in rows[0]})
    else:
        Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return name


def read(name: str, **data: Any) -> TaskData:
    return load(source=name, **({"kind": "multi-label", "label": "labels", "test_share": 0.2} | data))


def sets(data: TaskData) -> dict[str, list[str]]:
    """The labels of each text, by name."""
    names = data.label_names or ()
    return {
        text: [name for name, one in zip(names, label, strict=True) if one]
        for part in data.splits.values()
        for text, label in zip(part.texts, part.labels or (), strict=True)
    }


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("lists.jsonl", WANTED),
        ("lists.parquet", WANTED),
        ("joined.csv", ["|".join(labels) for labels in WANTED]),
        ("spaced.csv", [" | ".join(labels) for labels in WANTED]),
        ("json.csv", [json.dumps(labels) for labels in WANTED]),
    ],
)
def test_every_way_to_write_several_labels(workdir: Path, name: str, cells: list[Any]) -> None:
    data = read(write(name, cells))
    assert data.label_names == ("grief", "joy", "love")
    expected = dict(zip(sentences(len(WANTED)), [sorted(labels) for labels in WANTED], strict=True))
    assert sets(data) == expected


def test_another_separator_and_ids_of_declared_names(workdir: Path) -> None:
    name = write(
        "ids.csv",
        [";".join({"joy": "1", "love": "2", "grief": "0"}[one] for one in labels) for labels in WANTED],
    )
    data = read(name, label_separator=";", labels=("grief", "joy", "love"))
    assert sets(data) == dict(zip(sentences(24), [sorted(labels) for labels in WANTED], strict=True))


@pytest.mark.parametrize(("yes", "no"), [("1", "0"), ("true", "False"), ("1.0", "0.0")])
def test_a_column_for_each_label(workdir: Path, yes: str, no: str) -> None:
    columns = ("joy", "grief", "love")
    rows = [
        {"text": text, **{name: yes if name in labels else no for name in columns}}
        for text, labels in zip(sentences(24), WANTED, strict=True)
    ]
    data = read(write_csv("columns.csv", rows), label=", ".join(columns))
    assert data.label_names == columns
    assert {text: sorted(found) for text, found in sets(data).items()} == {
        text: sorted(labels) for text, labels in zip(sentences(24), WANTED, strict=True)
    }


def test_rare_labels_reach_every_split_and_their_counts_are_noted(workdir: Path) -> None:
    cells = [["common", *(["rare"] if row % 20 == 0 else [])] for row in range(200)]
    data = read(write("rare.jsonl", cells), validation_share=0.2, test_share=0.2)
    rare = (data.label_names or ()).index("rare")
    found = {name: sum(label[rare] for label in part.labels or ()) for name, part in data.splits.items()}
    assert found == {"train": 6, "validation": 2, "test": 2}
    assert any("2 labels, 1.05 per text; rarest: rare 6" in note for note in data.notes)


def test_the_cut_does_not_follow_the_order_of_the_rows(workdir: Path) -> None:
    rows = list(zip(sentences(24), WANTED, strict=True))

    def written(name: str, rows: list[Any]) -> str:
        lines = [json.dumps({"text": text, "labels": labels}) for text, labels in rows]
        Path(name).write_text("\n".join(lines), encoding="utf-8")
        return name

    one, other = read(written("a.jsonl", rows)), read(written("b.jsonl", rows[::-1]))
    for name in ("train", "validation", "test"):
        assert set(one.splits[name].texts) == set(other.splits[name].texts)


@pytest.mark.parametrize(
    ("cells", "data", "message"),
    [
        (
            [*WANTED[:-1], ["joi"]],
            {"labels": ("grief", "joy", "love")},
            "'joi' is not one of the labels; did you mean 'joy'",
        ),
        ([*WANTED[:-1], 0.5], {}, "0.5 is no list of labels; write a list of labels"),
        ([*WANTED[:-1], ["joy", 0.5]], {}, "0.5 in a list is no label"),
        ([*WANTED[:-1], None], {}, "the label is missing; add it, remove the row"),
        ([["joy"]] * 24, {}, "has one label, 'joy'"),
        (WANTED, {"label": "tags"}, "there is no column 'tags'"),
        (WANTED, {"kind": "classification"}, "is no label; set data.kind: multi-label"),
        ([["joy", "love"]] * 23 + [["grief"]], {"max_train": 2}, "2 examples cannot hold 3 classes"),
    ],
)
def test_bad_input_is_one_line(workdir: Path, cells: list[Any], data: dict[str, Any], message: str) -> None:
    with pytest.raises((DataError, RecipeError, Problems), match=message):
        read(write("bad.jsonl", cells), **data)


def test_cells_of_a_column_that_say_neither_yes_nor_no(workdir: Path) -> None:
    rows = [{"text": text, "joy": "1", "love": "maybe"} for text in sentences(24)]
    with pytest.raises((DataError, Problems), match="'love' is 'maybe', which says neither yes nor no"):
        read(write_csv("columns.csv", rows), label="joy, love")


def test_several_columns_need_the_kind(workdir: Path) -> None:
    rows = [{"text": text, "joy": "1", "love": "0"} for text in sentences(24)]
    with pytest.raises((DataError, Problems), match=r"names 2 columns; set data\.kind: multi-label"):
        read(write_csv("columns.csv", rows), label="joy, love", kind="classification")


def test_joined_labels_in_a_classification_recipe_are_noted(workdir: Path) -> None:
    name = write("joined.csv", ["joy", "love", "joy|love"] * 10)
    data = read(name, kind="classification")
    assert any("'joy|love' looks like several labels: data.kind: multi-label" in note for note in data.notes)
    assert not any(
        "looks like" in note
        for note in read(write("plain.csv", ["joy", "love"] * 12), kind="classification").notes
    )


def test_a_test_split_may_hide_all_labels(workdir: Path) -> None:
    rows = [{"text": text, "labels": ""} for text in sentences(5, seed=9)]
    data = read(write("lists.jsonl", WANTED), test=write_csv("test.csv", rows))
    assert data.splits["test"].labels is None
