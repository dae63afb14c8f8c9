"""Sweeps as they are run: a folder for each point, what failed is shown, what is done is not done again."""

from __future__ import annotations

import io
import json
import statistics
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import pytest
from command_line import heard, serious
from conftest import TinyRecipe
from processes import killed_after
from rich.console import Console

from dkd_cli.data.examples import Split, TaskData
from dkd_cli.data.tasks import Task
from dkd_cli.engine.runs.checkpoints import Run, read_run, teacher_source
from dkd_cli.errors import DkdError, NumericError, Problems
from dkd_cli.pipeline.planned import plan_student
from dkd_cli.pipeline.sweeping import Outcome, Point, over_seeds, raise_failures, report, run_points
from dkd_cli.recipe.loader import load_points, load_recipe
from dkd_cli.recipe.schema import Recipe
from dkd_cli.report.terminal import Terminal


def outcome(name: str, seed: int, value: float | None) -> Outcome:
    """A point that reached this accuracy; None: it failed."""
    recipe = load_recipe("quickstart")
    error = NumericError("step 3", "the loss is not finite", "lower it") if value is None else None
    made = Run(
        role="student",
        name=name,
        strategy="static",
        seed=seed,
        teacher=None,
        recipe=recipe,
        validation={"loss": 1.0, "accuracy": value or 0.0},
        seconds=1.0,
    )

    folder = Path("x") / f"{name}-seed{seed}"
    point = replace(plan_student(replace(recipe, train=replace(recipe.train, seed=seed))), folder=folder)
    return Outcome(point, made if error is None else None, error)


def play(planned: list[Outcome], screen: Terminal) -> list[Outcome]:
    """Run points that end as planned."""
    ends = {one.point.folder: one for one in planned}

    def make(point: Point) -> Run:
        end = ends[point.folder]
        if end.error is not None:
            raise end.error
        assert end.run is not None
        return end.run

    return run_points([one.point for one in planned], make, screen)


def texts(_: Recipe) -> TaskData:
    """Two classes; the one that is frequent in training is rare in validation."""
    labels = {"train": [0, 0, 1], "validation": [1, 0, 1, 1]}
    splits = {
        name: Split(name, list("abcd"[: len(ids)]), None, ids, list("abcd"[: len(ids)]))
        for name, ids in labels.items()
    }
    return TaskData(Task("t", "classification", ("accuracy",)), ("no", "yes"), splits, ())


def terminal() -> tuple[Terminal, io.StringIO]:
    stream = io.StringIO()
    return Terminal(console=Console(file=stream, force_terminal=False, width=200)), stream


# Points and means ----------------------------------------------------------------------------------------


def test_points_that_differ_in_the_seed_alone_are_averaged() -> None:
    values = {"a": [0.5, 0.6, 0.7], "b": [0.9]}
    outcomes = [outcome(name, i, v) for name, group in values.items() for i, v in enumerate(group)]
    found = over_seeds(outcomes, "accuracy")
    assert [(mean.label, mean.seeds) for mean in found] == [("a", (0, 1, 2)), ("b", (0,))]
    assert found[0].mean == pytest.approx(0.6)
    assert found[0].sd == pytest.approx(statistics.stdev(values["a"]))
    assert (found[1].mean, found[1].sd) == (0.9, None)


def test_what_failed_is_never_averaged_away() -> None:
    [mean] = over_seeds([outcome("a", 1, 0.9), outcome("a", 2, None)], "accuracy")
    assert (mean.failed, mean.mean, mean.sd) == (1, None, None)


def test_the_others_go_on_and_the_failure_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planned = [outcome("a", seed, value) for seed, value in ((1, 0.5), (2, None), (3, 0.7))]
    screen, stream = terminal()
    outcomes = play(planned, screen)
    assert [one.run is None for one in outcomes] == [False, True, False]
    assert "a-seed2 failed: step 3: the loss is not finite" in capsys.readouterr().err
    report("students", outcomes, tmp_path / "students.json", texts, screen)
    shown = stream.getvalue()
    assert "2 of 3: a-seed2" in shown
    assert "not averaged where a seed failed" in shown
    assert any(line.split()[0] == "a-seed2" and "failed" in line for line in shown.splitlines() if line)
    written = json.loads((tmp_path / "students.json").read_text(encoding="utf-8"))
    assert [point["failed"] is None for point in written["points"]] == [True, False, True]
    assert [line.split() for line in shown.splitlines() if "always" in line] == [
        ["always", "no", "0.2500", "–"]
    ]
    constant = {"name": "always no", "prediction": "no", "metrics": {"accuracy": 0.25, "macro_f1": 0.2}}
    assert [point["baseline"] for point in written["points"]] == [constant] * 3
    assert written["means"][0]["mean"] is None
    with pytest.raises(NumericError):
        raise_failures(outcomes)


def test_a_single_run_fails_by_itself() -> None:
    screen, _ = terminal()
    with pytest.raises(NumericError):
        play([outcome("a", 1, None)], screen)


def test_where_nothing_succeeded_there_is_no_table(tmp_path: Path) -> None:
    screen, stream = terminal()
    with pytest.raises((DkdError, Problems)):
        report("students", [outcome("a", 1, None), outcome("a", 2, None)], tmp_path / "x.json", texts, screen)
    assert not (tmp_path / "x.json").exists()
    assert stream.getvalue() == ""


# Commands ------------------------------------------------------------------------------------------------


@pytest.fixture
def swept(tiny_recipe: TinyRecipe) -> Path:
    return tiny_recipe(
        {
            "strategy": {"name": "dynamic-data"},
            "train": {"max_steps": 2},
            "sweep": {"strategy.data.score": ["margin", "random"], "train.seed": [1, 2]},
        }
    )


def folders(recipe: Path) -> list[str]:
    top = recipe.parent / "checkpoints" / "tiny"
    return sorted(path.name for path in top.iterdir() if path.is_dir())


def test_a_sweep_from_teachers_to_evaluation(swept: Path, tmp_path: Path) -> None:
    code, said, err = astuple(heard("train-teacher", swept))
    assert (code, serious(err), folders(swept)) == (0, "", ["teacher-large", "teacher-small"])
    code, said, err = astuple(heard("distill", swept))
    assert (code, serious(err)) == (0, ""), err
    top = tmp_path / "checkpoints" / "tiny"
    names = [f"student-dynamic-data-score={score}-seed{n}" for score in ("margin", "random") for n in (1, 2)]
    assert folders(swept) == [*sorted(names), "teacher-large", "teacher-small"]
    for name in names:
        made = read_run(top / name)
        assert made is not None
        assert {k: v for k, (v,) in made.recipe.sweep.items()}["strategy.data.score"] in name
    written = json.loads((top / "students.json").read_text(encoding="utf-8"))
    scores = [point["validation"]["accuracy"] for point in written["points"][:2]]
    first = next(mean for mean in written["means"] if mean["metric"] == "accuracy")
    assert first["mean"] == pytest.approx(statistics.mean(scores))
    assert first["sd"] == pytest.approx(statistics.stdev(scores))
    assert "over seeds" in said

    before = {name: (top / name / "model.safetensors").stat().st_mtime_ns for name in names}
    code, said, _ = astuple(heard("distill", swept, "--seed", "1,2,3"))
    assert (code, said.count("is complete; --fresh starts over")) == (0, 4)
    assert before == {name: (top / name / "model.safetensors").stat().st_mtime_ns for name in names}
    assert (top / "student-dynamic-data-score=margin-seed3").is_dir()

    code, said, _ = astuple(heard("distill", swept, "--dry-run"))
    assert (code, said.count("(finished)")) == (0, 4)


def test_teachers_of_several_seeds(tiny_recipe: TinyRecipe) -> None:
    recipe = tiny_recipe({"train": {"max_steps": 2}})
    code, said, err = astuple(heard("train-teacher", recipe, "--teacher", "large", "--seed", "1,2"))
    assert (code, serious(err)) == (0, "")
    assert folders(recipe) == ["teacher-large-seed1", "teacher-large-seed2"]
    assert "teacher-large " in said  # the mean over both


def test_students_ask_the_teachers_of_their_own_point(tiny_recipe: TinyRecipe) -> None:
    recipe = tiny_recipe({"train": {"max_steps": 2}})
    swept = ("--sweep", "data.max_length=[12, 16]")
    code, _, err = astuple(heard("distill", recipe, *swept))
    assert code == 4
    assert "train-teacher" in err
    assert "data.max_length" in err
    assert heard("train-teacher", recipe, "--teacher", "large", *swept).code == 0
    assert heard("distill", recipe, *swept, "--seed", "1,2").code == 0
    points = load_points(str(recipe), [], ["data.max_length=[12, 16]"])
    for point in points:
        length = point.data.max_length
        made = read_run(recipe.parent / "checkpoints" / "tiny" / f"student-static-max_length={length}-seed1")
        assert made is not None
        assert made.teacher == teacher_source(point, "large")


def test_a_key_that_changes_no_teacher(tiny_recipe: TinyRecipe) -> None:
    code, _, err = astuple(heard("train-teacher", tiny_recipe(), "--sweep", "strategy.data.ratio=[0.1,0.2]"))
    assert (code, "changes no teacher" in err) == (2, True)


@pytest.mark.slow
def test_a_killed_sweep_does_what_is_missing(swept: Path, tmp_path: Path) -> None:
    """A real SIGKILL after the first of four students."""
    assert heard("train-teacher", swept, "--teacher", "large").code == 0
    top = tmp_path / "checkpoints" / "tiny"
    killed_after((top / "student-dynamic-data-score=margin-seed1").exists, "distill", swept)
    made = {path.parent.name: path.stat().st_mtime_ns for path in top.glob("student-*/model.safetensors")}
    code, said, err = astuple(heard("distill", swept))
    assert (code, serious(err)) == (0, "")
    assert said.count("is complete; --fresh starts over") >= 1
    assert len(list(top.glob("student-*"))) == 4
    assert (
        made.items()
        <= {
            path.parent.name: path.stat().st_mtime_ns for path in top.glob("student-*/model.safetensors")
        }.items()
    )


def test_evaluation_names_what_was_swept(swept: Path, tmp_path: Path) -> None:
    assert heard("train-teacher", swept, "--teacher", "large").code == 0
    assert heard("distill", swept).code == 0
    code, _, _ = astuple(heard("evaluate", tmp_path / "checkpoints"))
    assert code == 0
    found: dict[str, Any] = json.loads((tmp_path / "checkpoints" / "evaluation.json").read_text())
    labels = [summary["strategy"] for summary in found["evaluations"][0]["seeds"]]
    assert sorted(labels) == ["dynamic-data, score=margin", "dynamic-data, score=random"]
