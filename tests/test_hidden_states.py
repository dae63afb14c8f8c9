"""Hidden states that nobody asked for: learnt, unless they are too many or not to be had."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import dkd, heard
from conftest import TinyRecipe

from dkd_cli.pipeline import hidden_states


def weights(output: Path, name: str) -> bytes:
    return (output / name / "student-static-seed1" / "model.safetensors").read_bytes()


def test_learnt_by_default_and_left_out_where_they_are_too_many(
    tiny_recipe: TinyRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, recipe = tmp_path / "checkpoints", tiny_recipe()
    dkd("train-teacher", recipe, "--teacher", "large")
    distil = ("distill", recipe, "--strategy", "static")
    assert "not compared" not in heard(*distil).out

    # A borrowed teacher's hidden states are learnt where the recipe asks for them.
    teacher = output / "tiny" / "teacher-large"
    borrowed = ("--set", f"teachers.large.checkpoint={teacher}", "--set", "teachers.large.layers=null")
    assert dkd(*distil, *borrowed, "--set", "name=without") == 0
    assert dkd(*distil, *borrowed, "--set", "name=with", "--set", "strategy.objective.hidden_weight=1") == 0
    assert weights(output, "tiny") == weights(output, "with")

    monkeypatch.setattr(hidden_states, "MOST_BYTES", 1000)
    assert "hidden states are not compared: a teacher's would take" in heard(*distil, "--fresh").out
    assert weights(output, "tiny") == weights(output, "without") != weights(output, "with")


def test_a_map_of_layers_may_name_any_of_the_teachers(tiny_recipe: TinyRecipe, tmp_path: Path) -> None:
    recipe = tiny_recipe({"strategy": {"objective": {"layer_map": "1:2, 2:4"}}})
    dkd("train-teacher", recipe, "--teacher", "large")
    said = heard("distill", recipe, "--strategy", "static")
    assert (said.code, "not compared" in said.out) == (0, False)


def test_a_strategy_that_needs_them_takes_them_however_many_they_are(
    tiny_recipe: TinyRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe()
    dkd("train-teacher", recipe, "--teacher", "large")
    monkeypatch.setattr(hidden_states, "MOST_BYTES", 1000)
    said = heard("distill", recipe, "--strategy", "static", "--strategy", "dynamic-objective").out
    assert said.count("hidden states are not compared") == 1
