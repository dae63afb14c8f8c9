"""Which metric decides for which data, and of which class it is."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from dkd_cli.data.examples import TaskData
from dkd_cli.data.metric_names import METRIC_NAMES, judged, known_metrics, merit, positive_note
from dkd_cli.data.sources import load_task_data
from dkd_cli.errors import DataError, RecipeError
from dkd_cli.recipe.schema import Data


def loaded(folder: Path, values: tuple[str, ...], **data: Any) -> TaskData:
    """60 different pairs of texts with these labels in turn."""
    file = folder / "data.csv"
    rows = [(f"word{i} and {i * i}", f"other{i} or {i**3}", values[i % len(values)]) for i in range(60)]
    with file.open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows([("sentence1", "sentence2", "label"), *rows])
    return load_task_data(Data(source=str(file), **{"text": "sentence1"} | data))


@pytest.mark.parametrize(
    "labels", [("equivalent", "not_equivalent"), ("Not equivalent", "Equivalent"), ("1", "0")]
)
def test_a_known_task_knows_the_order_of_its_classes_by_name(tmp_path: Path, labels: tuple[str, ...]) -> None:
    """Sorted, `equivalent` would be class 0, and F1 silently that of `not_equivalent`."""
    data = loaded(tmp_path, labels, task="mrpc")
    assert data.label_names is not None
    assert data.task.positive == 1
    assert data.label_names[1].casefold() in ("equivalent", "1")
    assert data.task.metrics[0] == "f1"


def test_of_rte_the_first_class_is_the_positive_one(tmp_path: Path) -> None:
    data = loaded(tmp_path, ("not_entailment", "entailment"), task="rte")
    assert data.label_names == ("entailment", "not_entailment")
    assert data.task.positive == 0


@pytest.mark.parametrize(
    ("labels", "positive"),
    [(("0", "1"), 1), (("true", "false"), 1), (("Yes", "No"), 1), (("spam", "ham"), None)],
)
def test_the_positive_class_of_other_data(
    tmp_path: Path, labels: tuple[str, ...], positive: int | None
) -> None:
    data = loaded(tmp_path, labels)
    assert data.task.positive == positive
    assert ("f1" in known_metrics(data)) == (positive is not None)
    assert data.task.metrics == ("accuracy", "macro_f1"), "nothing else is measured unless it is asked for"


def test_the_recipe_names_the_positive_class(tmp_path: Path) -> None:
    data = loaded(tmp_path, ("spam", "ham"), positive="ham")
    assert data.label_names is not None
    assert data.label_names[data.task.positive or 0] == "ham"
    assert data.task.metrics == (
        "accuracy",
        "macro_f1",
        "f1",
        "precision",
        "recall",
        "average_precision",
    )
    assert positive_note(data, ["accuracy", "f1", "recall"]) == "f1, recall: of the class 'ham'"
    assert positive_note(data, ["accuracy", "roc_auc"]) is None


def test_declared_classes_are_in_the_order_of_their_ids(tmp_path: Path) -> None:
    data = loaded(tmp_path, ("same", "other"), task="mrpc", labels=("other", "same"))
    assert data.task.positive == 1


def test_a_metric_of_one_class_needs_to_know_it(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        loaded(tmp_path, ("same", "other"), task="mrpc")
    assert str(caught.value) == (
        "data.positive: is missing, and f1 is of one class alone; name one of: other, same"
    )
    data = loaded(tmp_path, ("same", "other"))
    with pytest.raises(RecipeError, match=r"^data\.positive: is missing, and recall is"):
        judged(data, "recall")
    assert judged(data, "roc_auc").task.metrics[0] == "roc_auc", "which is the same for both classes"


@pytest.mark.parametrize(
    ("labels", "positive", "problem"),
    [
        (("spam", "ham"), "Spam", "'Spam' is not one of the classes; name one of: ham, spam"),
        (("a", "b", "c"), "a", "is for two classes, and here is 3 classes"),
    ],
)
def test_a_positive_class_that_cannot_be(
    tmp_path: Path, labels: tuple[str, ...], positive: str, problem: str
) -> None:
    with pytest.raises(RecipeError, match=problem):
        loaded(tmp_path, labels, positive=positive)


def test_a_task_of_two_classes_refuses_a_third_before_any_training(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="its metric f1 is for two classes"):
        loaded(tmp_path, ("a", "b", "c"), task="mrpc")


@pytest.mark.parametrize(
    ("labels", "metric", "problem"),
    [
        (("a", "b"), "acuracy", "did you mean 'accuracy'"),
        (("a", "b"), "mse", "is a metric of numbers; choose accuracy"),
        (("a", "b", "c"), "roc_auc", "is for two classes, and here are 3; choose macro_f1"),
    ],
)
def test_a_metric_that_cannot_decide(
    tmp_path: Path, labels: tuple[str, ...], metric: str, problem: str
) -> None:
    with pytest.raises(RecipeError, match=problem):
        judged(loaded(tmp_path, labels), metric)


def test_the_metric_that_decides_comes_first(tmp_path: Path) -> None:
    data = loaded(tmp_path, ("0", "1"))
    for metric, about in METRIC_NAMES.items():
        if "classification" in about.kinds:
            assert judged(data, metric).task.metrics[0] == metric
    assert judged(data, None) == data


def test_more_is_better_or_less() -> None:
    assert merit("f1", 0.3) == 0.3
    assert merit("loss", 0.3) == merit("mse", 0.3) == -0.3
