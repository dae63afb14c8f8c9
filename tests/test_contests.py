"""Which models meet, on which rows, under which names, and which temperatures may be kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from small import LABELS, split

from dkd_cli.commands.evaluate import save_temperatures
from dkd_cli.data.examples import TaskData
from dkd_cli.data.tasks import Task
from dkd_cli.engine.runs.checkpoints import Run
from dkd_cli.errors import DataError
from dkd_cli.evaluation.contests import Contest, Entrant, plan_contests
from dkd_cli.evaluation.discover import ModelFolder
from dkd_cli.evaluation.temperature_file import NAME, Fit, Temperature
from dkd_cli.recipe.schema import Data, Recipe, Teacher
from dkd_cli.report.terminal import Terminal


def recipe(data: Data, **settings: object) -> Recipe:
    return replace(Recipe(name="unit", model="some-encoder", data=data), **settings)  # type: ignore[arg-type]


def student(folder: Path, settings: Recipe, teacher: Path | None = None) -> Entrant:
    folder.mkdir(parents=True)
    named = None if teacher is None else str(teacher)
    run = Run(
        role="student",
        name=folder.name,
        strategy="static",
        seed=1,
        teacher=named,
        recipe=settings,
        validation={},
        seconds=1.0,
    )
    return Entrant(ModelFolder(folder.name, str(folder), run), settings)


def load(data: Data) -> TaskData:
    """The test rows are always the same; what validates and what trains is cut apart by the seed."""
    first = 48 * data.split_seed
    splits = {
        "train": split("train", 24, 48),
        "validation": split("validation", first, first + 24),
        "test": split("test", 96, 120),
    }
    return TaskData(Task("unit"), LABELS, splits, ())


def planned(*models: Entrant) -> tuple[Contest, ...]:
    return plan_contests(models, None, load, lambda _, data: data.digest()).contests


def test_answers_that_cannot_be_read_leave_open_whether_data_changed(tmp_path: Path) -> None:
    def broken(settings: Recipe, data: TaskData) -> str:
        raise DataError("answers.jsonl", "is cut off", "label again")

    one = student(tmp_path / "one", recipe(Data(source="x")))
    assert one.folder.run is not None
    made = replace(one, folder=replace(one.folder, run=replace(one.folder.run, data="abc")))
    (note,) = plan_contests([made], None, load, broken).notes
    assert "whether its data have changed is not known: answers.jsonl: is cut off" in note


def test_a_temperature_is_fitted_on_rows_that_validated_the_model_itself(tmp_path: Path) -> None:
    one = student(tmp_path / "one", recipe(Data(split_seed=0)))
    other = student(tmp_path / "other", recipe(Data(split_seed=1)))
    again = student(tmp_path / "again", recipe(Data(split_seed=1, max_train=10)))
    contests = planned(one, other, again)
    assert [contest.entrants for contest in contests] == [(one,), (other, again)]
    for contest in contests:
        own = load(contest.entrants[0].recipe.data).splits["validation"]
        assert contest.validation is not None
        assert contest.validation.example_ids == own.example_ids


def test_teachers_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name / "teacher-large").mkdir(parents=True)
    students = [
        student(tmp_path / name / "student", recipe(Data()), tmp_path / name / "teacher-large")
        for name in "ab"
    ]
    [contest] = planned(*students)
    names = {entrant.folder.source: entrant.folder.label for entrant in contest.entrants}
    assert len(set(names.values())) == 4
    assert names[str(tmp_path / "a" / "teacher-large")] == "a/teacher-large"
    for one in students:
        assert contest.teachers[one.folder.source] == str(Path(one.folder.source).parent / "teacher-large")


def test_a_name_that_is_alone_stays_short(tmp_path: Path) -> None:
    (tmp_path / "teacher-large").mkdir()
    [contest] = planned(student(tmp_path / "student", recipe(Data()), tmp_path / "teacher-large"))
    assert [entrant.folder.label for entrant in contest.entrants] == ["student", "teacher-large"]


def test_the_recipes_labels_are_a_teachers_however_it_was_found(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "config.json").write_text(json.dumps({}))
    settings = recipe(Data(), teachers={"large": Teacher(checkpoint=str(theirs), labels=LABELS[::-1])})
    found = Entrant(ModelFolder("theirs", str(theirs), None), settings)
    [contest] = planned(student(tmp_path / "student", settings, theirs), found)
    [teacher] = [entrant for entrant in contest.entrants if entrant.folder.source == str(theirs)]
    assert teacher.folder.labels == LABELS[::-1]


@pytest.mark.parametrize("kept", [True, False])
def test_a_temperature_fitted_on_what_may_have_trained_the_model_is_not_kept(
    tmp_path: Path, kept: bool
) -> None:
    """A teacher joins under its student's recipe."""
    own = student(tmp_path / "teacher", recipe(Data(split_seed=0)))
    joined = replace(own, recipe=recipe(Data(split_seed=0 if kept else 1)))
    fitted = Temperature(2.0, "validation", 24, Fit(0.2, 0.7), Fit(0.1, 0.6))
    result: Any = SimpleNamespace(
        answers=SimpleNamespace(entrant=joined),
        details=SimpleNamespace(calibration=SimpleNamespace(fitted=fitted)),
    )
    save_temperatures([result], Terminal())
    assert (tmp_path / "teacher" / NAME).exists() == kept
