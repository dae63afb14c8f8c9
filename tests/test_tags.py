"""Lists of words and tags as data: what is read, and what is refused with its file and row."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tagged import tiny_sentences, write_conll

from dkd_cli.data.sources import load_task_data
from dkd_cli.data.tags import entities, stray_tag
from dkd_cli.errors import DataError, DkdError, Problems, RecipeError
from dkd_cli.recipe.schema import Data

Rows = Sequence[tuple[Any, Any]]
GOOD: Rows = [(["Ada", "met", "Grace", str(i)], ["B-PER", "O", "B-PER", "O"]) for i in range(10)]


def write_jsonl(path: Path, rows: Rows) -> Data:
    lines = [json.dumps({"tokens": words, "ner_tags": tags}) for words, tags in rows]
    path.write_text("\n".join(lines), encoding="utf-8")
    return Data(train=str(path), validation=str(path), kind="tokens")


def refused(tmp_path: Path, row: tuple[Any, Any], kind: type[DkdError] = DataError) -> str:
    with pytest.raises(kind) as caught:
        load_task_data(replace(write_jsonl(tmp_path / "a.jsonl", [*GOOD, row]), validation=None))
    return str(caught.value).replace(f"{tmp_path}/", "")


def test_words_become_a_text_and_tags_ids(tmp_path: Path) -> None:
    rows = [*GOOD, (["New York", "is", "big"], ["B-LOC", "O", "O"])]
    data = load_task_data(write_jsonl(tmp_path / "a.jsonl", rows))
    assert data.label_names == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
    train = data.splits["train"]
    assert train.by_word
    assert train.texts[0] == "Ada met Grace 0"
    assert train.labels is not None
    assert train.labels[0] == (3, 0, 3, 0)
    # A space inside a word separates no words.
    assert train.texts[-1] == "New\u00a0York is big"
    assert data.task.tags == data.label_names
    assert "43 words in train; entities: PER 20, LOC 1" in data.notes


def test_a_conll_file_and_the_same_as_json_are_the_same_data(tmp_path: Path) -> None:
    sentences = tiny_sentences()[:30]
    conll = write_conll(tmp_path / "a.conll", sentences)
    one = load_task_data(Data(train=str(conll), validation=str(conll), kind="tokens"))
    other = load_task_data(write_jsonl(tmp_path / "a.jsonl", sentences))
    assert one.digest() == other.digest()
    assert one.splits["train"].example_ids == other.splits["train"].example_ids


def test_a_folder_has_a_file_for_each_split(tmp_path: Path) -> None:
    for name, rows in (("train", slice(60)), ("dev", slice(60, 80)), ("test", slice(80, 120))):
        write_conll(tmp_path / f"{name}.conll", tiny_sentences()[rows])
    data = load_task_data(Data(source=str(tmp_path), kind="tokens"))
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 60,
        "validation": 20,
        "test": 40,
    }


def test_splits_that_are_cut_keep_every_tag_in_training(tmp_path: Path) -> None:
    conll = write_conll(tmp_path / "a.conll", tiny_sentences())
    data = load_task_data(Data(source=str(conll), kind="tokens"))
    train = data.splits["train"].labels
    assert train is not None
    assert {tag for tags in train for tag in tags} == set(range(5))
    assert sum(map(len, data.splits.values())) == 120


def test_a_saved_data_set_names_its_tags(tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Sequence, Value

    names = ["O", "B-PER", "I-PER"]
    features = Features({"tokens": Sequence(Value("string")), "ner_tags": Sequence(ClassLabel(names=names))})
    rows = {"tokens": [w for w, _ in GOOD], "ner_tags": [[1, 0, 1, 0]] * len(GOOD)}
    split = Dataset.from_dict(rows, features=features)
    DatasetDict(train=split, validation=split).save_to_disk(str(tmp_path / "saved"))
    data = load_task_data(Data(source=str(tmp_path / "saved"), kind="tokens"))
    assert data.label_names == tuple(names)
    assert data.splits["validation"].labels == [(1, 0, 1, 0)] * len(GOOD)


def test_ids_are_named_by_the_recipe(tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "a.jsonl", [(words, [1, 0, 2, 0]) for words, _ in GOOD])
    with pytest.raises(DataError, match=r"a\.jsonl:1: '1' is no IOB2 tag; name the tags .* in data\.labels"):
        load_task_data(data)
    named = load_task_data(
        Data(train=data.train, validation=data.validation, kind="tokens", labels=("O", "B-PER", "B-ORG"))
    )
    assert named.splits["train"].labels is not None
    assert named.splits["train"].labels[0] == (1, 0, 2, 0)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ((["Ada", "met"], ["I-PER", "O"]), "a.jsonl:11: word 1 is I-PER, and no word is before it"),
        ((["I", "saw", "Ada"], ["O", "O", "I-PER"]), "a.jsonl:11: word 3 is I-PER after O"),
        ((["Ada", "met"], ["B-PER"]), "a.jsonl:11: 2 words and 1 tags; give each word one tag"),
        ((["Ada", ""], ["B-PER", "O"]), "a.jsonl:11: word 2 is ''"),
        (("Ada met", ["B-PER", "O"]), "a.jsonl:11: 'Ada met' is no list of words"),
        ((["Ada", "met"], "B-PER O"), "a.jsonl:11: 'B-PER O' is no list of tags"),
        ((["Ada", "met"], ["B-PER", None]), "a.jsonl:11: None in a list is no tag"),
        ((["Ada", "met"], ["B-PER", True]), "a.jsonl:11: True in a list is no tag"),
        ((["Ada", "met"], ["S-PER", "O"]), "a.jsonl:11: 'S-PER' is no IOB2 tag"),
        ((["Ada", "met"], None), "a.jsonl:11: the label is missing"),
        ((None, ["B-PER"]), "a.jsonl:11: the words are missing"),
    ],
)
def test_what_is_wrong_is_one_line_with_file_and_row(
    tmp_path: Path, row: tuple[Any, Any], problem: str
) -> None:
    said = refused(tmp_path, row)
    assert problem in said
    assert "\n" not in said


def test_a_missing_column_of_tags_is_not_excused_by_what_words_refuse(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"tokens": ["Ada"], "tags": ["B-PER"]}\n' * 2, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        load_task_data(Data(source=str(tmp_path / "a.jsonl"), kind="tokens"))
    assert str(caught.value).endswith("no column 'ner_tags'; name one of: tokens, tags in data.label")


def test_tagged_words_without_a_kind_are_recognised(tmp_path: Path) -> None:
    conll = write_conll(tmp_path / "a.conll", tiny_sentences()[:30])
    with pytest.raises(Problems) as caught:
        load_task_data(Data(source=str(conll)))
    assert all("set data.kind: tokens" in str(one) for one in caught.value.errors)


def test_tags_that_mark_nothing_are_refused(tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "a.jsonl", [(words, ["O"] * 4) for words, _ in GOOD])
    with pytest.raises(DataError, match="no word is part of an entity"):
        load_task_data(data)


def test_names_that_are_no_tags_are_refused(tmp_path: Path) -> None:
    data = write_jsonl(tmp_path / "a.jsonl", GOOD)
    for names, problem in ((("B-PER", "I-PER"), "names no O"), (("O", "PER"), "'PER' is no IOB2 tag")):
        with pytest.raises(RecipeError, match=problem):
            load_task_data(Data(train=data.train, validation=data.validation, kind="tokens", labels=names))


def test_a_file_of_words_needs_its_kind(tmp_path: Path) -> None:
    conll = write_conll(tmp_path / "a.conll", tiny_sentences())
    with pytest.raises(Problems, match=r"data\.kind: tokens"):
        load_task_data(Data(source=str(conll), text="tokens", label="ner_tags"))


@pytest.mark.parametrize("tags", [["B-A", "I-A", "I-A", "O", "B-B"], ["O"], [], ["B-A", "B-A", "I-A"]])
def test_well_formed_tags_are_rebuilt_from_their_entities(tags: list[str]) -> None:
    assert stray_tag(tags) is None
    rebuilt = ["O"] * len(tags)
    for first, last, kind in entities(tags):
        rebuilt[first:last] = [f"B-{kind}", *[f"I-{kind}"] * (last - first - 1)]
    assert rebuilt == tags
