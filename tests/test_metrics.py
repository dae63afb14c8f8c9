"""Scores against values worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from dkd_cli.data.examples import Split, TaskData
from dkd_cli.data.tasks import TASKS, Task
from dkd_cli.errors import DataError, NumericError
from dkd_cli.evaluation.metrics import baseline, pearson, predicted, spearman, task_metrics

PLAIN = Task("plain")


def logits(classes: list[int], count: int) -> np.ndarray:
    return np.eye(count)[classes]


def test_classification_by_hand() -> None:
    scores = task_metrics(PLAIN, logits([0, 1, 1, 2], 3), [0, 1, 2, 2])
    # F1: 1, 2/3, 2/3
    assert scores == {"accuracy": 0.75, "macro_f1": pytest.approx(7 / 9)}


def test_the_tasks_own_metrics_come_first() -> None:
    assert list(task_metrics(TASKS["mrpc"], logits([0, 1], 2), [0, 1])) == ["f1", "accuracy", "macro_f1"]
    assert list(task_metrics(TASKS["cola"], logits([0, 1], 2), [0, 1])) == [
        "matthews",
        "accuracy",
        "macro_f1",
    ]
    assert list(task_metrics(TASKS["stsb"], [[0.0], [1.0]], [0.0, 2.0])) == ["pearson", "spearman", "mse"]


@pytest.mark.parametrize(
    ("said", "labels", "f1"),
    [([1, 1, 0, 0], [1, 0, 1, 0], 0.5), ([0, 0], [0, 0], 0.0), ([1, 1], [1, 1], 1.0)],
)
def test_binary_f1(said: list[int], labels: list[int], f1: float) -> None:
    assert task_metrics(TASKS["mrpc"], logits(said, 2), labels)["f1"] == pytest.approx(f1)


def test_binary_f1_refuses_a_third_class() -> None:
    with pytest.raises(DataError, match="two classes"):
        task_metrics(TASKS["mrpc"], logits([0, 2], 3), [0, 1])


@pytest.mark.parametrize(("positive", "found"), [(1, (0.5, 1.0)), (0, (1.0, 2 / 3))])
def test_precision_and_recall_are_of_the_positive_class(positive: int, found: tuple[float, float]) -> None:
    task = Task("spam", metrics=("precision", "recall"), positive=positive)
    scores = task_metrics(task, logits([1, 1, 0, 0], 2), [1, 0, 0, 0])
    assert (scores["precision"], scores["recall"]) == pytest.approx(found)


@pytest.mark.parametrize(("positive", "area"), [(1, 7 / 12), (0, 3 / 4)])
def test_average_precision_and_roc_auc_read_the_logits(positive: int, area: float) -> None:
    task = Task("spam", metrics=("average_precision", "roc_auc"), positive=positive)
    ahead = [[0.0, 1.0], [0.0, 2.0], [0.5, 0.0], [2.0, 0.0]]
    # from the surest `1` down: wrong, right, right, wrong
    scores = task_metrics(task, ahead, [1, 0, 1, 0])
    assert scores["average_precision"] == pytest.approx(area)
    assert scores["roc_auc"] == pytest.approx(0.5)
    alone = task_metrics(task, ahead, [1 - positive] * 4)
    assert (alone["average_precision"], alone["roc_auc"]) == (None, None)


def test_loss_by_hand() -> None:
    task = Task("plain", metrics=("loss", "accuracy"))
    assert task_metrics(task, [[0.0, 0.0], [1e4, 0.0]], [0, 1])["loss"] == pytest.approx(
        (math.log(2) + 1e4) / 2
    )
    numbers = Task("numbers", kind="regression", metrics=("loss", "mse"))
    scores = task_metrics(numbers, [[1.0], [3.0]], [1.0, 2.0])
    assert scores["loss"] == scores["mse"] == 0.5


def test_the_baselines_loss_is_that_of_the_shares_in_training() -> None:
    task = Task("plain", metrics=("loss",))
    found = constant(task, ("no", "yes"), [0, 0, 0, 1], [0, 1])
    # each class counted once more: 4/6 and 2/6
    assert found.metrics["loss"] == pytest.approx(-(math.log(4 / 6) + math.log(2 / 6)) / 2)
    assert (found.name, found.metrics["accuracy"]) == ("always no", 0.5)


def test_matthews_by_hand() -> None:
    # TP 2, TN 1, FP 1, FN 0
    scores = task_metrics(TASKS["cola"], logits([1, 1, 1, 0], 2), [1, 1, 0, 0])
    assert scores["matthews"] == pytest.approx(2 / math.sqrt(3 * 2 * 2 * 1))


def test_macro_f1_leaves_out_a_class_that_nobody_names() -> None:
    assert task_metrics(PLAIN, logits([0, 1], 5), [0, 1])["macro_f1"] == 1.0


def test_regression_by_hand() -> None:
    scores = task_metrics(TASKS["stsb"], [[1.0], [2.0], [4.0]], [1.0, 2.0, 3.0])
    assert scores["pearson"] == pytest.approx(3 / math.sqrt(2 * 14 / 3))
    assert scores["spearman"] == pytest.approx(1.0)
    assert scores["mse"] == pytest.approx(1 / 3)


def test_ties_share_their_rank() -> None:
    # ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4
    assert spearman(np.array([0.0, 5, 5, 9]), np.arange(4.0)) == pytest.approx(4.5 / math.sqrt(4.5 * 5))


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_pearson_at_any_scale(scale: float) -> None:
    values = np.array([1.0, 2.0, 4.0])
    assert pearson(values * scale, -values) == pytest.approx(-1.0)


def test_a_constant_has_no_correlation() -> None:
    scores = task_metrics(TASKS["stsb"], [[2.0], [2.0]], [1.0, 3.0])
    assert scores == {"pearson": None, "spearman": None, "mse": 1.0}


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_predictions_that_are_no_numbers_are_refused(bad: float) -> None:
    with pytest.raises(NumericError, match="1 of 2 rows") as caught:
        task_metrics(PLAIN, [[0.0, 1.0], [bad, 0.0]], [1, 0])
    assert caught.value.exit_code == 6


def test_the_baseline_knows_the_training_labels_alone() -> None:
    names = ("low", "middle", "high")
    frequent = constant(PLAIN, names, [2, 2, 1], [1, 1, 2, 0])
    assert frequent.name == "always high"
    assert frequent.metrics == {"accuracy": 0.25, "macro_f1": pytest.approx(0.4 / 3)}
    mean = constant(TASKS["stsb"], None, [1.0, 3.0], [2.0, 4.0])
    assert (mean.name, mean.prediction) == ("always 2", 2.0)
    assert mean.metrics == {"pearson": None, "spearman": None, "mse": 2.0}


@pytest.mark.parametrize("hidden", ["train", "validation"])
def test_without_labels_there_is_no_baseline(hidden: str) -> None:
    labels = {"train": [0, 1], "validation": [0, 1]} | {hidden: None}
    assert constant(PLAIN, ("no", "yes"), labels["train"], labels["validation"]) is None


def constant(task: Task, names: tuple[str, ...] | None, learnt: Any, labels: Any) -> Any:
    """The baseline on a validation split with these labels."""
    splits = {
        name: Split(name, ["a"] * len(ids or "ab"), None, ids, ["a"] * len(ids or "ab"))
        for name, ids in (("train", learnt), ("validation", labels))
    }
    return baseline(TaskData(task, names, splits, ()), splits["validation"])


def test_predicted_ids_and_numbers() -> None:
    assert predicted(PLAIN, [[0.0, 2.0], [1.0, 0.0]]).tolist() == [1, 0]
    assert predicted(TASKS["stsb"], [[0.5], [1.5]]).tolist() == [0.5, 1.5]


def test_rows_and_labels_must_pair() -> None:
    with pytest.raises(ValueError, match="2 predictions for 1 labels"):
        task_metrics(PLAIN, logits([0, 1], 2), [0])
