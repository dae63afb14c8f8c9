"""`train.metric` from end to end: it picks checkpoints, and every later command judges by it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from command_line import heard
from conftest import TinyRecipe
from report_samples import evaluation

TRAIN = {"train": {"max_steps": 2}}


def evaluated(top: Path) -> dict[str, Any]:
    (only,) = json.loads((top / "evaluation.json").read_text(encoding="utf-8"))["evaluations"]
    return only


def test_it_decides_everywhere(tiny_recipe: TinyRecipe, tmp_path: Path) -> None:
    metric = "macro_f1"
    recipe, top = (
        tiny_recipe({"train": {"max_steps": 2, "metric": metric}}),
        tmp_path / "checkpoints" / "tiny",
    )
    said = heard("compare", recipe, "--seeds", "1", "--strategy", "static")
    assert (said.code, said.err) == (0, "")
    assert f"gains in {metric}" in said.out
    compared = json.loads((top / "comparison.json").read_text(encoding="utf-8"))
    assert compared["reported"]["metric"] == compared["chosen_by"]["metric"] == metric

    said = heard("evaluate", top, "--no-timing")
    assert said.code == 0, said.err
    found = evaluated(top)
    assert found["main_metric"] == metric
    assert next(iter(found["models"][0]["metrics"])) == metric
    models = {model["model"]: model for model in found["models"]}
    student, teacher = models["student-static-seed1"], models["teacher-large"]
    for one in compared["strategies"]:
        (run,) = one["runs"]
        assert one["mean"] == run["reported"][metric]
        assert one["mean"] == pytest.approx(models[Path(run["folder"]).name]["metrics"][metric])
    assert student["retention"] == student["metrics"][metric] / teacher["metrics"][metric]
    best = found["best_student"]
    students = [model for model in found["models"] if model["role"] == "student"]
    assert best["model"] == max(students, key=lambda model: model["validation"][metric])["model"]
    gap = models[best["model"]]["metrics"][metric] - teacher["metrics"][metric]
    assert best["difference"]["gain"] == pytest.approx(gap)
    page = (top / "report.html").read_text(encoding="utf-8")
    assert f"{metric} against speed and size" in page

    said = heard("export", top / "student-static-seed1", "--max-loss", "100")
    assert said.code == 0, said.err
    assert f"; {metric} " in said.out


def test_of_an_error_the_lowest_is_the_best(tmp_path: Path) -> None:
    found = evaluation(tmp_path, 3, timed=False, metric="loss")["evaluations"][0]
    assert found["main_metric"] == "loss"
    models = {model["model"]: model for model in found["models"]}
    losses = {name: model["metrics"]["loss"] for name, model in models.items() if model["role"] == "student"}
    best = models[found["best_student"]["model"]]
    assert best["model"] == "student-dynamic-objective-seed1", "0.5206 on validation, the lowest"
    assert best["retention"] is None
    teacher = models["teacher-large"]["metrics"]["loss"]
    difference = found["best_student"]["difference"]
    assert difference["gain"] == pytest.approx(teacher - best["metrics"]["loss"])
    assert difference["low"] < difference["gain"] < difference["high"]
    worst = max(losses, key=lambda name: losses[name])
    assert not models[worst]["pareto"]
    cascade = best["cascade"]
    assert cascade["there"]["quality"] <= cascade["curve"][0]["quality"]


def test_of_models_with_different_metrics_the_students_decide(
    tiny_recipe: TinyRecipe, tmp_path: Path
) -> None:
    teachers, top = tiny_recipe(TRAIN), tmp_path / "checkpoints" / "tiny"
    assert heard("train-teacher", teachers, "--teacher", "large").code == 0
    assert heard("distill", teachers, "--strategy", "static", "--set", "train.metric=macro_f1").code == 0
    assert heard("evaluate", top, "--no-timing").code == 0
    assert evaluated(top)["main_metric"] == "macro_f1"

    shutil.copytree(top / "student-static-seed1", top / "another")
    (top / "another" / "dkd-manifest.json").unlink()
    (top / "another" / "recipe.yaml").write_text(
        (top / "another" / "recipe.yaml").read_text(encoding="utf-8").replace("macro_f1", "matthews"),
        encoding="utf-8",
    )
    said = heard("evaluate", top, "--no-timing")
    assert "different metrics as train.metric (matthews, macro_f1): the task's own decides here" in said.err
    assert evaluated(top)["main_metric"] == "accuracy"


def test_the_class_that_a_metric_is_of_is_named(tiny_recipe: TinyRecipe, tmp_path: Path) -> None:
    recipe = tiny_recipe(
        {"train": {"max_steps": 2, "metric": "f1"}, "data": {"positive": "negative"}, "teachers": {}}
        | {"strategy": {"name": "none"}}
    )
    said = heard("distill", recipe)
    assert said.code == 0, said.err
    assert "f1, precision, recall, average_precision: of the class 'negative'" in said.out
    top = tmp_path / "checkpoints" / "tiny"
    assert "F1 of `negative`" in (top / "student-none-seed1" / "README.md").read_text(encoding="utf-8")
    said = heard("evaluate", top, "--no-timing")
    assert "of the class 'negative'" in said.out
    (student,) = evaluated(top)["models"]
    (negative,) = (one for one in student["per_class"] if one["label"] == "negative")
    assert student["metrics"]["f1"] == pytest.approx(negative["f1"])
    assert student["metrics"]["recall"] == pytest.approx(negative["recall"])


def test_a_metric_without_its_class_is_refused_before_a_model_is_loaded(tiny_recipe: TinyRecipe) -> None:
    said = heard("train-teacher", tiny_recipe({"train": {"metric": "f1"}}), "--teacher", "large")
    assert said.code == 2
    assert said.err == (
        "dkd: error: data.positive: is missing, and f1 is of one class alone; "
        "name one of: negative, positive\n"
    )
