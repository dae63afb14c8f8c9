"""What trackers receive: read back from TensorBoard's own event files."""

from __future__ import annotations

import contextlib
import importlib.util
from pathlib import Path

import pytest
from conftest import TinyRecipe
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dkd_cli.cli import run
from dkd_cli.engine.training.trackers import by_trainer, check_trackers, tensorboard_folder, tracking
from dkd_cli.errors import SystemProblem


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_every_term_of_a_run_is_on_tensorboard(tiny_recipe: TinyRecipe, tmp_path: Path) -> None:
    recipe = str(tiny_recipe({"train": {"report_to": ["tensorboard"], "log_every": 1}}))
    for words in (("train-teacher", recipe), ("distill", recipe, "--strategy", "dynamic-objective")):
        with contextlib.suppress(SystemExit):
            run(words)
    runs = tmp_path / "checkpoints" / "tiny" / "tensorboard"
    found = scalars(runs / "student-dynamic-objective-seed1")
    terms = ("ce", "kd", "pt", "uncertainty", "kl-weight", "pt-weight", "share-large", "share-selected")
    assert {f"train/{term}" for term in terms} <= found.keys()
    assert {"train/loss", "train/learning_rate", "eval/accuracy"} <= found.keys()
    updates = [step for step, _ in found["train/kl-weight"]]
    assert updates == list(range(1, updates[-1] + 1))
    for (_, certain), (_, unsure) in zip(found["train/kl-weight"], found["train/pt-weight"], strict=True):
        assert certain + unsure == pytest.approx(1.0)
    assert "train/ce" in scalars(runs / "teacher-large")


@pytest.mark.parametrize("resumed", [True, False])
def test_only_a_resumed_run_keeps_what_was_written(tmp_path: Path, resumed: bool) -> None:
    working = tmp_path / ".student"
    earlier = tensorboard_folder(working) / "earlier"
    earlier.parent.mkdir(parents=True)
    earlier.touch()
    with tracking(["tensorboard"], working, resumed) as callbacks:
        assert len(callbacks) == 1
    assert earlier.exists() == resumed


def test_no_tracker_unless_asked_for(tmp_path: Path) -> None:
    with tracking([], tmp_path / ".student", False) as callbacks:
        assert callbacks == []
    assert list(tmp_path.iterdir()) == []
    assert by_trainer([]) == by_trainer(["tensorboard"]) == "none"
    assert by_trainer(["tensorboard", "mlflow"]) == ["mlflow"]


def test_a_tracker_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemProblem, match=r"^train\.report_to: .*`mlflow` is not installed; pip install"):
        check_trackers(["mlflow"])
