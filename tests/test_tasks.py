"""The table of known tasks and how a recipe overrides it."""

from __future__ import annotations

import pytest

from dkd_cli.data.tasks import TASKS, Task, resolve_task
from dkd_cli.errors import RecipeError
from dkd_cli.recipe.schema import Data


def test_table_is_complete_and_consistent() -> None:
    expected = ["boolq", "cola", "imdb", "mnli", "mrpc", "qnli", "qqp", "rte", "sst2", "sst5", "stsb", "wnli"]
    assert sorted(TASKS) == expected
    assert all(name == task.name for name, task in TASKS.items())
    assert [name for name, task in TASKS.items() if task.kind == "regression"] == ["stsb"]


def test_config_names_the_task() -> None:
    assert resolve_task(Data(source="glue", config="rte")) == TASKS["rte"]


def test_task_wins_over_config() -> None:
    assert resolve_task(Data(source="x", config="rte", task="boolq")).label == "answer"


def test_recipe_columns_win() -> None:
    task = resolve_task(Data(source="x", task="boolq", text="q", text_pair="p", label="a"))
    assert (task.text, task.text_pair, task.label) == ("q", "p", "a")


def test_another_kind_brings_its_metrics() -> None:
    task = resolve_task(Data(source="x", task="stsb", kind="classification"))
    assert task.metrics == ("accuracy", "macro_f1")


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("reviews.csv", "reviews"),
        ("pkg://some_package/corpora/tweets.csv", "tweets"),
        ("../my data/réviews (1).jsonl", "r-views-1"),
        ("owner/data-set", "data-set"),
    ],
)
def test_unknown_task_is_named_after_the_source(source: str, name: str) -> None:
    assert resolve_task(Data(source=source)) == Task(name)


def test_unknown_task_is_refused_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"^data\.task: 'sst-2' .* did you mean 'sst2'\?"):
        resolve_task(Data(source="x", task="sst-2"))
