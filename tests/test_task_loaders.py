"""Each known task from data in the hub's layout: its columns, its classes, its splits, what is scored."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_samples import load, sentences, write_hub

from dkd_cli.data.examples import TaskData
from dkd_cli.data.sources import load_task_data
from dkd_cli.data.tasks import TASKS
from dkd_cli.errors import DataError
from dkd_cli.evaluation.contests import scored_splits
from dkd_cli.evaluation.metrics import task_metrics
from dkd_cli.recipe.bundled import bundled_names
from dkd_cli.recipe.loader import load_recipe

ROWS = 24


@dataclass(frozen=True)
class Published:
    """A data set as the hub has it."""

    texts: tuple[str, ...]
    names: tuple[str, ...] | None
    """The class names that it gives to its ids."""
    metrics: tuple[str, ...]
    label: str = "label"
    hidden: tuple[str, ...] = ("test",)
    """The splits whose labels are −1."""
    shown: tuple[str, ...] = ("train", "validation")
    scored: tuple[str, ...] = ("validation",)
    config: str | None = None
    """Its only configuration; None: that of GLUE with the task's name."""


ENTAILS = ("entailment", "not_entailment")
HUB = {
    "cola": Published(("sentence",), ("unacceptable", "acceptable"), ("matthews", "accuracy")),
    "mnli": Published(
        ("premise", "hypothesis"),
        ("entailment", "neutral", "contradiction"),
        ("accuracy",),
        hidden=("test_matched", "test_mismatched"),
        shown=("train", "validation_matched", "validation_mismatched"),
        scored=("validation", "validation_mismatched"),
    ),
    "mrpc": Published(
        ("sentence1", "sentence2"),
        ("not_equivalent", "equivalent"),
        ("f1", "accuracy"),
        hidden=(),
        shown=("train", "validation", "test"),
        scored=("test",),
    ),
    "qnli": Published(("question", "sentence"), ENTAILS, ("accuracy",)),
    "qqp": Published(("question1", "question2"), ("not_duplicate", "duplicate"), ("f1", "accuracy")),
    "rte": Published(("sentence1", "sentence2"), ENTAILS, ("accuracy",)),
    "sst2": Published(("sentence",), ("negative", "positive"), ("accuracy",)),
    "stsb": Published(("sentence1", "sentence2"), None, ("pearson", "spearman")),
    "wnli": Published(("sentence1", "sentence2"), ("not_entailment", "entailment"), ("accuracy",)),
    "imdb": Published(
        ("text",),
        ("neg", "pos"),
        ("accuracy",),
        hidden=("unsupervised",),
        shown=("train", "test"),
        scored=("test",),
        config="plain_text",
    ),
    "boolq": Published(
        ("question", "passage"),
        None,
        ("accuracy", "macro_f1"),
        label="answer",
        hidden=(),
        config="default",
    ),
}
CLASSES = {task: one.names for task, one in HUB.items()} | {"boolq": ("false", "true")}
OWN = {"validation": "validation_matched", "test": "test_matched"}
"""What MNLI calls the splits that the others call so."""


def columns(task: str, split: str) -> dict[str, list[Any]]:
    """The rows of a split, with the label's own type."""
    one, seed = HUB[task], sum(map(ord, split))
    texts = {name: sentences(ROWS, seed + 7 * i) for i, name in enumerate(one.texts)}
    if task == "boolq":
        labels: list[Any] = [i % 2 == 1 for i in range(ROWS)]
    elif task == "stsb":
        labels = [-1.0 if split in one.hidden else i / 5 for i in range(ROWS)]
    else:
        labels = [-1 if split in one.hidden else i % len(one.names or ()) for i in range(ROWS)]
    return texts | {one.label: labels, "idx": list(range(ROWS))}


def bundled(task: str) -> str:
    """The name of the task's recipe."""
    return next(name for name in (task, f"glue-{task}") if name in bundled_names())


def load_task(folder: Path, task: str, **changes: Any) -> TaskData:
    """Write the task as the hub has it, and load it as its bundled recipe says."""
    one = HUB[task]
    splits = {split: columns(task, split) for split in one.shown + one.hidden}
    source = write_hub(folder, one.config or task, splits, one.names)
    return load_task_data(replace(load_recipe(bundled(task)).data, source=source, **changes))


def test_every_task_has_its_case() -> None:
    assert {*HUB, "sst5"} == set(TASKS)
    assert {data.task or data.config for data in (load_recipe(bundled(task)).data for task in TASKS)} == set(
        TASKS
    )


@pytest.mark.parametrize("task", HUB)
def test_columns_classes_and_metrics(task: str, workdir: Path) -> None:
    one, data = HUB[task], load_task(workdir / "set", task)
    assert (data.task.name, data.task.metrics, data.label_names) == (task, one.metrics, CLASSES[task])
    labels = np.array(data.splits["train"].labels)
    right = labels[:, None] if data.label_names is None else np.eye(len(data.label_names))[labels]
    scores = task_metrics(data.task, right, labels)
    assert [scores[name] for name in one.metrics] == pytest.approx([1.0] * len(one.metrics))
    for name, split in data.splits.items():
        if task == "imdb" and name != "test":
            continue
        own = name if name in one.shown + one.hidden else OWN[name]
        written = columns(task, own)
        assert split.texts == written[one.texts[0]], name
        assert split.text_pairs == (written[one.texts[1]] if len(one.texts) > 1 else None), name
        assert split.labels == (None if own in one.hidden else written[one.label]), name


@pytest.mark.parametrize("task", HUB)
def test_hidden_labels_are_predicted_and_never_scored(task: str, workdir: Path) -> None:
    data = load_task(workdir / "set", task)
    assert tuple(split.name for split in scored_splits(data, None)) == HUB[task].scored
    hidden = [name for name, split in data.splits.items() if split.labels is None]
    for name in hidden:
        with pytest.raises(DataError, match="its labels are hidden"):
            scored_splits(data, name)
    assert len(hidden) == sum(name.startswith("test") for name in HUB[task].hidden)


def test_imdb_is_tuned_on_a_part_of_its_training_split(workdir: Path) -> None:
    data = load_task(workdir / "set", "imdb", validation_share=0.3)
    assert list(data.splits) == ["train", "validation", "test"]
    whole = columns("imdb", "train")["text"]
    train, validation = set(data.splits["train"].texts), set(data.splits["validation"].texts)
    assert (train | validation, train & validation) == (set(whole), set())
    assert data.splits["test"].texts == columns("imdb", "test")["text"]


def test_imdb_has_texts_without_labels(workdir: Path) -> None:
    data = load_task(workdir / "set", "imdb", train="unsupervised", validation="train", unlabelled=True)
    assert data.splits["train"].texts == columns("imdb", "unsupervised")["text"]
    assert [split.labels is None for split in data.splits.values()] == [True, False, False]
    assert data.label_names == ("neg", "pos")


def test_a_boolean_answer_takes_the_recipes_names(workdir: Path) -> None:
    data = load_task(workdir / "set", "boolq", labels=("no", "yes"))
    assert data.label_names == ("no", "yes")
    assert data.splits["train"].labels == [0, 1] * (ROWS // 2)


def test_goemotions_as_the_hub_has_it(workdir: Path) -> None:
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Sequence, Value

    recipe = load_recipe("goemotions").data
    names = [*sorted(set(recipe.labels or ()) - {"neutral"}), "neutral"]  # the hub's ids: neutral is the last
    features = Features({"text": Value("string"), "labels": Sequence(ClassLabel(names=names))})
    sets = {
        split: Dataset.from_dict(
            {
                "text": list(sentences(56, seed)),
                "labels": [[row % 28, (row * 5 + 1) % 28] if row % 3 else [row % 28] for row in range(56)],
            },
            features=features,
        )
        for seed, split in enumerate(("train", "validation", "test"))
    }
    DatasetDict(sets).save_to_disk(str(workdir / "set"))
    data = load_task_data(replace(recipe, source=str(workdir / "set"), config=None))
    assert data.label_names == tuple(sorted(names))
    test = data.splits["test"]
    for row, label in enumerate(test.labels or ()):
        found = {name for name, one in zip(data.label_names, label, strict=True) if one}
        assert found == {names[i] for i in sets["test"][row]["labels"]}


def test_goemotions_from_a_folder(shared: Path) -> None:
    changes = [f"data.source={shared / 'goemotions'}", "data.config=null"]
    data = load_task_data(load_recipe("goemotions", changes).data)
    assert {name: len(split) for name, split in data.splits.items()} == {
        "train": 6000,
        "validation": 1000,
        "test": 5427,
    }
    assert len(data.label_names or ()) == 28


def test_sst5_from_files_of_ones_own(workdir: Path) -> None:
    (workdir / "sst5").mkdir()
    for seed, split in enumerate(("train", "validation", "test")):
        lines = [f"{text}\t{i % 5}\n" for i, text in enumerate(sentences(ROWS, seed))]
        (workdir / "sst5" / f"{split}.tsv").write_text("sentence\tlabel\n" + "".join(lines))
    data = load_task_data(load_recipe("sst5").data)
    assert data.label_names == ("very negative", "negative", "neutral", "positive", "very positive")
    assert data.task.metrics == TASKS["sst5"].metrics == ("accuracy", "macro_f1")
    assert [list(split.labels or ()) for split in data.splits.values()] == [[i % 5 for i in range(ROWS)]] * 3
    assert [split.name for split in scored_splits(data, None)] == ["test"]


# --- real data, where they are ---------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["rte", "sst2", "stsb", "wnli"])
def test_the_real_tasks_are_laid_out_alike(shared: Path, task: str) -> None:
    data = load(source=str(shared / "glue"), config=task)
    assert (data.label_names, data.task.metrics) == (CLASSES[task], HUB[task].metrics)
    assert [split.name for split in scored_splits(data, None)] == list(HUB[task].scored)
    assert (data.splits["train"].text_pairs is None) == (len(HUB[task].texts) == 1)
