"""`dkd compare --exports`: what would be deployed contends too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import heard
from conftest import TinyRecipe

from dkd_cli.comparison import deployed
from dkd_cli.comparison.deployed import Deployed, deployment_verdict
from dkd_cli.evaluation.gates import Gates
from dkd_cli.pipeline.exporting import WantedExport


def test_teacher_and_students_contend_as_int8(
    tiny_recipe: TinyRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployed, "WANTED", WantedExport("onnx", "int8", Gates(tolerance=1e-4, max_loss=100)))
    recipe = tiny_recipe(
        {"teachers": {"small": {"layers": 1}, "large": {"layers": 2}}, "student": {"layers": 1}}
    )
    words = ("compare", recipe, "--seeds", "1", "--strategy", "static", "--exports")
    said = heard(*words)
    assert said.code == 0, said.err
    assert "as int8 exports: " in said.out
    folder = tmp_path / "checkpoints" / "tiny"
    figures = json.loads((folder / "comparison.json").read_text())
    assert [one["name"] for one in figures["exports"]] == ["teacher", "none", "static"]
    assert all(0 < one["score"] <= 1 and one["milliseconds"] > 0 for one in figures["exports"])
    teacher, student = figures["exports"][0], figures["exports"][1]
    assert teacher["megabytes"] > student["megabytes"]
    assert figures["verdict"][-1].startswith("as int8 ")
    assert "as int8 exports" in (folder / "comparison.html").read_text()


def test_without_the_extra_nothing_is_begun(
    tiny_recipe: TinyRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployed, "PACKAGES", ("no_such_package",))
    said = heard("compare", tiny_recipe(), "--exports")
    assert (said.code, "pip install 'dkd-cli[onnx]'" in said.err) == (5, True)
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize(
    ("student", "words"),
    [
        (Deployed("static", "s", 0.8, 25.0, 3.0), "deploy it"),
        (Deployed("static", "s", 0.95, 25.0, 3.0), "accuracy 0.9500 against 0.9000"),
        (Deployed("static", "s", 0.8, 12.0, 1.0), "12.0 of 24.0 MB and 1.00 of 2.00 ms"),
    ],
)
def test_the_verdict_names_what_to_deploy(student: Deployed, words: str) -> None:
    teacher = Deployed("teacher", "t", 0.9, 24.0, 2.0)
    assert words in (deployment_verdict("accuracy", [teacher, student]) or "")
    assert deployment_verdict("accuracy", [student]) is None


def test_less_loss_is_better() -> None:
    made = [Deployed("teacher", "t", 0.3, 24.0, 2.0), Deployed("static", "s", 0.5, 24.0, 2.0)]
    assert "deploy it" in (deployment_verdict("loss", made) or "")
