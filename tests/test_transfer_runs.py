"""Runs with a transfer set: what they count, what their control sees, and that they resume bit for bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from command_line import heard
from conftest import TinyRecipe, tiny_rows
from processes import killed_after
from safetensors.torch import load_file

TRANSFER = [" ".join(reversed(text.split())) + " again" for text, _ in tiny_rows()][:40]


def log_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "training.json").read_text())
    return found


@pytest.fixture
def mixed(tiny_recipe: TinyRecipe, tmp_path: Path) -> Path:
    """A recipe with 40 transfer texts, and its teachers."""
    (tmp_path / "more.txt").write_text("\n".join(TRANSFER))
    recipe = tiny_recipe({"data": {"transfer": str(tmp_path / "more.txt")}})
    assert heard("train-teacher", recipe).code == 0
    return recipe


def test_a_mixture_is_counted_and_its_controls_see_labelled_rows_for_as_many_updates(
    mixed: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "checkpoints" / "tiny"
    said = heard("distill", mixed, "--strategy", "static", "--strategy", "none")
    assert said.code == 0, said
    control = heard("distill", mixed, "--set", "strategy.transfer=false", "--set", "name=control")
    assert control.code == 4, "its teachers are made under the recipe's own name"
    teachers = [
        f"--set=teachers.{name}.checkpoint={folder / f'teacher-{name}'}" for name in ("small", "large")
    ]
    control = heard("distill", mixed, "--set", "strategy.transfer=false", "--set", "name=control", *teachers)
    assert control.code == 0, control
    static, none = (log_of(folder / f"student-{name}-seed1") for name in ("static", "none"))
    alone = log_of(tmp_path / "checkpoints" / "control" / "student-static-seed1")
    labelled = none["rows"]["labelled"]
    assert static["rows"] == {"labelled": labelled, "unlabelled": 40}
    assert none["rows"] == alone["rows"] == {"labelled": labelled, "unlabelled": 0}
    assert static["steps"] == none["steps"] == alone["steps"] == -(-(labelled + 40) // 8)
    assert static["examples"] == none["examples"] == alone["examples"] == labelled + 40
    assert static["teacher_queries"] == {"large": labelled + 40}
    assert "40 transfer" in said.out
    assert log_of(folder / "teacher-large")["rows"] == {"labelled": labelled, "unlabelled": 0}
    recipe = (folder / "teacher-large" / "recipe.yaml").read_text()
    assert "transfer: []" in recipe
    assert "40 transfer" in (folder / "student-static-seed1" / "README.md").read_text()


@pytest.mark.parametrize(
    "strategy", ["dynamic-teacher,dynamic-objective", "dynamic-data", "dynamic-data selected", "kl"]
)
def test_every_axis_works_on_the_mixture(mixed: Path, tmp_path: Path, strategy: str) -> None:
    name = strategy.split()[0] if strategy != "kl" else "dynamic-data"
    score = "kl-r" if strategy == "kl" else "margin"
    backward = "selected" if "selected" in strategy else "all"
    words = [f"--set=strategy.data.score={score}", f"--set=strategy.data.backward={backward}"]
    said = heard("distill", mixed, "--strategy", name, *words)
    assert said.code == 0, said
    folder = tmp_path / "checkpoints" / "tiny" / f"student-{name.replace(',', '_')}-seed1"
    log = log_of(folder)
    assert log["rows"]["unlabelled"] == 40
    assert all(line[term] == line[term] for line in log["history"] for term in line)


def test_a_teacher_from_a_file_must_answer_the_transfer_texts_too(mixed: Path, tmp_path: Path) -> None:
    answers = tmp_path / "answers.jsonl"
    rows = [{"text": text, "label": label} for text, label in tiny_rows()]
    answers.write_text("\n".join(map(json.dumps, rows)))
    words = ["--set", f"teachers={{llm: {{probabilities: {answers}}}}}", "--set", "name=llm"]
    said = heard("distill", mixed, *words)
    assert said.code == 3
    assert "40" in said.err
    rows += [{"text": text, "label": "positive"} for text in TRANSFER]
    answers.write_text("\n".join(map(json.dumps, rows)))
    said = heard("distill", mixed, *words)
    assert said.code == 0, said


def test_a_killed_run_resumes_to_the_same_bits(mixed: Path, tmp_path: Path, monkeypatch: Any) -> None:
    teachers = tmp_path / "checkpoints" / "tiny"
    words = [
        f"--set=teachers.{name}.checkpoint={teachers / f'teacher-{name}'}" for name in ("small", "large")
    ]
    words += ["--set", "train.epochs=3", "--strategy", "dynamic-data"]
    made = {}
    for name in ("whole", "killed"):
        monkeypatch.setenv("DKD_CACHE", str(tmp_path / f"cache-{name}"))
        command = ("distill", mixed, *words, "--set", f"name={name}")
        folder = tmp_path / "checkpoints" / name / "student-dynamic-data-seed1"
        working = folder.with_name("." + folder.name)
        if name == "killed":
            killed_after(lambda place=working: any(place.glob("checkpoint*")), *command)
            assert not folder.exists()
        assert heard(*command).code == 0
        made[name] = load_file(folder / "model.safetensors")
    assert all(torch.equal(made["whole"][key], made["killed"][key]) for key in made["whole"])
