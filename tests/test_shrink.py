"""`dkd shrink`: what it trains, chooses, writes and refuses; tiny models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import Said, contents, heard
from conftest import TinyRecipe, tiny_rows, tiny_settings

from dkd_cli.engine.deploy.load import load_predictor
from dkd_cli.errors import SystemProblem
from dkd_cli.evaluation.temperature_file import read_thresholds
from dkd_cli.evaluation.text_latency import TextLatency
from dkd_cli.shrinking import climb as module
from dkd_cli.shrinking import plan
from dkd_cli.shrinking.ladder import LADDER, Rung

STATIC = tuple(rung for rung in LADDER if rung.family == "static")[:2]


@pytest.fixture(autouse=True)
def _short_ladder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exporting an encoder takes seconds; one test does that."""
    monkeypatch.setattr(plan, "climbable", lambda layers: list(STATIC))


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, tiny_csv: Path) -> Path:
    """A teacher that learns; shrunk once by `shrunk`."""
    folder = tmp_path_factory.mktemp("shrink")
    settings = tiny_settings(tiny_encoder, tiny_csv, folder / "checkpoints")
    settings["teachers"] = {"large": {"layers": 2}}
    settings["train"]["epochs"] = 4
    (folder / "tiny.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    return folder / "tiny.yaml"


@pytest.fixture(scope="module")
def shrunk(recipe: Path) -> tuple[Said, Path]:
    """What was said, and the recipe's folder; do not write into it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "climbable", lambda layers: list(STATIC))
        said = heard("shrink", recipe, "--keep", "60%", "--all")
    assert said.code == 0, said
    return said, recipe.parent / "checkpoints" / "tiny"


def figures(folder: Path) -> Any:
    return json.loads((folder / "shrink.json").read_text(encoding="utf-8"))


def test_the_first_rung_that_keeps_enough_is_ready_in_one_folder(shrunk: tuple[Said, Path]) -> None:
    said, folder = shrunk
    found = figures(folder)
    assert [rung["name"] for rung in found["rungs"]] == [rung.name for rung in STATIC]
    enough = [rung["name"] for rung in found["rungs"] if rung["validation"]["confidence"] >= 0.9]
    assert found["chosen"] == enough[0]
    (chosen,) = [rung for rung in found["rungs"] if rung["name"] == found["chosen"]]
    assert contents(folder / "shrunk").keys() == {
        path.replace(chosen["export"], str(folder / "shrunk")) for path in contents(Path(chosen["export"]))
    }
    assert load_predictor(str(folder / "shrunk")).labels == ("negative", "positive")
    assert f"next: dkd predict {folder / 'shrunk'}" in said.out
    picture = (folder / "shrink.svg").read_text()
    assert picture.startswith("<svg")
    assert "mathdefault" not in picture
    assert all(rung.name in picture for rung in STATIC)


def test_the_teacher_is_trained_and_time_is_estimated_first(shrunk: tuple[Said, Path]) -> None:
    said, folder = shrunk
    assert (folder / "teacher-large" / "model.safetensors").is_file()
    lines = said.out.splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith("first 1 teacher to train"))
    begun = next(place for place, line in enumerate(lines) if line.startswith("teacher-large"))
    assert first < begun


def test_a_dry_run_trains_nothing(recipe: Path, tmp_path: Path) -> None:
    said = heard("shrink", recipe, "--dry-run", "--output-dir", tmp_path)
    assert said.code == 0, said
    assert "2 of 2 are to be made" in said.out
    assert not list(tmp_path.rglob("model.safetensors"))


def test_test_rows_are_read_once_for_the_chosen_one(shrunk: tuple[Said, Path]) -> None:
    said, folder = shrunk
    assert said.out.count(" on test ") == 2  # teacher and student
    found = figures(folder)
    assert found["test"]["rows"] == 21
    assert "on 21 test rows, used for nothing else" in said.out


def test_validation_rows_that_training_leaves_out_judge_too(
    recipe: Path, shrunk: tuple[Said, Path], tmp_path: Path
) -> None:
    words = ("--set", "data.max_validation=10", "--keep", "60%", "--output-dir", tmp_path)
    said = heard("shrink", recipe, *words)
    assert said.code == 0, said
    assert figures(tmp_path / "tiny")["rungs"][0]["validation"]["rows"] == 22


def test_a_climb_that_was_interrupted_goes_on_to_the_same_bits(
    recipe: Path, shrunk: tuple[Said, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, there = shrunk
    words = ("shrink", recipe, "--keep", "60%", "--all", "--output-dir", tmp_path)
    with monkeypatch.context() as patch:
        measured = module.measure_text_latency

        def interrupted(*args: Any) -> list[TextLatency]:
            if (tmp_path / "tiny" / "shrink" / STATIC[0].name).is_dir():
                raise KeyboardInterrupt
            return measured(*args)

        patch.setattr(module, "measure_text_latency", interrupted)
        assert heard(*words).code == 130
    said = heard(*words)
    assert said.code == 0, said
    assert "is complete" in said.out
    for rung in STATIC:
        weights = Path("shrink") / rung.name / "student-static-seed1-numpy-int8" / "model.safetensors"
        assert (tmp_path / "tiny" / weights).read_bytes() == (there / weights).read_bytes()
    own, others = (figures(folder)["rungs"] for folder in (tmp_path / "tiny", there))
    assert [rung["validation"] for rung in own] == [rung["validation"] for rung in others]


def test_a_limit_ends_the_climb(recipe: Path, shrunk: tuple[Said, Path]) -> None:
    said = heard("shrink", recipe, "--keep", "60%", "--size", "1kB", "--latency", "1s")
    assert said.code == 0, said
    assert "is beyond the limit" in said.out
    assert "no student keeps 60.0% of the teacher with 90% confidence within 1000 ms and 0.001 MB" in said.out
    found = figures(shrunk[1])
    assert (found["chosen"], found["folder"], len(found["rungs"])) == (None, None, 1)


def test_a_rung_that_fails_stops_no_other(
    recipe: Path, shrunk: tuple[Said, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained = module.one_student

    def failing(workshop: Any, loaded: Any, run: Any, fresh: bool) -> Any:
        if STATIC[0].name in str(run.folder):
            raise SystemProblem("the disk", "is full", "make room")
        return trained(workshop, loaded, run, fresh)

    monkeypatch.setattr(module, "one_student", failing)
    monkeypatch.setattr(module, "MOST_ROWS", 5)
    words = ("--set", f"teachers.large.checkpoint={shrunk[1] / 'teacher-large'}", "--output-dir", tmp_path)
    said = heard("shrink", recipe, "--keep", "60%", *words)
    assert said.code == 0, said
    assert f"{STATIC[0].name} failed: the disk: is full; make room" in said.err
    found = figures(tmp_path / "tiny")
    assert found["failed"] == [STATIC[0].name]
    assert found["rungs"][0]["validation"]["rows"] == 5


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--keep", "much"), "'much' is no share"),
        (("--keep", "200%"), "not between 0 and 1"),
        (("--confidence", "20%"), "50% to 100%"),
        (("--latency", "2 hours"), "'2 hours' is no amount"),
        (("--size", "0MB"), "not above 0"),
        (("--seed", "1,2"), "gives 2 seeds"),
    ],
)
def test_amounts_that_make_no_sense(tiny_recipe: TinyRecipe, words: tuple[str, ...], told: str) -> None:
    said = heard("shrink", tiny_recipe(), *words)
    assert (said.code, told in said.err, len(said.err.splitlines())) == (2, True, 1), said.err


def test_without_the_extra_one_line_says_so(tiny_recipe: TinyRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    said = heard("shrink", tiny_recipe())
    assert (said.code, "pip install 'dkd-cli[onnx]'" in said.err) == (5, True), said.err


def test_a_recipe_without_a_model_as_teacher(tiny_recipe: TinyRecipe) -> None:
    said = heard("shrink", tiny_recipe({"teachers": {"small": None, "large": {"probabilities": "x.jsonl"}}}))
    assert said.code == 2, said.err


def test_several_labels_are_compared_at_the_thresholds_of_each_model(
    tiny_recipe: TinyRecipe, tmp_path: Path
) -> None:
    rows = [
        (text, f"{label}|calm" if place % 3 == 0 else label)
        for place, (text, label) in enumerate(tiny_rows())
    ]
    lines = "".join(json.dumps({"text": text, "labels": labels.split("|")}) + "\n" for text, labels in rows)
    (tmp_path / "several.jsonl").write_text(lines, encoding="utf-8")
    data = {"source": str(tmp_path / "several.jsonl"), "kind": "multi-label", "label": "labels"}
    recipe = tiny_recipe({"data": data, "train": {"epochs": 4}})
    said = heard("shrink", recipe, "--keep", "30%", "--all")
    assert said.code == 0, said
    assert "thresholds of the teacher: those of its calibration.json" in said.out
    folder = tmp_path / "checkpoints" / "tiny"
    for rung in figures(folder)["rungs"]:
        assert rung["validation"]["metric"] == "micro_f1"
        assert rung["validation"]["student"] > 0
        assert set(read_thresholds(Path(rung["export"]))) == {"calm", "negative", "positive"}


@pytest.mark.slow
def test_an_encoder_is_a_rung(recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rung = Rung("1-layer", {"layers": 1}, ffn_share=1 / 2)
    monkeypatch.setattr(plan, "climbable", lambda layers: [rung])
    said = heard("shrink", recipe, "--keep", "10%", "--output-dir", tmp_path)
    assert said.code == 0, said
    found = figures(tmp_path / "tiny")
    (one,) = found["rungs"]
    assert one["format"] == "onnx"
    assert (tmp_path / "tiny" / "shrunk" / "model.onnx").is_file()
    shutil.rmtree(tmp_path)
