"""Training checkpoints: the newest whole one is found whatever names say, and one more is always kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from damage import flip

from dkd_cli.engine.runs.snapshots import (
    Snapshot,
    clean,
    free_name,
    keep,
    newest,
    save_best,
    save_progress,
)
from dkd_cli.errors import ModelError
from dkd_cli.manifests import staged


def save(
    working: Path, step: int, *, lines: int = 1, best: bool = True, before: Snapshot | None = None
) -> Snapshot:
    final = free_name(working, step)
    with staged(final) as folder:
        (folder / "model.safetensors").write_text(f"weights of step {step}")
        (folder / "trainer_state.json").write_text(
            json.dumps({"global_step": step, "log_history": [{"step": step}] * lines})
        )
        save_best(folder, before, is_best=best)
        save_progress(folder, {"loss": 0.5})
    return Snapshot(final)


def test_there_is_none_at_first(tmp_path: Path) -> None:
    assert newest(tmp_path, pytest.fail) is None
    assert newest(tmp_path / "not there", pytest.fail) is None


def test_the_content_decides_and_not_the_name(tmp_path: Path) -> None:
    nine, ten = save(tmp_path, 9), save(tmp_path, 10)
    assert newest(tmp_path, pytest.fail) == ten
    nine.folder.rename(tmp_path / "checkpoint-99")
    found = newest(tmp_path, pytest.fail)
    assert found is not None
    assert (found, found.step, found.progress) == (ten, 10, {"loss": 0.5})


def test_of_two_at_one_step_the_evaluated_one_is_newer(tmp_path: Path) -> None:
    later = save(tmp_path, 5, lines=2)
    save(tmp_path, 5, lines=1)
    assert newest(tmp_path, pytest.fail) == later


@pytest.mark.parametrize(
    "name",
    ["model.safetensors", "best.safetensors", "trainer_state.json", "progress.json", "dkd-manifest.json"],
)
def test_a_damaged_one_is_told_and_passed_over(tmp_path: Path, name: str) -> None:
    five, ten = save(tmp_path, 5), save(tmp_path, 10)
    flip(ten.folder / name)
    said: list[str] = []
    assert newest(tmp_path, said.append) == five
    (line,) = said
    assert "checkpoint-10 has a damaged" in line
    assert "resuming from step 5" in line
    flip(five.folder / name)
    assert newest(tmp_path, said.append) is None
    assert said[-1].endswith("starting over")


def test_the_best_weights_travel_along(tmp_path: Path) -> None:
    five = save(tmp_path, 5)
    ten = save(tmp_path, 10, best=False, before=five)
    assert ten.best_weights().read_text() == "weights of step 5"
    keep(tmp_path, ten)
    assert ten.best_weights().read_text() == "weights of step 5"
    assert save(tmp_path, 15, before=ten).best_weights().read_text() == "weights of step 15"


def test_best_weights_that_decayed_are_not_sealed_anew(tmp_path: Path) -> None:
    five = save(tmp_path, 5)
    flip(five.folder / "best.safetensors")
    with pytest.raises(ModelError, match="rerun the command"):
        save(tmp_path, 10, best=False, before=five)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-5"]


def test_a_run_without_an_evaluation_has_no_best_weights_yet(tmp_path: Path) -> None:
    first = save(tmp_path, 1, best=False)
    second = save(tmp_path, 2, best=False, before=first)
    with pytest.raises(ModelError, match="missing or damaged"):
        second.best_weights()


def test_two_are_kept(tmp_path: Path) -> None:
    made = [save(tmp_path, step) for step in (5, 10, 15)]
    keep(tmp_path, *made[1:])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-10", "checkpoint-15"]
    keep(tmp_path, None, made[2])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-15"]


def test_what_a_killed_process_left_is_cleaned_away(tmp_path: Path) -> None:
    kept = save(tmp_path, 5)
    for name in (".staged-checkpoint-10", ".gone-abc"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").touch()
    (tmp_path / ".recipe.yaml.77.tmp").touch()
    (tmp_path / "lock").touch()
    clean(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [kept.folder.name, "lock"]
