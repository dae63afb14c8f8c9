"""`dkd evaluate` on untrained models in real run folders: what is compared, printed and written."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import TinyRecipe, tiny_rows
from data_samples import sentences, write_hub
from rich.console import Console
from safetensors.torch import load_file, save_file

from dkd_cli.commands.evaluate import evaluate
from dkd_cli.data.examples import TaskData
from dkd_cli.data.sources import load_task_data
from dkd_cli.engine.models.students import build_classifier
from dkd_cli.engine.runs.checkpoints import (
    Run,
    claim,
    publish,
    student_folder,
    teacher_folder,
    teacher_source,
)
from dkd_cli.errors import DataError, ModelError, NumericError, Problems, RecipeError
from dkd_cli.evaluation import scoring
from dkd_cli.evaluation.latency import measure_speeds
from dkd_cli.evaluation.speed_grid import measure_grid
from dkd_cli.evaluation.temperature_file import read_temperature
from dkd_cli.recipe.loader import load_recipe
from dkd_cli.recipe.schema import Data, Recipe, Teacher, Train
from dkd_cli.recipe.student_section import Student
from dkd_cli.report.terminal import Terminal


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "measure_speeds", lambda all_of_them: measure_speeds(all_of_them, 0.0))
    monkeypatch.setattr(scoring, "measure_grid", lambda all_of_them: measure_grid(all_of_them, 0.0))


@pytest.fixture
def hidden_test(tmp_path: Path) -> dict[str, str]:
    """Three files; the test split hides its labels."""
    rows = tiny_rows()
    parts = {"train": rows[:60], "validation": rows[60:90], "test": [(text, "-1") for text, _ in rows[90:]]}
    files = {name: tmp_path / f"{name}.csv" for name in parts}
    for name, file in files.items():
        with file.open("w", encoding="utf-8", newline="") as handle:
            csv.writer(handle).writerows([("text", "label"), *parts[name]])
    return {name: str(file) for name, file in files.items()}


def make(recipe: Recipe, data: TaskData, role: Any, layers: int, seed: int, name: str) -> Path:
    final = teacher_folder(recipe, name) if role == "teacher" else student_folder(recipe)
    with claim(final, recipe, role, name, fresh=False, warn=pytest.fail) as working:
        assert working is not None
        built = build_classifier(recipe.model, data, layers=layers, seed=seed, key="model")
        run = Run(
            role=role,
            name=final.name,
            strategy=None if role == "teacher" else recipe.strategy.name,
            seed=recipe.train.seed,
            teacher=None if role == "teacher" else teacher_source(recipe, "large"),
            recipe=recipe,
            validation={"accuracy": 0.5},
            seconds=1.0,
        )

        def save(folder: Path) -> None:
            built.model.save_pretrained(folder)
            built.tokenizer.save_pretrained(folder)

        publish(working, final, run, save, {})
    return final


def student(recipe: Recipe, data: TaskData, strategy: str, seed: int) -> Path:
    own = replace(
        recipe, strategy=replace(recipe.strategy, name=strategy), train=replace(recipe.train, seed=seed)
    )
    return make(own, data, "student", 2, seed, strategy)


@pytest.fixture(scope="module")
def built_runs(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, tiny_csv: Path) -> Path:
    """Two teachers and three students: `checkpoints/tiny`; do not write into it."""
    data_section = Data(source=str(tiny_csv), validation_share=0.2, test_share=0.2, max_length=16)
    recipe = Recipe(
        name="tiny",
        model=str(tiny_encoder),
        output_dir=str(tmp_path_factory.mktemp("runs")),
        data=data_section,
        teachers={"small": Teacher(layers=2), "large": Teacher(layers=4)},
        student=Student(layers=2),
        train=Train(precision="fp32"),
    )
    data = load_task_data(data_section)
    make(recipe, data, "teacher", 2, 7, "small")
    make(recipe, data, "teacher", 4, 8, "large")
    student(recipe, data, "dynamic-objective", 1)
    student(recipe, data, "none", 2)
    return student(recipe, data, "none", 1).parent


@pytest.fixture
def runs(built_runs: Path, tmp_path: Path) -> Path:
    """A copy to write into."""
    return Path(shutil.copytree(built_runs, tmp_path / "checkpoints" / "tiny"))


def run(*paths: Path, **options: Any) -> str:
    stream = io.StringIO()
    defaults = {"recipe": None, "split": None, "predictions": None, "output": None, "timing": True}
    settings: Mapping[str, Any] = defaults | options
    terminal = Terminal(console=Console(file=stream, force_terminal=False))
    evaluate(list(paths), terminal=terminal, **settings)
    return stream.getvalue()


def figures(folder: Path) -> dict[str, Any]:
    (only,) = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))["evaluations"]
    return only


def test_compares_all_models(runs: Path) -> None:
    text = run(runs)
    said = figures(runs)
    names = [one["model"] for one in said["models"]]
    assert names == [
        "teacher-large",
        "teacher-small",
        "student-none-seed1",
        "student-none-seed2",
        "student-dynamic-objective-seed1",
    ]
    lines = text.splitlines()
    table = lines[: next(i for i, line in enumerate(lines) if line.startswith("always "))]
    assert [line.split()[0] for line in table if line.startswith(("teacher-", "student-"))] == names
    large, small, *students = said["models"]
    assert large["teacher"] is large["retention"] is large["latency_speedup"] is None
    assert {one["teacher"] for one in (small, *students)} == {"teacher-large"}
    for one in students:
        assert one["retention"] == pytest.approx(one["metrics"]["accuracy"] / large["metrics"]["accuracy"])
        assert 0 <= one["agreement"] <= 1
        assert one["kl_nats"] >= 0
        assert one["speed"] == small["speed"], "models of one shape are timed once"
    assert (large["layers"], small["layers"]) == (4, 2)
    assert said["split"] == "test"
    assert said["rows"] == len(
        load_task_data(load_recipe(str(runs / names[0] / "recipe.yaml")).data).splits["test"]
    )
    assert said["baseline"]["prediction"] in ("negative", "positive")
    assert [(seeds["strategy"], seeds["seeds"]) for seeds in said["seeds"]] == [
        ("none", [1, 2]),
        ("dynamic-objective", [1]),
    ]
    assert any(line.startswith("always ") for line in lines)
    assert f"every figure: {runs / 'evaluation.json'}" in lines
    best = said["best_student"]["model"]
    assert lines[-1].startswith("next: dkd export ")
    assert lines[-1].endswith(f"{best} --quantize int8")


def test_the_best_student_is_shown_closely(runs: Path) -> None:
    text = run(runs)
    said = figures(runs)
    best = said["best_student"]
    assert best["chosen_on"] == "validation"
    for title in (f"classes of {best['model']}", "calibration\n", f"cascade: {best['model']}"):
        assert text.count(title) == 1
    by_name = {one["model"]: one for one in said["models"]}
    teacher = by_name["teacher-large"]
    for one in by_name.values():
        assert sum(map(sum, one["confusion"])) == said["rows"]
        assert sum(row["support"] for row in one["per_class"]) == said["rows"]
        right = sum(one["confusion"][i][i] for i in range(2))
        assert right / said["rows"] == pytest.approx(one["metrics"]["accuracy"])
        assert one["cost"]["flops"] > 0
        assert {cell["tokens"] for cell in one["latency_by_length"]} == {16}
        assert 0 < one["text_latency"]["median_ms"] <= one["text_latency"]["p95_ms"]
        fitted = one["calibration"]["fitted"]
        assert fitted["after"]["nll"] <= fitted["before"]["nll"]
        assert read_temperature(runs / one["model"]) == fitted["temperature"]
    cascade = by_name[best["model"]]["cascade"]
    first, *_, last = cascade["curve"]
    assert (first["deferred"], last["deferred"]) == (0.0, 1.0)
    assert last["quality"] == teacher["metrics"]["accuracy"]
    assert cascade["there"]["quality"] is not None
    assert teacher["cascade"] is None
    assert any(one["pareto"] for one in by_name.values())


def test_without_a_clock_there_are_scores_alone(runs: Path) -> None:
    text = run(runs, timing=False)
    assert "latency: median" not in text
    for one in figures(runs)["models"]:
        assert one["speed"] is one["cost"] is one["latency_speedup"] is None
        assert one["metrics"]["accuracy"] is not None


def test_a_folder_gains_its_temperature_and_nothing_else(runs: Path) -> None:
    before = {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()}
    run(runs)
    after = {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()}
    assert {path: after[path] for path in before} == before
    assert {path.name for path in after.keys() - before.keys()} == {
        *("calibration.json", "evaluation.json", "report.html")
    }


def test_a_student_brings_its_teacher_also_from_a_moved_tree(runs: Path, tmp_path: Path) -> None:
    moved = tmp_path / "elsewhere"
    shutil.move(runs, moved)
    run(moved / "student-none-seed1", output=tmp_path / "out")
    said = figures(tmp_path / "out")
    assert [(one["model"], one["role"]) for one in said["models"]] == [
        ("teacher-large", "teacher"),
        ("student-none-seed1", "student"),
    ]
    assert not (moved / "student-none-seed1" / "evaluation.json").exists()


def test_a_teacher_that_is_gone_is_named(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(runs / "teacher-large")
    run(runs)
    assert "teacher-large: this teacher is not there" in capsys.readouterr().err
    said = {one["model"]: one for one in figures(runs)["models"]}
    assert said["student-none-seed1"]["retention"] is None, "another teacher is no stand-in"


def test_predictions_are_names_in_the_order_of_the_split(runs: Path, tmp_path: Path) -> None:
    path = tmp_path / "predictions.tsv"
    run(runs / "student-none-seed1", predictions=str(path))
    header, *lines = path.read_text(encoding="utf-8").splitlines()
    said = figures(runs / "student-none-seed1")
    assert header == "index\tprediction"
    assert [line.split("\t")[0] for line in lines] == [str(i) for i in range(said["rows"])]
    labels = (
        load_task_data(load_recipe(str(runs / "teacher-large" / "recipe.yaml")).data).splits["test"].labels
    )
    names = [said["labels"][int(label)] for label in labels or ()]
    right = sum(line.split("\t")[1] == name for line, name in zip(lines, names, strict=True))
    assert right / len(lines) == pytest.approx(said["models"][-1]["metrics"]["accuracy"])


def test_hidden_labels_are_predicted_and_never_scored(
    tiny_recipe: TinyRecipe, hidden_test: dict[str, str], tmp_path: Path
) -> None:
    recipe = load_recipe(str(tiny_recipe({"data": {"source": None, **hidden_test}})))
    folder = make(recipe, load_task_data(recipe.data), "teacher", 2, 1, "small")
    with pytest.raises(DataError, match="labels are hidden"):
        run(folder, split="test")
    path = tmp_path / "predictions.tsv"
    text = run(folder, split="test", predictions=str(path))
    assert "its labels are hidden, so nothing is scored on it" in text
    assert not (folder / "evaluation.json").exists()
    text = run(folder, predictions=str(path))
    assert "30 examples of validation, there being no labelled test split" in text
    assert "30 examples of test; its labels are hidden" in text
    assert figures(folder)["split"] == "validation"
    with pytest.raises(DataError, match="no split 'dev'"):
        run(folder, split="dev")


@pytest.fixture
def genres(tiny_recipe: TinyRecipe, tmp_path: Path) -> Path:
    """An untrained model on a data set that is laid out as MNLI is."""
    names = ("train", "validation_matched", "validation_mismatched", "test_matched", "test_mismatched")
    splits = {
        name: {
            "premise": sentences(size, seed),
            "hypothesis": sentences(size, seed + 9),
            "label": [-1] * size if name.startswith("test") else [0, 1, 2] * (size // 3),
        }
        for seed, (name, size) in enumerate(zip(names, (12, 6, 9, 3, 5), strict=True))
    }
    source = write_hub(tmp_path / "glue", "mnli", splits, ("entailment", "neutral", "contradiction"))
    recipe = load_recipe(str(tiny_recipe({"data": {"source": source, "config": "mnli"}})))
    return make(recipe, load_task_data(recipe.data), "teacher", 2, 1, "small")


def test_matched_and_mismatched_are_both_scored_and_predicted(genres: Path, tmp_path: Path) -> None:
    text = run(genres, predictions=f"{tmp_path}/sent/")
    said = json.loads((genres / "evaluation.json").read_text(encoding="utf-8"))["evaluations"]
    assert [(one["split"], one["rows"]) for one in said] == [("validation", 6), ("validation_mismatched", 9)]
    written = {
        path.name: path.read_text(encoding="utf-8").splitlines() for path in (tmp_path / "sent").iterdir()
    }
    assert {name: len(lines) for name, lines in written.items()} == {
        "test_results_mnli.txt": 1 + 3,
        "test_results_mnli-mm.txt": 1 + 5,
    }
    for header, *lines in written.values():
        assert header == "index\tprediction"
        assert [line.split("\t")[0] for line in lines] == [str(i) for i in range(len(lines))]
        assert {line.split("\t")[1] for line in lines} <= {"entailment", "neutral", "contradiction"}
    assert text.count("its labels are hidden") == 2


@pytest.mark.parametrize(
    ("split", "name", "rows"),
    [
        ("test_mismatched", "test_results_mnli-mm.txt", 5),
        ("validation", "validation_results_mnli.txt", 6),
    ],
)
def test_a_folder_of_predictions_holds_the_split_asked_for(
    genres: Path, tmp_path: Path, split: str, name: str, rows: int
) -> None:
    (tmp_path / "there").mkdir()
    run(genres, predictions=str(tmp_path / "there"), split=split)
    (path,) = (tmp_path / "there").iterdir()
    assert (path.name, len(path.read_text(encoding="utf-8").splitlines())) == (name, 1 + rows)


def test_what_has_no_labels_at_all_is_predicted(tiny_recipe: TinyRecipe, tmp_path: Path) -> None:
    for name, part in (("train", tiny_rows()[:60]), ("validation", tiny_rows()[60:80])):
        (tmp_path / f"{name}.csv").write_text("text\n" + "".join(f"{text}\n" for text, _ in part))
    files = {name: str(tmp_path / f"{name}.csv") for name in ("train", "validation")}
    bare = {"source": None, "unlabelled": True, "labels": ["negative", "positive"], "task": "imdb"}
    recipe = load_recipe(str(tiny_recipe({"data": bare | files})))
    folder = make(recipe, load_task_data(recipe.data), "teacher", 2, 1, "small")
    with pytest.raises(DataError, match="no labelled test or validation split"):
        run(folder)
    run(folder, predictions=f"{tmp_path}/out/")
    lines = (tmp_path / "out" / "validation_results_imdb.txt").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + 20


def test_models_of_several_tasks_are_compared_within_each(
    tiny_recipe: TinyRecipe, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bare.csv").write_text("text\n" + "".join(f"{text}\n" for text, _ in tiny_rows()[:40]))
    half = tmp_path / "half.csv"
    with half.open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows([("text", "label"), *tiny_rows()[:80]])
    bare = {"source": str(tmp_path / "bare.csv"), "unlabelled": True, "labels": ["negative", "positive"]}
    for name, section in (("one", {}), ("two", {"source": str(half)}), ("three", bare)):
        recipe = load_recipe(str(tiny_recipe({"name": name, "data": section})))
        make(recipe, load_task_data(recipe.data), "teacher", 2, 1, "small")
    folder = tmp_path / "checkpoints"
    run(folder, timing=False)
    warned = capsys.readouterr().err
    assert "models of 2 tasks, compared within each: tiny, half" in warned
    assert "left out: bare: has no labelled test or validation split" in warned
    said = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))["evaluations"]
    assert [one["task"] for one in said] == ["tiny", "half"]
    assert 'class="part"' in (folder / "report.html").read_text(encoding="utf-8")


def test_a_model_made_elsewhere_needs_a_recipe(runs: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    shutil.copytree(runs / "teacher-small", plain)
    own = load_recipe(str(plain / "recipe.yaml"))
    for name in ("dkd.json", "dkd-manifest.json", "recipe.yaml", "training.json"):
        (plain / name).unlink()
    with pytest.raises(RecipeError, match="--recipe") as caught:
        run(plain)
    assert caught.value.exit_code == 2
    run(plain, recipe=own)
    (only,) = figures(plain)["models"]
    assert (only["role"], only["strategy"], only["seed"]) == ("model", None, None)


def test_what_cannot_be_written_is_refused_first(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RecipeError, match="5 models"):
        run(runs, predictions=str(tmp_path / "p.tsv"))
    with pytest.raises(Problems) as caught:
        run(runs, predictions=f"{tmp_path}/file/", output=tmp_path / "file" / "below")
    assert [str(error).split(": ")[0] for error in caught.value.errors] == [
        "--predictions",
        str(tmp_path / "file" / "below"),
        str(tmp_path / "file"),
    ]


def test_broken_weights_are_refused(runs: Path) -> None:
    path = runs / "teacher-small" / "model.safetensors"
    weights = load_file(path)
    weights["classifier.bias"][:] = float("nan")
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"has a damaged model\.safetensors"):
        run(runs)
    (path.parent / "dkd-manifest.json").unlink()
    with pytest.raises(NumericError) as caught:
        run(runs)
    assert caught.value.exit_code == 6
    path.write_bytes(b"half a fil")
    with pytest.raises(ModelError):
        run(runs)
    assert not (runs / "evaluation.json").exists()
