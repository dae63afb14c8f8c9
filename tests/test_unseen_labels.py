"""`data.unseen_labels`: test rows of a class that training lacks, from the file to the report."""

from __future__ import annotations

import csv
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import heard, refused
from conftest import TinyRecipe, tiny_rows
from data_samples import load, rows, sizes, write_csv
from sklearn.metrics import f1_score

from dkd_cli.data.kinds import KINDS
from dkd_cli.data.labels import UNSEEN
from dkd_cli.data.tasks import Task
from dkd_cli.engine.runs.identity import identity
from dkd_cli.errors import DataError
from dkd_cli.evaluation.calibration import reliability
from dkd_cli.evaluation.metrics import task_metrics
from dkd_cli.evaluation.per_class import class_scores, confusion
from dkd_cli.recipe.loader import load_recipe

KEEP = "count-as-wrong"


def files(**unseen: str) -> dict[str, Any]:
    """A training file, and a test file in which the first rows have other labels."""
    test = [{"text": f"unlike the others {i}", "label": (i % 2 and "no") or "yes"} for i in range(10)]
    for row, label in enumerate(unseen.values()):
        test[row]["label"] = label
    return {"source": write_csv("a.csv", rows(100)), "test": write_csv("t.csv", test)}


def test_they_are_refused_with_a_way_out(workdir: Path) -> None:
    with pytest.raises(DataError, match=r"^t\.csv:2: .+ no class 'maybe'; .+ count-as-wrong"):
        load(**files(a="maybe"))


def test_they_get_ids_that_nothing_predicts(workdir: Path) -> None:
    data = load(**files(a="maybe", b="never", c="maybe"), unseen_labels=KEEP)
    assert data.label_names == ("no", "yes")
    labels = list(data.splits["test"].labels or ())
    assert [label for label in labels if label <= UNSEEN] == [UNSEEN, UNSEEN - 1, UNSEEN]
    assert "test: 3 rows of classes that training lacks count as wrong: maybe, never" in data.notes
    assert KINDS["classification"].shown(UNSEEN, data.label_names) == "a class that training lacks"


def test_a_declared_class_without_a_training_row(workdir: Path) -> None:
    given = files(a="maybe") | {"labels": ("no", "yes", "maybe")}
    with pytest.raises(DataError, match="test has the class 'maybe', which the training split lacks"):
        load(**given)
    data = load(**given, unseen_labels=KEEP)
    assert 2 in (data.splits["test"].labels or ())
    assert "test: no row of training has the class maybe" in data.notes


def test_only_a_test_split_may_have_them(workdir: Path) -> None:
    given = files(a="maybe")
    given = {"source": given["source"], "validation": given["test"]}
    with pytest.raises(DataError, match=r"no class 'maybe'; add examples of it or remove it$"):
        load(**given, unseen_labels=KEEP)


def test_data_without_them_are_as_before(workdir: Path) -> None:
    strict, lenient = load(**files()), load(**files(), unseen_labels=KEEP)
    assert (sizes(strict), strict.splits, strict.notes) == (sizes(lenient), lenient.splits, lenient.notes)


def test_scores() -> None:
    logits = np.log(np.array([[0.8, 0.2], [0.3, 0.7], [0.6, 0.4], [0.1, 0.9]]))
    labels = [0, 1, UNSEEN, UNSEEN - 1]
    task = load_task()
    found = task_metrics(task, logits, labels)
    assert found["accuracy"] == 0.5
    assert found["macro_f1"] == pytest.approx(
        f1_score([0, 1, 2, 3], [0, 1, 0, 1], average="macro", zero_division=0.0)
    )
    loss = -(math.log(0.8) + math.log(0.7) + 2 * math.log(np.finfo(float).eps)) / 4
    assert task_metrics(load_task("loss"), logits, labels)["loss"] == pytest.approx(loss)
    figures = reliability(logits, labels)
    assert figures.nll == pytest.approx(loss)
    known = (2 * 0.2**2 + 2 * 0.3**2) / 4
    assert figures.brier == pytest.approx(known + (1 + 0.36 + 0.16 + 1 + 0.01 + 0.81) / 4)
    (no, yes) = class_scores(logits, labels, ("no", "yes"))
    assert (no.precision, no.recall, yes.precision, yes.recall) == (0.5, 1.0, 0.5, 1.0)
    assert confusion(logits, labels, 2) == [[1, 0], [0, 1]]


def load_task(*metrics: str) -> Task:
    return Task("unit", metrics=metrics or ("accuracy",))


def test_a_run_is_evaluated_with_them(tiny_recipe: TinyRecipe, workdir: Path) -> None:
    found = [*tiny_rows()[:8], ("blue red green", "unknown"), ("old new red", "unknown")]
    with Path("t.csv").open("w", newline="") as handle:
        csv.writer(handle).writerows(
            [("text", "label"), *[(f"{text} again", label) for text, label in found]]
        )
    changes = {"data": {"test": "t.csv", "unseen_labels": KEEP}, "train": {"epochs": 4}}
    recipe = tiny_recipe(changes)
    (line,) = refused(
        3, "distill", tiny_recipe({"data": {"test": "t.csv"}}, "strict.yaml"), "--strategy", "none"
    )
    assert "count-as-wrong" in line
    assert heard("distill", recipe, "--strategy", "none").code == 0
    said = heard("evaluate", recipe.parent / "checkpoints", "--no-timing")
    assert said.code == 0, said
    assert "2 of the 10 rows of test are of classes that training lacks: wrong" in said.err
    evaluation = json.loads(next(recipe.parent.rglob("evaluation.json")).read_text())["evaluations"][0]
    scores = [model["metrics"]["accuracy"] for model in evaluation["models"]]
    assert all(score <= 0.8 for score in scores), "two of ten rows cannot be right"
    assert re.search(r"always \w+", said.out)


def test_it_is_no_other_experiment(tiny_recipe: TinyRecipe) -> None:
    strict, lenient = (
        load_recipe(str(tiny_recipe({"data": {"unseen_labels": value}}))) for value in ("refuse", KEEP)
    )
    assert identity(strict, "student", "none") == identity(lenient, "student", "none")
