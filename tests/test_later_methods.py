"""Methods of later papers as a user types them: chains of teachers, losses, schedules, joint selection."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import heard
from small import LABELS, save_classifier
from transformers import pipeline

from dkd_cli.data.sources import load_task_data
from dkd_cli.recipe.loader import load_recipe

Recipe = Callable[..., Path]


@pytest.fixture
def recipe(tiny_recipe: Recipe, tiny_encoder: Path, tmp_path: Path) -> Path:
    """A recipe whose large teacher is there already."""
    teacher = save_classifier(tmp_path / "teacher", tiny_encoder, LABELS)
    return tiny_recipe({"teachers": {"large": {"layers": None, "checkpoint": str(teacher)}}})


def distilled(recipe: Path, *settings: str, name: str = "student-static-seed1") -> Path:
    """Run it with these settings; the student's folder."""
    said = heard("distill", recipe, *(word for setting in settings for word in ("--set", setting)))
    assert (said.code, said.err) == (0, ""), said
    return recipe.parent / "checkpoints" / "tiny" / name


def history(folder: Path) -> list[dict[str, Any]]:
    lines = json.loads((folder / "training.json").read_text())["history"]
    return [line for line in lines if "loss" in line]


def test_a_student_is_the_teacher_of_the_next(tiny_recipe: Recipe, tmp_path: Path) -> None:
    """As in docs/strategies.md; neither student sees a label."""
    recipe = tiny_recipe({"train": {"epochs": 6}, "strategy": {"objective": {"ce_weight": 0}}})
    assert heard("train-teacher", recipe, "--teacher", "large").code == 0
    teacher = recipe.parent / "checkpoints" / "tiny" / "teacher-large"
    assistant = distilled(recipe, "student.layers=3")
    said = heard("distill", recipe, *elsewhere(tmp_path / "next", assistant))
    assert said.code == 0
    student = tmp_path / "next" / "tiny" / "student-static-seed1"
    assert (student / json.loads((student / "dkd.json").read_text())["teacher"]).resolve() == assistant
    texts = list(load_task_data(load_recipe(str(recipe)).data).splits["train"].texts)
    chain = [teacher, assistant, student]
    answers = [
        [one["label"] for one in pipeline("text-classification", model=str(model))(texts)] for model in chain
    ]
    assert len(set(answers[0])) == 2, "or there would be nothing to agree on"
    for one, other in ((0, 1), (1, 2)):
        agreement = sum(a == b for a, b in zip(answers[one], answers[other], strict=True)) / len(texts)
        assert agreement > 0.9, f"{chain[other]} learned from {chain[one]}"


def elsewhere(output: Path, teacher: Path) -> list[str]:
    return ["--output-dir", str(output), "--set", f"teachers.large.checkpoint={teacher}"]


def test_a_schedule_shows_in_the_log_and_ends_where_it_should(recipe: Path) -> None:
    loss = ["strategy.objective.kd_loss=taid", "strategy.objective.final.temperature=1", "train.log_every=1"]
    lines = history(distilled(recipe, *loss))
    steps = len(lines)
    for line in lines:
        done = (line["step"] - 1) / steps
        assert line["temperature"] == pytest.approx(5 - 4 * done)
        assert line["teacher_share"] == pytest.approx(0.4 + 0.6 * done)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("strategy.objective.kd_loss=dkd", "strategy.objective.kd_loss: 'dkd' compares the non-target"),
        ("strategy.objective.kd_loss=dist", "strategy.objective.inter_weight: two probabilities"),
    ],
)
def test_two_classes_are_refused_in_a_line_before_anything_is_trained(
    recipe: Path, setting: str, said: str
) -> None:
    found = heard("distill", recipe, "--set", setting)
    assert found.code == 2
    assert f"dkd: error: {said}" in found.err
    assert "Traceback" not in found.err
    assert not (recipe.parent / "checkpoints" / "tiny" / "student-static-seed1").exists()


def test_selecting_from_a_pool_by_what_the_teacher_knows_asks_it_about_the_pool(recipe: Path) -> None:
    """77 texts; by entropy it would be asked about the chosen ones alone. It is asked from the start."""
    data = ["backward=selected", "ratio=0.25", "score=llkd", "warmup=0.4"]
    settings = ["strategy.name=dynamic-data", *(f"strategy.data.{one}" for one in data)]
    torch.manual_seed(0)
    folder = distilled(recipe, *settings, name="student-dynamic-data-seed1")
    log = json.loads((folder / "training.json").read_text())
    assert log["teacher_queries"] == {"large": 77}
    assert log["backward_rows"] < 77
