"""A transfer set: texts without labels, cleared of what the labelled splits hold; bad ones get their line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from data_samples import load, rows, sentences, write_csv, write_parquet

from dkd_cli.data.examples import NO_LABEL
from dkd_cli.errors import DataError, Problems, RecipeError
from dkd_cli.recipe.schema import Data, decides_teachers, labelled_data

NEW = sentences(60, seed=9)


@pytest.fixture
def labelled(workdir: Path) -> str:
    return write_csv("a.csv", rows(200))


def texts_of(data: Any) -> list[str]:
    assert data.transfer is not None
    return list(data.transfer.texts)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("suffix", ["txt", "csv", "tsv", "json", "jsonl", "parquet"])
def test_every_format_gives_the_same_texts(labelled: str, suffix: str, packed: bool) -> None:
    path, found = Path(f"more.{suffix}"), [{"text": text} for text in NEW]
    if suffix == "txt":
        path.write_text("\n".join(NEW) + "\n\n")
    elif suffix in ("csv", "tsv"):
        path.write_text("text\n" + "\n".join(NEW) + "\n")
    elif suffix == "json":
        path.write_text(json.dumps(found))
    elif suffix == "jsonl":
        path.write_text("\n".join(map(json.dumps, found)))
    else:
        write_parquet(path, {"text": NEW})
    if packed:
        Path(f"{path}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    data = load(source=labelled, transfer=(f"{path}.gz" if packed else str(path),))
    assert texts_of(data) == NEW
    assert data.transfer is not None
    assert data.transfer.labels is None
    assert data.splits == load(source=labelled).splits, "the labelled splits are what they were"


def test_a_text_file_follows_the_column_of_the_recipe(workdir: Path) -> None:
    source = write_csv("a.csv", [{"body": row["text"], "label": row["label"]} for row in rows(100)])
    Path("more.txt").write_text("\n".join(NEW))
    assert texts_of(load(source=source, text="body", transfer=("more.txt",))) == NEW


def test_several_files_and_the_cap(labelled: str) -> None:
    Path("b.txt").write_text("\n".join(NEW[:30]))
    Path("c.txt").write_text("\n".join(NEW[20:]))
    data = load(source=labelled, transfer=("b.txt", "c.txt"))
    assert texts_of(data) == NEW
    assert data.notes == ("transfer: 60 of 70 texts are new; dropped: 10 repeated",)
    capped = load(source=labelled, transfer=("c.txt", "b.txt"), max_transfer=7)
    again = load(source=labelled, transfer=("b.txt", "c.txt"), max_transfer=7)
    assert set(texts_of(capped)) == set(texts_of(again)) <= set(NEW), "chosen by the text, not by its place"
    assert len(texts_of(capped)) == 7
    assert "transfer: 7 of 60 are taken, as data.max_transfer says" in capped.notes


def test_a_split_of_the_source(workdir: Path) -> None:
    Path("folder").mkdir()
    for name, found in (("train", rows(40)), ("dev", rows(20, seed=1)), ("test", rows(20, seed=2))):
        write_csv(f"folder/{name}.csv", found)
    data = load(source="folder", validation="train", train="validation", transfer=("test",), test="train")
    assert len(texts_of(data)) == 20
    with pytest.raises(DataError, match=r"data\.transfer: folder has no split 'extra'; name one of: train"):
        load(source="folder", transfer=("extra",))
    with pytest.raises(RecipeError, match=r"data\.transfer: 'extra' is no file"):
        load(source="folder/train.csv", transfer=("extra",))


def test_known_texts_are_dropped_and_counted(labelled: str) -> None:
    splits = load(source=labelled).splits
    trained, validation, test = (list(splits[name].texts) for name in ("train", "validation", "test"))
    near = " ".join(test[0].split()[:-1])
    mixture = [*NEW, trained[0].upper() + "!", validation[0], near, NEW[0] + " ..."]
    Path("more.txt").write_text("\n".join(mixture))
    data = load(source=labelled, transfer=("more.txt",))
    assert texts_of(data) == NEW
    assert data.notes == (
        "transfer: 60 of 64 texts are new; dropped: 1 repeated, 1 in the training split, "
        "2 equal or close to a validation or test text",
    )


def test_a_cap_on_evaluation_leaves_the_transfer_set_as_it_is(labelled: str) -> None:
    Path("more.txt").write_text("\n".join([*NEW, *(row["text"] for row in rows(200))]))
    whole = load(source=labelled, transfer=("more.txt",))
    capped = load(source=labelled, transfer=("more.txt",), max_validation=3, max_test=2)
    assert texts_of(whole) == texts_of(capped) == NEW
    fewer = load(source=labelled, transfer=("more.txt",), max_train=50)
    train = load(source=labelled).splits["train"]
    assert set(texts_of(fewer)) == {*NEW, *train.texts} - set(fewer.splits["train"].texts)


def test_pairs(workdir: Path) -> None:
    found = [
        {"text": a, "other": b, "label": i % 2} for i, (a, b) in enumerate(zip(NEW, NEW[::-1], strict=True))
    ]
    write_csv("a.csv", found)
    fresh = sentences(10, seed=3)
    write_csv(
        "more.csv", [{"text": a, "other": fresh[0]} for a in fresh] + [{"text": NEW[0], "other": NEW[-1]}]
    )
    data = load(source="a.csv", text_pair="other", transfer=("more.csv",))
    assert data.transfer is not None
    assert list(data.transfer.texts) == fresh
    assert data.transfer.text_pairs == [fresh[0]] * 10
    Path("more.txt").write_text("one\n")
    with pytest.raises(DataError, match=r"more\.txt: has one text a line, but the task has pairs"):
        load(source="a.csv", text_pair="other", transfer=("more.txt",))


def test_joined_rows_know_which_of_them_have_labels(labelled: str) -> None:
    Path("more.txt").write_text("\n".join(NEW))
    data = load(source=labelled, transfer=("more.txt",))
    train, taught = data.splits["train"], data.taught()
    assert list(taught.texts) == [*train.texts, *NEW]
    assert taught.labelled == [True] * len(train) + [False] * 60
    assert list(taught.labels or ()) == [*(train.labels or ()), *[NO_LABEL] * 60]
    assert len(set(taught.example_ids)) == len(taught)
    alone = load(source=labelled)
    assert alone.taught() is alone.splits["train"]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("body\nhello\n", "more.csv: there is no column 'text'; rename one of its columns: body"),
        ("text\n", "more.csv: the file has no rows"),
        ("", "more.csv: the file is empty"),
    ],
)
def test_wrong_files(labelled: str, content: str, line: str) -> None:
    Path("more.csv").write_text(content)
    with pytest.raises((DataError, Problems)) as error:
        load(source=labelled, transfer=("more.csv",))
    assert str(error.value).startswith(line)


def test_nothing_left(labelled: str) -> None:
    test = load(source=labelled).splits["test"]
    Path("more.txt").write_text("\n".join(test.texts))
    with pytest.raises(
        DataError, match=r"more\.txt: no transfer text is left of \d+ \(\d+ equal or close to"
    ):
        load(source=labelled, transfer=("more.txt",))


def test_labels_are_not_used_and_must_not_contradict(labelled: str) -> None:
    found = [*rows(200), *({"text": text, "label": "no"} for text in NEW)]
    data = load(source=labelled, transfer=(write_csv("more.csv", found),))
    assert texts_of(data) == NEW
    assert "transfer: the labels in more.csv are not used" in data.notes
    text = load(source=labelled).splits["train"].texts[0]
    wrong = "no" if next(row for row in found if row["text"] == text)["label"] == "yes" else "yes"
    write_csv("more.csv", [{"text": NEW[0], "label": "no"}, {"text": text, "label": wrong}])
    with pytest.raises(DataError, match=rf"more\.csv:3: the label '{wrong}' contradicts the training data"):
        load(source=labelled, transfer=("more.csv",))


def test_teachers_are_decided_without_it() -> None:
    assert not decides_teachers("data.transfer")
    assert not decides_teachers("data.max_transfer")
    assert decides_teachers("data.max_train")
    mixed = Data(source="a.csv", transfer=("more.txt",), max_transfer=3)
    assert labelled_data(mixed) == Data(source="a.csv")


def test_a_line_of_a_txt_file_ends_where_the_line_does(labelled: str) -> None:
    written = ["superb film\u2028charming story", "a lovely\x0cplot", "wonderful\x85cast", "bad \x1c film"]
    for end in ("\n", "\r\n", "\r"):
        Path("more.txt").write_bytes((end.join(written) + end).encode())
        found = load(source=labelled, transfer=("more.txt",)).transfer
        assert found is not None
        assert list(found.texts) == written
