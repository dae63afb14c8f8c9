"""Folders in the hub's layout: splits, class names, hidden labels, and the names that are wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pytest
from data_samples import load, rows, sentences, sizes, write_csv, write_hub, write_parquet

from dkd_cli.errors import DataError, Problems


@pytest.fixture
def folder(workdir: Path) -> str:
    """A data set in the hub's layout: two configurations, class names, hidden test labels."""
    declared = []
    for config, names in (("one", ("bad", "good")), ("two", None)):
        declared.append(f"- config_name: {config}\n  data_files:\n")
        for seed, split in enumerate(("train", "validation", "test")):
            labels = [-1] * 30 if split == "test" else [i % 2 for i in range(30)]
            columns = {"text": sentences(30, seed), "label": labels}
            write_parquet(workdir / "set" / config / f"{split}-00000-of-00001.parquet", columns, names)
            declared.append(f"  - {{split: {split}, path: {config}/{split}-*}}\n")
    (workdir / "set" / "README.md").write_text("---\nconfigs:\n" + "".join(declared) + "---\n")
    return "set"


def test_folder_in_the_hub_layout(folder: str) -> None:
    data = load(source=folder, config="one")
    assert sizes(data) == {"train": 30, "validation": 30, "test": 30}
    assert data.label_names == ("bad", "good")
    assert data.splits["test"].labels is None
    assert data.splits["train"].labels == [0, 1] * 15
    assert load(source=folder, config="two").label_names == ("0", "1")


def test_a_folder_is_read_as_it_is_now(workdir: Path) -> None:
    """Neither its older state nor another folder of its name, which the loader's own cache would give."""
    for parent, count in (("here", 30), ("here", 40), ("there", 50)):
        columns = {"text": sentences(count), "label": [i % 2 for i in range(count)]}
        splits = {"train": columns, "validation": columns}
        data = load(source=write_hub(workdir / parent / "set", "one", splits), config="one")
        assert sizes(data) == {"train": count, "validation": count}


def test_splits_by_name_and_by_file(folder: str) -> None:
    named = [row | {"label": ("bad", "good")[i % 2]} for i, row in enumerate(rows(12, seed=9))]
    data = load(source=folder, config="one", train=write_csv("t.csv", named), test="validation")
    assert sizes(data) == {"train": 12, "validation": 30, "test": 30}
    assert data.splits["train"].labels == [0, 1] * 6


def test_hidden_labels_cannot_be_evaluated(folder: str) -> None:
    with pytest.raises(Problems, match=r"^set test split row 1: the label is hidden"):
        load(source=folder, config="one", validation="test")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"config": "three"}, r"^set \(three\): cannot be loaded: .*'one', 'two'.*; set data\.config"),
        ({}, r"^set: cannot be loaded: .*'one', 'two'.*; set data\.config"),
        ({"config": "one", "train": "all"}, r"^data\.train: set has no split 'all'; name one of: train"),
    ],
)
def test_wrong_names_list_the_right_ones(folder: str, data: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        load(source=folder, **data)


def test_validation_is_cut_from_train_where_there_is_none(workdir: Path) -> None:
    labels = [i % 2 for i in range(200)]
    write_parquet(workdir / "set" / "data" / "train-0.parquet", {"text": sentences(200), "label": labels})
    write_parquet(workdir / "set" / "data" / "test-0.parquet", {"text": sentences(9, 1), "label": labels[:9]})
    data = load(source="set")
    assert sizes(data)["train"] + sizes(data)["validation"] == 200
    assert sizes(data)["test"] == 9


def test_folder_of_text_files_is_read_strictly(workdir: Path) -> None:
    Path("set").mkdir()
    write_csv("set/train.csv", [*rows(20), {"text": "NA", "label": "no"}])
    write_csv("set/dev.csv", rows(10, 1))
    data = load(source="set")
    assert sizes(data) == {"train": 21, "validation": 10}
    assert "NA" in data.splits["train"].texts


def test_csv_files_under_other_names_are_refused(workdir: Path) -> None:
    Path("set/data").mkdir(parents=True)
    write_csv("set/data/train.csv", rows(20))
    with pytest.raises(DataError, match=r"^set: its csv files would be read leniently; name each file"):
        load(source="set")


def test_a_hub_id_goes_to_the_hubs_own_loader(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Any, ...]] = []

    def load_dataset(*words: Any, cache_dir: str | None) -> datasets.DatasetDict:
        asked.append((*words, cache_dir))
        features = datasets.Features(
            {
                "sentence1": datasets.Value("string"),
                "sentence2": datasets.Value("string"),
                "label": datasets.ClassLabel(names=["entailment", "not_entailment"]),
            }
        )
        columns = {"sentence1": sentences(8), "sentence2": sentences(8, 1), "label": [0, 1] * 4}
        return datasets.DatasetDict(
            {name: datasets.Dataset.from_dict(columns, features) for name in ("train", "validation")}
        )

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    data = load(source="nyu-mll/glue", config="rte")
    assert asked == [("nyu-mll/glue", "rte", None)], "nothing that could run a data set's code"
    assert sizes(data) == {"train": 8, "validation": 8}
    assert data.label_names == ("entailment", "not_entailment")


def test_matched_and_mismatched(workdir: Path) -> None:
    names = ("train", "validation_matched", "validation_mismatched", "test_matched", "test_mismatched")
    splits = {
        split: {
            "premise": sentences(12, seed),
            "hypothesis": sentences(12, seed + 50),
            "label": [-1] * 12 if split.startswith("test") else [0, 1, 2] * 4,
        }
        for seed, split in enumerate(names)
    }
    data = load(source=write_hub(workdir / "glue", "mnli", splits), config="mnli", max_validation=5)
    assert sizes(data) == {
        "train": 12,
        "validation": 5,
        "validation_mismatched": 5,
        "test": 12,
        "test_mismatched": 12,
    }


def saved(count: int, seed: int = 0) -> datasets.Dataset:
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"])}
    )
    columns = {"text": sentences(count, seed), "label": [i % 2 for i in range(count)]}
    return datasets.Dataset.from_dict(columns, features=features)


def test_a_saved_data_set_with_splits(workdir: Path) -> None:
    datasets.DatasetDict(train=saved(40), validation=saved(20, 1)).save_to_disk("set")
    data = load(source="set")
    assert sizes(data) == {"train": 40, "validation": 20}
    assert data.label_names == ("bad", "good")
    with pytest.raises(DataError, match=r"^data\.test: set has no split 'x'; name one of: train, validation"):
        load(source="set", test="x")


def test_a_saved_split_is_cut_like_a_file(workdir: Path) -> None:
    saved(200).save_to_disk("one")
    data = load(source="one")
    assert list(data.splits) == ["train", "validation", "test"]
    assert sum(sizes(data).values()) == 200
    assert data.label_names == ("bad", "good")
    assert sizes(load(train="one", validation="one")) == {"train": 200, "validation": 200}


def test_a_broken_saved_split(workdir: Path) -> None:
    saved(20).save_to_disk("one")
    for shard in Path("one").glob("*.arrow"):
        shard.write_bytes(b"nonsense")
    with pytest.raises(DataError, match=r"^one: cannot be loaded \(.+\); save the data set again"):
        load(source="one")
