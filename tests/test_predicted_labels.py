"""`dkd compare` and the strategy `none` where training texts, or all of them, have no labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from command_line import heard, serious
from conftest import TinyRecipe, tiny_rows
from small import LABELS, save_classifier

FAST = {"train": {"max_steps": 2}}


@pytest.fixture
def teacher(tmp_path: Path, tiny_encoder: Path) -> Path:
    return save_classifier(tmp_path / "big", tiny_encoder, LABELS)


def bare(tmp_path: Path) -> str:
    """The tiny texts without labels."""
    lines = ["text", *(text for text, _ in tiny_rows())]
    (tmp_path / "bare.csv").write_text("\n".join(lines), encoding="utf-8")
    return str(tmp_path / "bare.csv")


def without_labels(teacher: dict[str, Any], **data: Any) -> dict[str, Any]:
    return {
        **FAST,
        "data": {"unlabelled": True, "labels": list(LABELS), **data},
        "teachers": {"small": None, "large": {"layers": None, **teacher}},
    }


def only(recipe: Path, name: str) -> Path:
    """The recipe with that teacher alone."""
    import yaml

    found = yaml.safe_load(recipe.read_text())
    found["teachers"] = {name: found["teachers"][name]}
    recipe.write_text(yaml.safe_dump(found, sort_keys=False))
    return recipe


def figures(top: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((top / "comparison.json").read_text(encoding="utf-8"))
    return found


def recorded(tmp_path: Path) -> dict[str, Any]:
    """A teacher that is a file, and right about every text."""
    rows = [
        {"text": text, "probabilities": [0.7, 0.3] if label == "negative" else [0.2, 0.8]}
        for text, label in tiny_rows()
    ]
    (tmp_path / "large.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return {"probabilities": str(tmp_path / "large.jsonl")}


def losses(folder: Path) -> list[float]:
    history = json.loads((folder / "training.json").read_text())["history"]
    return [row["ce"] for row in history if "ce" in row]


def test_without_labels_none_learns_the_predictions_of_the_teacher(
    tiny_recipe: TinyRecipe, tmp_path: Path
) -> None:
    """Those of a teacher that is always right are the labels: the same bits as with these."""
    recipe = only(tiny_recipe(without_labels(recorded(tmp_path))), "large")
    said = heard("distill", recipe, "--strategy", "none")
    assert (said.code, serious(said.err)) == (0, "")
    assert "the predictions of teachers.large stand for them" in said.out
    assert heard("distill", tiny_recipe(FAST | {"name": "own"}), "--strategy", "none").code == 0
    top = tmp_path / "checkpoints"
    own, taught = (losses(top / name / "student-none-seed1") for name in ("own", "tiny"))
    assert own == taught != []


def test_another_teacher_is_another_student_of_its_predictions(
    tiny_recipe: TinyRecipe, tiny_encoder: Path, teacher: Path
) -> None:
    recipe = only(tiny_recipe(without_labels({"checkpoint": str(teacher)})), "large")
    assert heard("distill", recipe, "--strategy", "none").code == 0
    save_classifier(teacher, tiny_encoder, LABELS, seed=2)
    said = heard("distill", recipe, "--strategy", "none")
    assert (said.code, "was taught by another 'large'" in said.err) == (5, True)


def test_a_comparison_without_training_labels(tiny_recipe: TinyRecipe, tmp_path: Path, teacher: Path) -> None:
    recipe = only(tiny_recipe(without_labels({"checkpoint": str(teacher)})), "large")
    said = heard("compare", recipe, "--seeds", "2", "--strategy", "static")
    assert (said.code, serious(said.err)) == (0, ""), said.err
    found = figures(tmp_path / "checkpoints" / "tiny")
    assert (found["reported"]["labels"], found["chosen_by"]["metric"]) == ("the data", "accuracy")
    none, static = found["strategies"]
    assert none["cost"]["teacher_rows"] == static["cost"]["teacher_rows"] == 16
    assert "fine-tuning on large's hard labels" in " ".join(found["verdict"])
    assert found["teacher"] is not None


@pytest.mark.parametrize("kind", ["checkpoint", "probabilities"])
def test_a_comparison_without_any_label(
    tiny_recipe: TinyRecipe, tmp_path: Path, teacher: Path, kind: str
) -> None:
    """Agreement with the teacher chooses and is reported, and is called that."""
    own = {"checkpoint": str(teacher)} if kind == "checkpoint" else recorded(tmp_path)
    recipe = only(tiny_recipe(without_labels(own, source=bare(tmp_path))), "large")
    said = heard("compare", recipe, "--seeds", "2", "--strategy", "static")
    assert (said.code, serious(said.err)) == (0, ""), said.err
    found = figures(tmp_path / "checkpoints" / "tiny")
    assert found["reported"]["labels"] == "predictions of teachers.large"
    assert found["chosen_by"]["metric"] == "agreement"
    assert found["teacher"] is None
    assert "against the predictions of large" in said.out
    assert any("no split has labels" in line for line in found["verdict"])
    none, _ = found["strategies"]
    assert none["mean"] is not None
    # A model predicts the test split; a file is known to cover validation alone, which is halved.
    assert ("validation is halved" in said.out) == (kind == "probabilities")


def test_labels_that_nobody_gives(tiny_recipe: TinyRecipe) -> None:
    recipe = tiny_recipe({"data": {"unlabelled": True, "labels": list(LABELS)}, "teachers": None})
    said = heard("distill", recipe, "--strategy", "none", "--set", "teachers={}")
    assert said.code == 2
    assert "without labels `none` learns the predictions of a teacher" in said.err
