"""A run's folder: absent until it is whole, one experiment each, one process at a time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from claiming import begin, make, save, the_run, unit_recipe

from dkd_cli.engine.runs.checkpoints import (
    claim,
    publish,
    read_run,
    student_folder,
    teacher_folder,
    teacher_source,
)
from dkd_cli.engine.runs.identity import identity, teacher_train
from dkd_cli.errors import DataError, SystemProblem
from dkd_cli.recipe.loader import load_recipe
from dkd_cli.recipe.schema import Recipe, Teacher, Train
from dkd_cli.recipe.strategy_section import DataSelection, Objective, Strategy

LOCK = """
import sys, time
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return unit_recipe(tmp_path)


@contextmanager
def someone_at_work(folder: Path) -> Iterator[None]:
    """Another process holds the lock of a working folder."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", LOCK, str(folder / "lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield
        finally:
            process.kill()


# Whole or absent -----------------------------------------------------------------------------------------


def test_the_folder_is_absent_until_it_is_whole(recipe: Recipe) -> None:
    final = student_folder(recipe)
    with claim(final, recipe, "student", "static", fresh=False, warn=pytest.fail) as working:
        assert working is not None
        assert not final.exists()
        (working / "checkpoint-5").mkdir()

        def save_and_look(folder: Path) -> None:
            assert not final.exists()
            save(folder)

        publish(working, final, the_run(recipe), save_and_look, {"steps": 3})
    files = sorted(path.name for path in final.iterdir())
    assert files == ["dkd-manifest.json", "dkd.json", "model.safetensors", "recipe.yaml", "training.json"]
    assert json.loads((final / "training.json").read_text()) == {"steps": 3}
    assert [path.name for path in final.parent.iterdir()] == [final.name], "nothing is left beside it"


def test_a_failure_while_saving_leaves_no_folder(recipe: Recipe) -> None:
    final = student_folder(recipe)

    def fail(folder: Path) -> None:
        save(folder)
        raise OSError("disk full")

    for attempt in (fail, save):
        with claim(final, recipe, "student", "static", fresh=False, warn=pytest.fail) as working:
            assert working is not None
            try:
                publish(working, final, the_run(recipe), attempt, {})
            except SystemProblem:
                assert not final.exists()
    assert (final / "model.safetensors").exists()


def test_what_was_begun_is_gone_on_with(recipe: Recipe) -> None:
    working = begin(recipe)
    assert working is not None
    (working / "checkpoint-5").mkdir()
    assert begin(recipe) == working
    assert (working / "checkpoint-5").exists()
    assert not student_folder(recipe).exists()
    begin(recipe, fresh=True)
    assert not (working / "checkpoint-5").exists()


def test_a_complete_run_is_left_alone(recipe: Recipe) -> None:
    final = make(recipe)
    assert begin(recipe) is None
    assert (final / "model.safetensors").exists()


def test_fresh_replaces_a_complete_run_at_its_end(recipe: Recipe) -> None:
    final = make(recipe)
    (final / "old").touch()
    with claim(final, recipe, "student", "static", fresh=True, warn=pytest.fail) as working:
        assert working is not None
        assert (final / "old").exists(), "the old one serves until the new one is there"
        publish(working, final, the_run(recipe), save, {})
    assert not (final / "old").exists()
    assert (final / "model.safetensors").exists()


# One experiment each -------------------------------------------------------------------------------------

OTHERS: Mapping[str, Any] = {
    "train.learning_rate": lambda recipe: replace(recipe, train=replace(recipe.train, learning_rate=1e-3)),
    "model": lambda recipe: replace(recipe, model="another/encoder"),
    "data.max_length": lambda recipe: replace(recipe, data=replace(recipe.data, max_length=32)),
    "student.layers": lambda recipe: replace(recipe, student=replace(recipe.student, layers=3)),
    "teachers.small.epochs": lambda recipe: replace(
        recipe, teachers={**recipe.teachers, "small": Teacher(layers=2)}
    ),
    "strategy.objective.kd_weight": lambda recipe: replace(
        recipe, strategy=replace(recipe.strategy, objective=Objective(kd_weight=2.0))
    ),
    "strategy.data.ratio": lambda recipe: replace(
        recipe, strategy=replace(recipe.strategy, data=DataSelection(ratio=0.1))
    ),
}


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize("key", OTHERS)
def test_another_experiment_is_refused(recipe: Recipe, key: str, finished: bool) -> None:
    if finished:
        make(recipe)
    else:
        working = begin(recipe)
        assert working is not None
        (working / "checkpoint-4").mkdir()
    with pytest.raises(SystemProblem) as caught:
        begin(OTHERS[key](recipe))
    line = str(caught.value)
    assert f"holds another experiment: {key} is " in line
    assert "\n" not in line
    assert caught.value.exit_code == 5


def test_a_run_that_stopped_before_its_first_checkpoint_is_in_nobodys_way(recipe: Recipe) -> None:
    begin(recipe)
    other = OTHERS["data.max_length"](recipe)
    working = begin(other)
    assert working is not None
    assert load_recipe(str(working / "begun" / "recipe.yaml")) == other


def test_fresh_is_no_leave_to_destroy_another_experiment(recipe: Recipe) -> None:
    make(recipe)
    with pytest.raises(SystemProblem, match="holds another experiment"):
        begin(OTHERS["model"](recipe), fresh=True)


@pytest.mark.parametrize(
    "same",
    [
        lambda recipe: replace(recipe, description="other words"),
        lambda recipe: replace(recipe, train=replace(recipe.train, log_every=3, report_to=("mlflow",))),
        lambda recipe: replace(
            recipe, strategy=replace(recipe.strategy, name="dynamic-teacher , dynamic-data")
        ),
        lambda recipe: replace(
            recipe, strategy=replace(recipe.strategy, objective=Objective(mode="uncertainty-r"))
        ),
    ],
    ids=["description", "log", "order of names", "an axis that stands still"],
)
def test_what_changes_no_result_is_the_same_experiment(recipe: Recipe, same: Any) -> None:
    make(recipe)
    assert begin(same(recipe)) is None


def test_a_teacher_does_not_depend_on_the_students_settings(recipe: Recipe) -> None:
    assert identity(recipe, "teacher", "large") == identity(
        replace(recipe, strategy=Strategy(name="none"), student=replace(recipe.student, layers=1)),
        "teacher",
        "large",
    )
    other = replace(recipe, train=replace(recipe.train, epochs=9.0))
    assert identity(recipe, "teacher", "small") == identity(other, "teacher", "small")
    assert identity(recipe, "teacher", "large") != identity(other, "teacher", "large")


def test_a_folder_that_is_not_ours_is_not_touched(recipe: Recipe) -> None:
    final = student_folder(recipe)
    final.mkdir(parents=True)
    (final / "thesis.txt").write_text("years of work")
    for fresh in (False, True):
        with pytest.raises(SystemProblem, match="holds files that dkd did not write"):
            begin(recipe, fresh=fresh)
    assert (final / "thesis.txt").read_text() == "years of work"


# One process at a time -----------------------------------------------------------------------------------


def test_a_process_at_work_is_not_disturbed(recipe: Recipe) -> None:
    final = student_folder(recipe)
    working = begin(recipe)
    assert working == final.with_name(f".{final.name}")
    with someone_at_work(working):
        (working / "checkpoint-5").mkdir()
        for fresh in (False, True):
            with pytest.raises(SystemProblem, match="another process is at work on it"):
                begin(recipe, fresh=fresh)
        assert (working / "checkpoint-5").exists()
    assert begin(recipe) == working, "the lock of a dead process holds nobody up"


def test_an_output_folder_that_is_a_file(recipe: Recipe) -> None:
    Path(recipe.output_dir).write_text("")
    with pytest.raises(SystemProblem, match="cannot be written") as caught:
        begin(recipe)
    assert caught.value.place == str(student_folder(recipe))


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_an_output_folder_that_is_read_only(recipe: Recipe) -> None:
    Path(recipe.output_dir).mkdir(mode=0o500)
    with pytest.raises(SystemProblem, match="cannot be written"):
        begin(recipe)


# What the folder says ------------------------------------------------------------------------------------


def test_a_run_reads_as_it_was_written(recipe: Recipe) -> None:
    teacher = make(recipe, "teacher", "large")
    student = make(recipe)
    assert read_run(student) == the_run(recipe, name=student.name, teacher=str(teacher.resolve()))
    found = read_run(teacher)
    assert found is not None
    assert (found.role, found.strategy, found.teacher) == ("teacher", None, None)


@pytest.mark.parametrize("reference", ["some-hub/teacher", "pkg://package/teacher"])
def test_a_teacher_that_is_no_folder_keeps_its_name(recipe: Recipe, reference: str) -> None:
    final = student_folder(recipe)
    with claim(final, recipe, "student", "static", fresh=False, warn=pytest.fail) as working:
        assert working is not None
        publish(working, final, the_run(recipe, teacher=reference), save, {})
    found = read_run(final)
    assert found is not None
    assert found.teacher == reference


@pytest.mark.parametrize("teacher_first", [True, False])
@pytest.mark.parametrize("relative", [True, False])
def test_moving_everything_keeps_the_teacher(
    recipe: Recipe,
    workdir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    relative: bool,
    teacher_first: bool,
) -> None:
    if relative:
        recipe = replace(recipe, output_dir="out")
    if teacher_first:
        make(recipe, "teacher", "large")
    student = make(recipe)
    if not teacher_first:
        make(recipe, "teacher", "large")
    moved = tmp_path / "elsewhere" / "deeper"
    shutil.move(str(student.parent), moved)
    monkeypatch.chdir(tmp_path)
    found = read_run(moved / student.name)
    assert found is not None
    assert found.teacher == str((moved / "teacher-large").resolve())
    assert read_run(Path(found.teacher)) is not None


def test_a_folder_made_elsewhere_says_nothing(tmp_path: Path) -> None:
    assert read_run(tmp_path) is None


@pytest.mark.parametrize("damage", ["{", "{}", "\x00"])
def test_a_damaged_folder(recipe: Recipe, damage: str) -> None:
    final = make(recipe)
    (final / "dkd.json").write_text(damage)
    with pytest.raises(DataError, match="remove the folder and train the model again"):
        read_run(final)


def test_facts_that_lack_any_of_them_are_damaged(recipe: Recipe) -> None:
    """What nobody wrote must not be taken for what was never so, such as a student of no teachers."""
    path = make(recipe) / "dkd.json"
    facts = json.loads(path.read_text())
    for name in facts.keys() - {"dkd"}:
        path.write_text(json.dumps({key: value for key, value in facts.items() if key != name}))
        with pytest.raises(DataError, match=f"has no '{name}': another version of dkd wrote it"):
            read_run(path.parent)


def test_folders_are_named_after_strategy_and_seed(recipe: Recipe) -> None:
    seven = replace(recipe, train=Train(seed=7))
    assert student_folder(seven).name == "student-dynamic-teacher_dynamic-data-seed7"
    assert teacher_folder(seven, "large") == Path(recipe.output_dir) / "unit" / "teacher-large"
    elsewhere = replace(recipe, teachers={"large": Teacher(checkpoint="hub/model")})
    assert teacher_source(elsewhere, "large") == "hub/model"
    assert teacher_source(recipe, "large") == str(teacher_folder(recipe, "large"))


def test_a_teachers_own_schedule_wins(recipe: Recipe) -> None:
    own = Teacher(epochs=5.0, learning_rate=1e-3, batch_size=4, warmup=0.0)
    found = teacher_train(Train(weight_decay=0.1), own)
    assert found == Train(weight_decay=0.1, epochs=5.0, learning_rate=1e-3, batch_size=4, warmup=0.0)
    assert teacher_train(Train(), Teacher()) == Train()
