"""Whatever moment a process dies at, a run's folder is old or new after the next command; damage shows."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from claiming import begin, make, save, the_run, unit_recipe
from damage import flip
from small import LABELS, save_classifier, task_data

from dkd_cli.engine.cache.fingerprint import weights_digest
from dkd_cli.engine.models.models import load_classifier
from dkd_cli.engine.runs.checkpoints import claim, publish, read_run, student_folder
from dkd_cli.errors import ModelError, SystemProblem
from dkd_cli.manifests import seal
from dkd_cli.recipe.schema import Recipe, Teacher
from dkd_cli.recipe.strategy_section import Strategy


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    return unit_recipe(tmp_path, teachers={"large": Teacher()}, strategy=Strategy(name="static"))


class PowerCut(BaseException):
    """Nothing is cleaned up after it: what `finally` removes here, a real one would leave, hidden."""


def cut_at(monkeypatch: pytest.MonkeyPatch, number: int) -> Callable[[], int]:
    """Die just before the n-th change of the file system; tells how many there were."""
    done = 0

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal done
            done += 1
            if done == number:
                raise PowerCut
            return real(*args, **kwargs)

        return call

    for module, name in ((os, "fsync"), (os, "replace"), (os, "rename"), (os, "rmdir"), (os, "mkdir")):
        monkeypatch.setattr(module, name, counted(getattr(module, name)))
    return lambda: done


def train_again(recipe: Recipe, final: Path, weights: str) -> None:
    with claim(final, recipe, "student", "static", fresh=True, warn=pytest.fail) as working:
        assert working is not None
        (working / "checkpoint-5").mkdir()

        def write(folder: Path) -> None:
            (folder / "model.safetensors").write_text(weights)

        publish(working, final, the_run(recipe), write, {})


@pytest.mark.parametrize("older", [True, False])
def test_a_kill_anywhere_leaves_the_old_model_or_the_new_one(
    recipe: Recipe,
    monkeypatch: pytest.MonkeyPatch,
    older: bool,
) -> None:
    """Every change of the file system is cut once; the next command then finds a whole run, or one begun."""
    final = student_folder(recipe)
    seen = set()
    for number in range(1, 200):
        shutil.rmtree(final.parent, ignore_errors=True)
        if older:
            make(recipe)
        with monkeypatch.context() as patch:
            count = cut_at(patch, number)
            try:
                train_again(recipe, final, "new")
                break
            except PowerCut:
                pass
        with claim(final, recipe, "student", "static", fresh=False, warn=pytest.fail) as working:
            complete = working is None
        found = (final / "model.safetensors").read_text() if final.exists() else "none"
        seen.add((found, complete))
        if found != "none":
            assert read_run(final) is not None
        if complete:
            assert [path.name for path in final.parent.iterdir()] == [final.name], "nothing is left beside it"
    assert count() == number - 1 > 15
    began = {("weights", True), ("weights", False)} if older else {("none", False)}
    assert seen == {*began, ("new", True)}


def test_what_fresh_began_is_gone_on_with(recipe: Recipe) -> None:
    final = make(recipe)
    with claim(final, recipe, "student", "static", fresh=True, warn=pytest.fail) as working:
        assert working is not None
        (working / "checkpoint-5").mkdir()
    assert begin(recipe) == working
    assert (final / "model.safetensors").exists()


@pytest.mark.parametrize("finished", [True, False])
def test_a_student_of_other_teachers_is_not_passed_off_as_complete(recipe: Recipe, finished: bool) -> None:
    final = student_folder(recipe)

    def taught(digest: str, fresh: bool = False) -> bool:
        with claim(
            final, recipe, "student", "static", fresh=fresh, warn=pytest.fail, teachers={"large": digest}
        ) as working:
            if working is not None:
                (working / "checkpoint-5").mkdir(exist_ok=True)
                if finished:
                    publish(working, final, the_run(recipe, teachers={"large": digest}), save, {})
            return working is None

    assert not taught("one")
    assert taught("one") == finished
    with pytest.raises(SystemProblem, match=r"taught by another 'large'.*--fresh"):
        taught("two")
    assert not taught("two", fresh=True)
    assert taught("two") == finished


def test_a_student_of_which_nobody_knows_what_taught_it_is_refused(recipe: Recipe) -> None:
    final = make(recipe)
    claiming = claim(
        final, recipe, "student", "static", fresh=False, warn=pytest.fail, teachers={"large": "one"}
    )
    with pytest.raises(SystemProblem, match=r"does not say what 'large' was.*--fresh"), claiming:
        pass


# A flipped bit in a finished model -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_damaged_model_is_refused(tmp_path: Path, tiny_encoder: Path, name: str) -> None:
    folder = save_classifier(tmp_path / "model", tiny_encoder, LABELS)
    seal(folder)
    load_classifier(str(folder), task_data())
    flip(folder / name)
    with pytest.raises(ModelError) as caught:
        load_classifier(str(folder), task_data(), key="teachers.large")
    assert caught.value.place == "teachers.large"
    assert f"has a damaged {name}" in caught.value.problem
    assert "--fresh" in caught.value.remedy


def test_a_model_made_elsewhere_is_loaded_as_it_is(tmp_path: Path, tiny_encoder: Path) -> None:
    folder = save_classifier(tmp_path / "model", tiny_encoder, LABELS)
    (folder / "manifest.json").write_text("somebody's own")
    load_classifier(str(folder), task_data())


def test_a_teachers_digest_follows_its_weights(tmp_path: Path, tiny_encoder: Path) -> None:
    one, other = (save_classifier(tmp_path / f"{i}", tiny_encoder, LABELS, seed=i) for i in (1, 2))
    before = weights_digest(str(one), "key")
    assert before != weights_digest(str(other), "key")
    seal(one)
    assert weights_digest(str(one), "key") == before, "sealed or not"
    shutil.copy(other / "model.safetensors", one / "model.safetensors")
    seal(one)
    assert weights_digest(str(one), "key") == weights_digest(str(other), "key")


def test_a_bit_turned_in_the_structure_of_a_teachers_manifest_is_told(
    tmp_path: Path, tiny_encoder: Path
) -> None:
    """Wherever else it turns, in a file's digest say, that is told when the teacher is loaded."""
    folder = save_classifier(tmp_path / "teacher", tiny_encoder, LABELS)
    seal(folder)
    manifest, told = folder / "dkd-manifest.json", set()
    content = manifest.read_bytes()
    for place in range(len(content)):
        flip(manifest, place)
        try:
            weights_digest(str(folder), "teachers.large")
        except ModelError as error:
            told.add((place, error.place))
        manifest.write_bytes(content)
    assert {(content.index(word), "teachers.large") for word in (b"files", b"bytes", b"sha256")} <= told


@pytest.mark.parametrize("name", ["recipe.yaml", "teachers.json", "dkd-manifest.json"])
@pytest.mark.parametrize("damaged", [True, False])
def test_checkpoints_of_nobody_knows_what_are_not_gone_on_with(
    recipe: Recipe, name: str, damaged: bool
) -> None:
    working = begin(recipe)
    assert working is not None
    (working / "checkpoint-4").mkdir()
    path = working / "begun" / name
    path.write_bytes(path.read_bytes()[:-2]) if damaged else path.unlink()
    said: list[str] = []
    final = student_folder(recipe)
    with claim(final, recipe, "student", "static", fresh=False, warn=said.append) as again:
        assert again == working
        assert sorted(entry.name for entry in again.iterdir()) == ["begun", "lock"]
    [line] = said
    assert str(working / "begun") in line
    assert "starting over" in line
    (working / "checkpoint-4").mkdir()
    assert begin(recipe) == working, "told once, and whole again"
