"""The public functions: lazily imported, typed, and the same runs as the commands make."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from conftest import TinyRecipe

import dkd_cli
from dkd_cli import distill, evaluate, load_recipe, predict, train_teacher
from dkd_cli.errors import ModelError


def test_from_a_recipe_to_predictions(tiny_recipe: TinyRecipe, tmp_path: Path) -> None:
    recipe = str(tiny_recipe({"train": {"max_steps": 2}}))
    with pytest.raises(ModelError, match="does not exist yet"):
        distill(recipe)
    teachers = train_teacher(recipe, teachers=["large"])
    assert [run.name for run in teachers] == ["teacher-large"]
    students = distill(recipe, strategies=["static", "none"], seeds=[1, 2])
    names = [run.name for run in students]
    assert names == [f"student-{name}-seed{n}" for n in (1, 2) for name in ("static", "none")] or names == [
        f"student-{name}-seed{n}" for name in ("static", "none") for n in (1, 2)
    ]
    assert all("accuracy" in run.validation for run in students)
    folder = tmp_path / "checkpoints" / load_recipe(recipe).name
    figures = evaluate(folder, timing=False)
    (contest,) = figures["evaluations"]
    assert {model["model"] for model in contest["models"]} >= set(names)
    rows = predict(folder / names[0], ["a superb film", "a dreadful film", "a film"])
    assert len(rows) == 3
    assert all(row["label"] in {"positive", "negative"} and 0 <= row["uncertainty"] <= 1 for row in rows)
    assert [run.seconds for run in distill(recipe, strategies=["static"], seeds=[1])] == [students[0].seconds]


def test_the_package_lists_what_it_offers_and_imports_nothing_heavy() -> None:
    assert set(dkd_cli.__all__) == set(dir(dkd_cli))
    script = "import sys, dkd_cli; dir(dkd_cli); print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    with pytest.raises(AttributeError, match="has no attribute 'distil'"):
        dkd_cli.distil  # noqa: B018
