"""Runs that are claimed and published without any training, for tests of a run's folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dkd_cli.engine.runs.checkpoints import (
    Run,
    claim,
    publish,
    student_folder,
    teacher_folder,
    teacher_source,
)
from dkd_cli.engine.runs.identity import Role
from dkd_cli.recipe.schema import Data, Recipe, Teacher
from dkd_cli.recipe.strategy_section import Strategy


def unit_recipe(folder: Path, **changes: Any) -> Recipe:
    recipe = Recipe(
        name="unit",
        model="some/encoder",
        output_dir=str(folder / "out"),
        data=Data(source="texts.csv"),
        teachers={"small": Teacher(layers=2, epochs=5.0), "large": Teacher()},
        strategy=Strategy(name="dynamic-data,dynamic-teacher"),
    )
    return replace(recipe, **changes)


def the_run(recipe: Recipe, role: Role = "student", name: str = "static", **changes: Any) -> Run:
    run = Run(
        role=role,
        name=name,
        strategy=None if role == "teacher" else recipe.strategy.name,
        seed=recipe.train.seed,
        teacher=None if role == "teacher" else teacher_source(recipe, "large"),
        recipe=recipe,
        validation={"accuracy": 0.75, "loss": 0.5},
        seconds=12.5,
    )
    return replace(run, **changes)


def save(folder: Path) -> None:
    (folder / "model.safetensors").write_text("weights")


def make(recipe: Recipe, role: Role = "student", name: str = "static", *, fresh: bool = False) -> Path:
    """Claim and publish at once."""
    final = teacher_folder(recipe, name) if role == "teacher" else student_folder(recipe)
    with claim(final, recipe, role, name, fresh=fresh, warn=pytest.fail) as working:
        assert working is not None
        publish(working, final, the_run(recipe, role, final.name), save, {"steps": 3})
    return final


def begin(recipe: Recipe, *, fresh: bool = False) -> Path | None:
    """Claim a student's folder and give it back unfinished; what `claim` said."""
    with claim(
        student_folder(recipe), recipe, "student", recipe.strategy.name, fresh=fresh, warn=pytest.fail
    ) as working:
        return working
